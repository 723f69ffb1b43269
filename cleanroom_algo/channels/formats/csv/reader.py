"""The reader of CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from cleanroom_algo.channels.formats.blocks import MAX_ROW_BYTES, RowRules, cut_rows
from cleanroom_algo.channels.formats.csv.concatenated import ConcatenatedCsvDecoder
from cleanroom_algo.channels.formats.csv.decoder import CsvDecoder, may_span
from cleanroom_algo.channels.formats.csv.dialect import check_dialect, dialect_of
from cleanroom_algo.channels.formats.text import TextReader, line_end
from cleanroom_algo.channels.objects import Object, file_chunks
from cleanroom_algo.channels.schema import Schema

_LEAST_WINDOW: Final = 64 << 10
"""The bytes that are read first after a cut; they mostly show whether the cut is inside a field in quotes."""


class CsvReader(TextReader):
    """CSV: rows may span several lines if a column is text."""

    name = "CSV"

    def sniff(self, head: bytes) -> bool:
        """Return whether it is text: text in no other format is read as CSV."""
        return b"\0" not in head

    def decoder(
        self, schema: Schema, *, source: str, columns: Sequence[str] | None = None, concatenated: bool = False
    ) -> CsvDecoder:
        """Return a decoder for an object or a stream."""
        return (ConcatenatedCsvDecoder if concatenated else CsvDecoder)(schema, source=source, columns=columns)

    def rules(self, schema: Schema) -> RowRules:
        """Return where rows end: only text may contain line breaks, and only a row of one field may be blank."""
        return csv_rules(schema)

    def row_ends(self, obj: Object, schema: Schema) -> Callable[[int, int], int | None]:
        """Return a function of two offsets that returns the end of a row after the first and before the second one."""
        if self.rules(schema).quoting is None:
            return super().row_ends(obj, schema)
        return _RowEnds(obj, schema)


def csv_rules(schema: Schema) -> RowRules:
    """Return where the rows of a table end in CSV: only text may contain line breaks, only one field may be blank."""
    return RowRules(dialect_of(schema) if may_span(schema) else None, blank_rows=len(schema.columns) == 1)


class _RowEnds:
    """Finds where rows end after offsets, in ascending order, in an object whose rows may span several lines.

    After a line break, either a row begins or a field in quotes continues. In most objects, the following bytes exclude
    one of the two: text follows a closing quote, or the object or 64 MiB end inside quotes. If they exclude neither,
    the object is read from its start.
    """

    def __init__(self, obj: Object, schema: Schema) -> None:
        self._obj = obj
        self._schema = schema
        self._dialect = dialect_of(schema)
        self._blocks: Iterator[bytes] = cut_rows(file_chunks(obj), source=obj.name, rules=csv_rules(schema))
        self._block = b""
        self._start = 0  # of the block in the object
        self._line = 1  # the number of its first line
        self._without_quotes = obj.size  # there are none from this offset on

    def __call__(self, offset: int, limit: int) -> int | None:
        line = line_end(self._obj, offset, limit)
        if line is None:
            return None
        end = self._proven(line) or self._from_the_start(line)
        return end if end <= limit else None

    def _proven(self, line: int) -> int:
        """Return where a row ends at or after the end of a line, 0 if the following bytes do not show it."""
        if line >= self._without_quotes:
            return line
        data = b""
        most = min(max(line, _LEAST_WINDOW), MAX_ROW_BYTES)
        with self._obj.path.open("rb", buffering=0) as file:
            file.seek(line)
            while len(data) <= most and (step := file.read(7 * len(data) or _LEAST_WINDOW)):
                data += step
                if self._schema.csv.dialect is None and b'\\"' in data:
                    return 0  # reading from the start shows whether the dialects differ
                end = self._verdict(data, at_end=line + len(data) >= self._obj.size)
                if end is not None:
                    return line + end if end >= 0 else 0
        return 0

    def _verdict(self, data: bytes, *, at_end: bool) -> int | None:
        """Return where a row ends in the data after a line break, -1 if no reading is possible, None if both are."""
        if b'"' not in data:
            if at_end:
                self._without_quotes = self._obj.size - len(data)
            return 0 if at_end or len(data) >= MAX_ROW_BYTES else None  # else a field in quotes would not end
        inside = b'"' + data
        end = self._dialect.first_end(inside, 0) - 1  # -1: none
        may_begin = not self._dialect.is_malformed(data, at_end=at_end)
        may_go_on = not self._dialect.is_malformed(inside, at_end=at_end) and (end >= 0 or len(data) < MAX_ROW_BYTES)
        if not may_go_on:
            return 0 if may_begin else -1
        if end >= 0 and (not may_begin or self._dialect.first_end(data, end - 1) == end):
            return end  # in the only possible reading, or in both
        return None

    def _from_the_start(self, line: int) -> int:
        while line > self._start + len(self._block):
            self._start += len(self._block)
            self._line += self._block.count(b"\n")
            self._block = next(self._blocks, b"")
            if not self._block:
                return self._obj.size
            check_dialect(self._block, self._schema, source=self._obj.name, line=self._line)
        end = self._dialect.first_end(self._block, max(line - self._start - 1, 0))
        return self._start + end if end else self._obj.size
