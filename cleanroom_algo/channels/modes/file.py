"""Objects of a channel to record batches: one interface whatever the format.

An object is opened once and read front to back in blocks of 4 MiB while earlier blocks are parsed, so nothing is asked
of the file system that a stream of an object store could not give. Parquet is the exception, as its footer is at its
end; its row groups are read front to back, too, where the file may stream, and mapped into memory elsewhere.

Memory, whatever the size of the object, with d = max(2, min(8, 2 x polars threads)):

    CSV, JSON Lines: (d + 4) x (4 MiB + the longest row), and as much again as tables
    Parquet: two row groups, stored and decoded; from a file that is mapped, those in flight (one per thread of polars)
    RecordIO: the longest record (an object of the channel) and its table
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Protocol, TypeVar

import polars as pl

from cleanroom_algo.channels.files import PROBE_BYTES, file_chunks, lines_before, probe, readable
from cleanroom_algo.channels.formats.blocks import RowRules, cut_rows, gunzip, head_of
from cleanroom_algo.channels.formats.csv.concatenated import ConcatenatedCsvDecoder, ConcatenatedJsonLinesDecoder
from cleanroom_algo.channels.formats.csv.decoder import CsvDecoder
from cleanroom_algo.channels.formats.json_lines import JsonLinesDecoder
from cleanroom_algo.channels.formats.parquet.groups import is_streamed
from cleanroom_algo.channels.formats.parquet.reader import read_parquet
from cleanroom_algo.channels.formats.parquet.stream import spool_objects
from cleanroom_algo.channels.formats.recordio import RecordReader
from cleanroom_algo.channels.formats.registry import LEAST_BYTES, Format, sniff
from cleanroom_algo.channels.objects import Object
from cleanroom_algo.channels.prefetch import decode_prefetched
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.channels.splits import Split
from cleanroom_algo.errors import ColumnsMismatchError, JoinedRowsError, Problem, RowMismatchError

_E = TypeVar("_E", bound=RowMismatchError | ColumnsMismatchError | JoinedRowsError)


class Decoder(Protocol):
    """What turns blocks of whole rows into tables."""

    @property
    def source(self) -> str:
        """What messages call the object or stream."""

    @property
    def header_lines(self) -> int:
        """Lines that `start` took."""

    def start(self, block: bytes) -> bytes:
        """Take what precedes the rows from the first block."""

    def decode(self, block: bytes) -> pl.DataFrame:
        """Return the rows of a block; errors count its lines from 1."""

    def lines(self, block: bytes, rows: int) -> int:
        """Return how many lines a block of so many rows has."""


def read_object(
    obj: Object,
    schema: Schema,
    *,
    batch_rows: int,
    columns: Sequence[str] | None = None,
    split: Split | None = None,
) -> Iterator[pl.DataFrame]:
    """Yield the rows of an object in order, as tables of at most `batch_rows` rows.

    The format is seen from the first bytes: CSV, Parquet, JSON Lines, RecordIO (each record holds one object), or gzip.

    Args:
        obj: an object of `list_objects`.
        schema: the declared columns.
        batch_rows: the most rows of a table, at least 1. Tables may be smaller: they end where a block ends.
        columns: the columns to return, in this order; all by default.
        split: the part to read, as `split_object` returns; the whole object by default.

    Raises:
        RowMismatchError: CR-SCH-002, a row does not fit; with object, line and column.
        ColumnsMismatchError: CR-SCH-003, the columns are not the declared ones.
        ObjectUnreadableError: CR-CHN-003, it vanished, shrank or cannot be read.
        UnknownFormatError: CR-CHN-004; CorruptObjectError: CR-CHN-005; RowTooLongError: CR-CHN-006.
    """
    with readable(obj):
        if split is not None and split.unit == "row_groups":
            yield from _parquet(obj, schema, batch_rows, columns, range(split.start, split.end))
        elif split is not None and (split.start, split.end) != (0, obj.size):
            yield from _byte_range(obj, schema, batch_rows, columns, split)
        else:
            yield from _whole(obj, schema, batch_rows, columns)


def _whole(obj: Object, schema: Schema, batch_rows: int, columns: Sequence[str] | None) -> Iterator[pl.DataFrame]:
    with contextlib.closing(file_chunks(obj, first=PROBE_BYTES)) as chunks:
        head = next(chunks, b"")
        if sniff(head, source=obj.name) is not Format.PARQUET:
            head += next(chunks, b"")
            yield from decode_stream(
                chain([head], chunks), schema, source=obj.name, batch_rows=batch_rows, columns=columns
            )
            return
    yield from _parquet(obj, schema, batch_rows, columns)


def decode_stream(
    chunks: Iterator[bytes],
    schema: Schema,
    *,
    source: str,
    batch_rows: int,
    columns: Sequence[str] | None = None,
    concatenated: bool = False,
    cancel: Callable[[], None] | None = None,
) -> Iterator[pl.DataFrame]:
    """Yield the rows of an object that is given as chunks of bytes; what they raise is listed at `read_object`.

    Args:
        chunks: the bytes in order.
        schema: the declared columns.
        source: what to call the stream in messages.
        batch_rows: the most rows of a table.
        columns: the columns to return; all by default.
        concatenated: whether several objects may follow each other with nothing between them.
        cancel: makes `chunks` that wait for their source end; see `decode_prefetched`.
    """
    head = head_of(chunks, LEAST_BYTES)
    found = sniff(head, source=source)
    chunks = chain([head], chunks)
    decode = partial(decode_stream, schema=schema, batch_rows=batch_rows, columns=columns)
    if found is Format.GZIP:
        yield from decode(gunzip(chunks, source=source), source=source, concatenated=concatenated, cancel=cancel)
    elif found is Format.RECORD_IO:
        for number, record in enumerate(RecordReader(chunks, source=source)):
            yield from decode(iter([record]), source=f"{source}[record {number}]")
    elif found is Format.PARQUET:
        for name, path in spool_objects(chunks, source=source):
            yield from read_parquet(path, schema, source=name, batch_rows=batch_rows, columns=columns)
    else:
        decoder = decoder_for(found, schema, source=source, columns=columns, concatenated=concatenated)
        blocks = cut_rows(chunks, source=source, rules=row_rules(found, schema))
        yield from decode_blocks(blocks, decoder, batch_rows=batch_rows, cancel=cancel)


def decoder_for(
    found: Format, schema: Schema, *, source: str, columns: Sequence[str] | None, concatenated: bool = False
) -> Decoder:
    """Return the decoder of a text format."""
    if found is Format.CSV:
        csv = ConcatenatedCsvDecoder if concatenated else CsvDecoder
        return csv(schema, source=source, columns=columns)
    json_lines = ConcatenatedJsonLinesDecoder if concatenated else JsonLinesDecoder
    return json_lines(schema, source=source, columns=columns)


def row_rules(found: Format, schema: Schema) -> RowRules:
    """Return where rows of a text format end."""
    return RowRules(quotes=found is Format.CSV, blank_rows=found is Format.CSV and len(schema.columns) == 1)


def decode_blocks(
    blocks: Iterator[bytes], decoder: Decoder, *, batch_rows: int, cancel: Callable[[], None] | None = None
) -> Iterator[pl.DataFrame]:
    """Yield the rows of blocks as tables of at most `batch_rows` rows; the first block has the header, if any."""
    first = next(blocks, None)
    if first is None:
        return
    rest = decoder.start(first)
    yield from _batches(chain([rest], blocks), decoder, batch_rows, decoder.header_lines, cancel)


def _batches(
    blocks: Iterator[bytes],
    decoder: Decoder,
    batch_rows: int,
    lines: int = 0,
    cancel: Callable[[], None] | None = None,
) -> Iterator[pl.DataFrame]:
    """Yield the rows of blocks before which there are so many lines."""
    with contextlib.closing(decode_prefetched(blocks, partial(_decode, decoder), cancel)) as decoded:
        try:
            for frame, lines_of_block in decoded:
                lines += lines_of_block
                if frame.height <= batch_rows:
                    yield from (frame,) if frame.height else ()
                else:
                    yield from frame.iter_slices(batch_rows)
        except (RowMismatchError, ColumnsMismatchError, JoinedRowsError) as error:
            raise _shifted(error, decoder.source, lines) from None


def _decode(decoder: Decoder, block: bytes) -> tuple[pl.DataFrame, int]:
    frame = decoder.decode(block)
    return frame, decoder.lines(block, frame.height)


def _parquet(
    obj: Object, schema: Schema, batch_rows: int, columns: Sequence[str] | None, groups: range | None = None
) -> Iterator[pl.DataFrame]:
    return read_parquet(
        obj.path,
        schema,
        source=obj.name,
        batch_rows=batch_rows,
        columns=columns,
        groups=groups,
        streamed=is_streamed(obj.path),
    )


def _byte_range(
    obj: Object, schema: Schema, batch_rows: int, columns: Sequence[str] | None, split: Split
) -> Iterator[pl.DataFrame]:
    found, head = probe(obj)
    decoder = decoder_for(found, schema, source=obj.name, columns=columns)
    with contextlib.closing(file_chunks(obj, split.start, split.end)) as chunks:
        blocks = cut_rows(chunks, source=obj.name, rules=row_rules(found, schema))
        if not split.start:
            yield from decode_blocks(blocks, decoder, batch_rows=batch_rows)
            return
        decoder.start(head[: head.find(b"\n") + 1])  # a header, if there is one, says the order of the fields
        try:
            yield from _batches(blocks, decoder, batch_rows)
        except RowMismatchError as error:
            raise _shifted(error, obj.name, lines_before(obj, split.start)) from None


def _shifted(error: _E, source: str, lines: int) -> _E:
    """Return an error about a part of an object or stream as one about the whole: `lines` come before the part."""
    problems = []
    for problem in error.problems:
        line, *column = problem.path.removeprefix(f"{source}:").split(":", 1)
        problems.append(Problem(":".join([source, str(int(line) + lines), *column]), problem.message))
    return type(error)(error.what, expected=error.expected, fix=error.fix, problems=problems)
