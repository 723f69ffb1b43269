"""File and FastFile mode: from objects of a channel in any format to record batches.

An object is opened once and read front to back in blocks of 4 MiB while earlier blocks are parsed. So a stream of an
object store can deliver it. Parquet is the exception, because its footer is at its end. Memory does not grow with the
object; the modules of the formats state what each one needs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from itertools import chain

import polars as pl

from cleanroom_algo.channels.formats.protocol import FormatReader, Stream, Wanted
from cleanroom_algo.channels.formats.registry import find_reader
from cleanroom_algo.channels.objects import PROBE_BYTES, Object, file_chunks, probe, readable
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.channels.splits import Split


def read_object(
    obj: Object,
    schema: Schema,
    *,
    batch_rows: int,
    columns: Sequence[str] | None = None,
    split: Split | None = None,
) -> Iterator[pl.DataFrame]:
    """Yield the rows of an object in order, as tables of at most `batch_rows` rows.

    The format is recognized by the first bytes: CSV, Parquet, JSON Lines, RecordIO (each record is an object), or gzip.

    Args:
        obj: an object of `list_objects`.
        schema: the declared columns.
        batch_rows: the most rows of a table, at least 1. Tables may be smaller: they end where a block ends.
        columns: the columns to return, in this order; all by default.
        split: the part to read, as `split_object` returns; the whole object by default.

    Raises:
        RowMismatchError: CR-SCH-002, a row does not fit; with object, line and column.
        ColumnsMismatchError: CR-SCH-003, the columns are not the declared ones.
        DialectError: CR-SCH-005, the dialects of CSV read a field differently, and none is declared.
        ObjectUnreadableError: CR-CHN-003, it vanished, shrank or cannot be read.
        UnknownFormatError: CR-CHN-004; CorruptObjectError: CR-CHN-005; RowTooLongError: CR-CHN-006.
    """
    wanted = Wanted(schema, batch_rows, columns)
    with readable(obj):
        if split is None or split == Split(0, obj.size):
            yield from _whole(obj, wanted)
        else:
            yield from _reader_of(obj).read(obj, wanted, split)


def split_object(obj: Object, schema: Schema, parts: int, own: range | None = None) -> tuple[Split, ...]:
    """Divide an object into splits of about equal size that together hold each row once.

    Parquet is divided at row groups, CSV and JSON Lines where rows end. In CSV with string columns, a line break may be
    inside quotes: the bytes after a cut mostly show it; if they do not, the bytes before it are read, too. gzip and
    RecordIO cannot be divided: the middle split is the whole object. With one part, the object is not opened.

    Args:
        obj: an object of `list_objects`.
        schema: the declared columns.
        parts: at least 1.
        own: which of the parts are wanted, all by default; only their ends are searched.

    Returns:
        A split for each wanted part, in the order of the rows; a split may be empty.

    Raises: what `read_object` raises for objects that cannot be read.
    """
    own = range(parts) if own is None else own
    if parts == 1:
        return (Split(0, obj.size),) if own else ()
    with readable(obj):
        return _reader_of(obj).split(obj, schema, parts, own)


def count_rows(obj: Object, schema: Schema, split: Split | None = None) -> int:
    """Return how many rows `read_object` yields for an object or a split of it, without parsing it.

    Parquet: from the footer. CSV and JSON Lines: by the line breaks that end a row, almost as fast as reading the
    bytes; gzip must be decompressed. RecordIO: by reading it.

    Raises: what `read_object` raises for objects that cannot be read.
    """
    with readable(obj):
        return _reader_of(obj).count(obj, schema, split)


def _whole(obj: Object, wanted: Wanted) -> Iterator[pl.DataFrame]:
    with contextlib.closing(file_chunks(obj, first=PROBE_BYTES)) as chunks:
        head = next(chunks, b"")
        reader = find_reader(head, source=obj.name)
        if not reader.seeks:
            head += next(chunks, b"")
            yield from reader.join(Stream(chain([head], chunks), obj.name), wanted)
            return
    yield from reader.read(obj, wanted, None)


def _reader_of(obj: Object) -> FormatReader:
    return find_reader(probe(obj), source=obj.name)
