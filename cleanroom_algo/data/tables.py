"""Streams of tables: cut to size, shuffled within windows, dealt out."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import polars as pl


def multiples(frames: Iterator[pl.DataFrame], rows: int) -> Iterator[pl.DataFrame]:
    """Yield the rows of tables in order, as non-empty tables of a multiple of `rows` rows; the last may be smaller."""
    held: list[pl.DataFrame] = []
    count = 0
    for frame in frames:
        held.append(frame)
        count += frame.height
        if count < rows:
            continue
        table = pl.concat(held) if len(held) > 1 else frame
        whole = count - count % rows
        yield table.head(whole)
        count -= whole
        held = [table.slice(whole)] if count else []
    if count:
        yield pl.concat(held)


def rebatched(frames: Iterator[pl.DataFrame], rows: int) -> Iterator[pl.DataFrame]:
    """Yield the rows of tables in order, as tables of exactly `rows` rows; the last one may be smaller."""
    for table in multiples(frames, rows):
        yield from table.iter_slices(rows)


def shuffled(frames: Iterator[pl.DataFrame], rows: int, random: np.random.Generator) -> Iterator[pl.DataFrame]:
    """Yield the rows of tables, permuted within windows of `rows` rows."""
    for window in rebatched(frames, rows):
        yield window[random.permutation(window.height)]


def deal(table: pl.DataFrame, count: int) -> Iterator[pl.DataFrame]:
    """Yield the contiguous slices of a table; their lengths differ by at most one row, the longer ones come first."""
    bounds = [-(-table.height * position // count) for position in range(count + 1)]
    for start, end in pairwise(bounds):
        yield table.slice(start, end - start)
