"""Objects of text, with a record per line or row: read in blocks, divided where a row ends, counted by line breaks.

Memory, for an object of any size, with d = max(2, min(8, 2 x polars threads)): (d + 4) x (4 MiB + the longest row), and
the same again for tables.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, pairwise
from typing import Final, Protocol, TypeVar

import polars as pl

from cleanroom_algo.channels.faults import RowFaults
from cleanroom_algo.channels.formats.blocks import MAX_ROW_BYTES, RowRules, cut_rows, row_too_long
from cleanroom_algo.channels.formats.protocol import Stream, Wanted, file_stream
from cleanroom_algo.channels.objects import Object, lines_before, probe
from cleanroom_algo.channels.prefetch import decode_prefetched
from cleanroom_algo.channels.schema import Column, Schema
from cleanroom_algo.channels.splits import Split
from cleanroom_algo.channels.values import Value
from cleanroom_algo.errors import JoinedRowsError, Problem, SchemaError

_STEP: Final = 64 << 10
"""Bytes in which the end of a line is searched first: few lines are longer."""
_E = TypeVar("_E", bound=SchemaError | JoinedRowsError)


class Decoder(Protocol):
    """Converts the blocks of one object or stream to tables; thread-safe after `start`."""

    @property
    def source(self) -> str:
        """What messages call the object or stream."""

    @property
    def header_lines(self) -> int:
        """The number of lines that `start` removed."""

    def start(self, block: bytes) -> bytes:
        """Remove what precedes the rows from the first block."""

    def decode(self, block: bytes) -> pl.DataFrame:
        """Return the rows of a block; in errors, its lines are counted from 1."""

    def count(self, block: bytes) -> int:
        """Return the number of rows of a block."""

    def lines(self, block: bytes, rows: int) -> int:
        """Return how many lines a block of `rows` rows has."""


class TextReader(ABC):
    """The reader of a format of text."""

    seeks = False

    @abstractmethod
    def decoder(
        self, schema: Schema, *, source: str, columns: Sequence[str] | None = None, concatenated: bool = False
    ) -> Decoder:
        """Return a decoder for an object or a stream."""

    @abstractmethod
    def rules(self, schema: Schema) -> RowRules:
        """Return where rows end."""

    def row_ends(self, obj: Object, schema: Schema) -> Callable[[int, int], int | None]:  # noqa: ARG002 (CSV needs it)
        """Return a function of two ascending offsets: where a row ends between them, None if none does."""
        return partial(line_end, obj)

    def split(self, obj: Object, schema: Schema, parts: int, own: range) -> tuple[Split, ...]:
        """Divide an object where rows end.

        A part in which no row ends is empty: it is cut where the next one is. So the cuts ascend, and all callers get
        the same ones.
        """
        # One byte before the even division, so that a row that ends exactly there is cut there.
        targets = [0, *(max(obj.size * part // parts - 1, 0) for part in range(1, parts)), obj.size]
        row_end = self.row_ends(obj, schema)

        def cut(part: int) -> int:
            while 0 < part < parts:
                if (end := row_end(targets[part], targets[part + 1])) is not None:
                    return end
                part += 1
            return targets[part]

        return tuple(Split(*cuts) for cuts in pairwise(map(cut, range(own.start, own.stop + 1))))

    def count(self, obj: Object, schema: Schema, split: Split | None) -> int:
        """Count the rows of an object by the line breaks that end them."""
        start = split.start if split is not None else 0
        with file_stream(obj, split) as stream:
            try:
                return self.count_stream(stream, schema, at_start=not start)
            except SchemaError as error:
                raise _shifted(error, obj.name, lines_before(obj, start)) from None

    def count_stream(self, stream: Stream, schema: Schema, *, at_start: bool = True) -> int:
        """Count the rows of an object that is read as a stream, or of a part of it that may not be its start."""
        decoder = self.decoder(schema, source=stream.source, columns=schema.names[:1])
        blocks = cut_rows(stream.chunks, source=stream.source, rules=self.rules(schema))
        lines = rows = 0
        if at_start and (first := next(blocks, None)) is not None:
            blocks = chain([decoder.start(first)], blocks)
            lines = decoder.header_lines
        for block in filter(None, blocks):
            try:
                found = decoder.count(block)
            except SchemaError as error:
                raise _shifted(error, stream.source, lines) from None
            rows += found
            lines += decoder.lines(block, found)
        return rows

    def read(self, obj: Object, wanted: Wanted, split: Split | None) -> Iterator[pl.DataFrame]:
        """Yield the rows of an object, or of a part of it."""
        start = split.start if split is not None else 0
        with file_stream(obj, split) as stream:
            if not start:
                yield from self.join(stream, wanted)
                return
            decoder = self.decoder(wanted.schema, source=obj.name, columns=wanted.columns)
            head = probe(obj)
            decoder.start(head[: head.find(b"\n") + 1])  # a header, if there is one, defines the order of the fields
            blocks = cut_rows(stream.chunks, source=obj.name, rules=self.rules(wanted.schema))
            try:
                yield from _decoded(blocks, decoder, wanted.batch_rows)
            except SchemaError as error:
                raise _shifted(error, obj.name, lines_before(obj, start)) from None

    def join(self, stream: Stream, wanted: Wanted) -> Iterator[pl.DataFrame]:
        """Yield the rows of a stream."""
        decoder = self.decoder(
            wanted.schema, source=stream.source, columns=wanted.columns, concatenated=stream.concatenated
        )
        blocks = cut_rows(stream.chunks, source=stream.source, rules=self.rules(wanted.schema))
        first = next(blocks, None)
        if first is not None:
            blocks = chain([decoder.start(first)], blocks)
            yield from _decoded(blocks, decoder, wanted.batch_rows, decoder.header_lines, stream.cancel)


def table_of_rows(
    rows: Iterable[tuple[int, Sequence[Value | None], Sequence[tuple[str, str]]]],
    columns: Sequence[Column],
    *,
    source: str,
    rejected: list[int] | None,
) -> pl.DataFrame:
    """Return rows that were parsed one by one as a table, or say which do not fit.

    Args:
        rows: for each row, its line, its values and its faults by column; without faults it has a value for each
            column.
        columns: the columns of the values.
        source: what to call the object in messages.
        rejected: takes the positions of the rows that have faults, from 0, in place of an error.

    Raises:
        RowMismatchError: CR-SCH-002, with the faults by kind, the first place of each as `object:line:column`.
    """
    values: list[list[Value | None]] = [[] for _ in columns]
    faults = RowFaults(source)
    count = 0
    for line, row, found in rows:
        if not found:
            for column, value in zip(values, row, strict=True):
                column.append(value)
        elif rejected is not None:
            rejected.append(count)
        else:
            faults.add_row(str(line), found)
        count += 1
    if faults.rows:
        raise faults.error(count)
    return pl.DataFrame([pl.Series(c.name, v, dtype=c.polars_dtype()) for c, v in zip(columns, values, strict=True)])


def line_end(obj: Object, offset: int, limit: int) -> int | None:
    """Return the offset after the first line break from `offset` on, None if it is beyond `limit`."""
    with obj.path.open("rb") as file:
        file.seek(offset)
        position = offset
        while position < limit and (step := file.read(_STEP)):
            found = step.find(b"\n") + 1
            if found:
                return position + found if position + found <= limit else None
            position += len(step)
            if position - offset > MAX_ROW_BYTES:
                raise row_too_long(obj.name, offset)
    return None


def _decoded(
    blocks: Iterator[bytes],
    decoder: Decoder,
    batch_rows: int,
    lines: int = 0,
    cancel: Callable[[], None] | None = None,
) -> Iterator[pl.DataFrame]:
    """Yield the rows of blocks; `lines` is the number of lines before them."""
    with contextlib.closing(decode_prefetched(blocks, partial(_decode, decoder), cancel)) as decoded:
        try:
            for frame, lines_of_block in decoded:
                lines += lines_of_block
                if frame.height <= batch_rows:
                    yield from (frame,) if frame.height else ()
                else:
                    yield from frame.iter_slices(batch_rows)
        except (SchemaError, JoinedRowsError) as error:
            raise _shifted(error, decoder.source, lines) from None


def _decode(decoder: Decoder, block: bytes) -> tuple[pl.DataFrame, int]:
    frame = decoder.decode(block)
    return frame, decoder.lines(block, frame.height)


def _shifted(error: _E, source: str, lines: int) -> _E:
    """Convert an error about a part of an object or stream to one about the whole; `lines` come before the part."""
    problems = []
    for problem in error.problems:
        line, *column = problem.path.removeprefix(f"{source}:").split(":", 1)
        problems.append(Problem(":".join([source, str(int(line) + lines), *column]), problem.message))
    return type(error)(error.what, expected=error.expected, fix=error.fix, problems=problems)
