"""A Parquet file, one row group after the other: each read once, front to back, and made a file of its own in memory.

polars maps files into memory. On a mount that streams each page fault becomes a read of its own there, in the order of
the columns: of a file of 74 MB such a mount was asked for 498 MB. Here the bytes of a row group, as far as they hold
wanted columns, are one read, and a footer that knows this row group alone follows them.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

from cleanroom_algo.channels.formats.parquet.footer import MAGIC, Footer, NotParquetError, pages
from cleanroom_algo.channels.formats.parquet.thrift import Field, Fields, Items, integer, write_struct


def is_streamed(path: Path) -> bool:
    """Whether a file lies on a read-only mount, as every FastFile channel does: whatever it is, it may stream."""
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def without_rows(footer: Footer) -> io.BytesIO:
    """Return a Parquet file in memory that has the columns of another one, and no rows."""
    return io.BytesIO(MAGIC + _footer_of(footer.fields, []))


def group_files(file: BinaryIO, footer: Footer, columns: Collection[str], groups: range) -> Iterator[io.BytesIO]:
    """Yield row groups, each as a Parquet file in memory; those without rows are left out.

    Memory: one row group as it is stored, from the first wanted column to the last.

    Args:
        file: the Parquet file.
        footer: of the file.
        columns: which are wanted; of the others the file in memory has the names alone.
        groups: which ones, counted from 0.

    Raises:
        NotParquetError: the file ends within a row group.
    """
    every = footer.fields[4].value.values
    for group in every[groups.start : groups.stop]:
        if group[3].value:
            yield _group_file(file, footer.fields, group, columns)


def _group_file(file: BinaryIO, fields: Fields, group: Fields, columns: Collection[str]) -> io.BytesIO:
    chunks = group[1].value
    places = [pages(chunk[3].value) for chunk in chunks.values if _name(chunk) in columns]
    start = min((first for first, _ in places if first), default=len(MAGIC))
    size = max((first + length for first, length in places if first), default=start) - start
    moved = Items(chunks.kind, [_moved(chunk, len(MAGIC) - start) for chunk in chunks.values])
    alone = {number: field for number, field in group.items() if number in (2, 3)} | {1: Field(group[1].kind, moved)}
    # The four bytes before are replaced, what follows is appended: both in place, as nothing else has these bytes.
    made = io.BytesIO(_read(file, start - len(MAGIC), len(MAGIC) + size))
    made.write(MAGIC)
    made.seek(0, io.SEEK_END)
    made.write(_footer_of(fields, [alone]))
    made.seek(0)
    return made


def _footer_of(fields: Fields, groups: list[Fields]) -> bytes:
    """Return the end of a file that has these row groups alone."""
    rows = sum(group[3].value for group in groups)
    footer = write_struct({**fields, 3: integer(rows), 4: Field(9, Items(12, list(groups)))})
    return footer + struct.pack("<I", len(footer)) + MAGIC


def _name(chunk: Fields) -> str:
    """Return the name of the column, for nested ones of the outermost (ColumnMetaData.path_in_schema)."""
    return str(chunk[3].value[3].value.values[0], "utf-8")


def _moved(chunk: Fields, by: int) -> Fields:
    """Return a column chunk whose pages lie elsewhere, without indexes and filters (ColumnChunk 4 to 7, ...)."""
    meta: Fields = chunk[3].value
    kept = {number: field for number, field in meta.items() if number not in (10, 14, 15)}
    for number in (9, 11):
        if number in meta and meta[number].value:
            kept[number] = integer(max(len(MAGIC), meta[number].value + by))  # unwanted ones may lie before
    return {2: integer(0), 3: Field(chunk[3].kind, kept)}


def _read(file: BinaryIO, start: int, size: int) -> bytes:
    if file.tell() != start:
        file.seek(start)
    data = file.read(size)
    if len(data) < size:
        raise NotParquetError(f"it ends after {start + len(data)} bytes")
    return data
