"""A few rows of plain numbers, read without the fixed costs of the readers for everything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl

from cleanroom_algo.channels.values import BELOW_FLOAT32, MIDDLE

_PLAIN: Final = b"0123456789.+-eE,\n"
"""Of these bytes, Python's `float` takes the very texts that a float32 column takes: no nan, underscore or space."""


def read_plain_numbers(block: bytes, names: Sequence[str]) -> pl.DataFrame | None:
    """Return rows of float32 as a table with the same bits as the other readers', or None for all that is not plain.

    Args:
        block: whole rows of CSV.
        names: of the columns, all of them float32.
    """
    records = plain_numbers(block, len(names))
    return None if records is None else pl.DataFrame(records, schema=dict.fromkeys(names, pl.Float32), orient="row")


def plain_numbers(block: bytes, width: int) -> list[list[float]] | None:
    """Return rows of numbers that round to the float32 which the other readers give, or None for all that is not plain.

    Args:
        block: whole rows of CSV.
        width: how many fields each of them has, all of them float32.

    Returns:
        None where a field is empty or no plain number, a row is blank or of another width, or a text is so near to the
        middle of two float32 that it would be rounded twice: other readers know what to do or to say.
    """
    text = block.replace(b"\r\n", b"\n").removesuffix(b"\n")
    if text.translate(None, _PLAIN):
        return None
    lines = text.split(b"\n")
    if any(line.count(b",") != width - 1 for line in lines):
        return None
    try:
        values = list(map(float, text.replace(b"\n", b",").split(b",")))
    except ValueError:
        return None
    if MIDDLE in (np.array(values).view(np.uint64) & BELOW_FLOAT32).tolist():
        return None
    return [values[start : start + width] for start in range(0, len(values), width)]
