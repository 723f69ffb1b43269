"""Streams of tables: cut to size, shuffled within bounds, dealt out."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import polars as pl


def rebatched(frames: Iterator[pl.DataFrame], rows: int) -> Iterator[pl.DataFrame]:
    """Yield the rows of tables in order, as tables of exactly `rows` rows but for the last."""
    held: list[pl.DataFrame] = []
    count = 0
    for frame in frames:
        held.append(frame)
        count += frame.height
        if count < rows:
            continue
        table = pl.concat(held) if len(held) > 1 else frame
        whole = count - count % rows
        yield from table.head(whole).iter_slices(rows)
        held = [table.slice(whole)]
        count -= whole
    if count:
        yield pl.concat(held)


def shuffled(frames: Iterator[pl.DataFrame], rows: int, random: np.random.Generator) -> Iterator[pl.DataFrame]:
    """Yield the rows of tables, permuted within windows of `rows` rows."""
    for window in rebatched(frames, rows):
        yield window[random.permutation(window.height)]


def deal(table: pl.DataFrame, count: int) -> Iterator[pl.DataFrame]:
    """Yield the slices of a table: contiguous, none longer than another by more than a row, the longer ones first."""
    bounds = [-(-table.height * position // count) for position in range(count + 1)]
    for start, end in pairwise(bounds):
        yield table.slice(start, end - start)
