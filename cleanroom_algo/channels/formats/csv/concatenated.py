"""CSV of several objects concatenated with nothing between them, as Pipe mode delivers a channel.

Each object may begin with a header, even if the first one does not. A line is dropped if it must be a header: it cannot
be a row of the schema, or it is a line of all names in a table of several columns of text. All headers must name the
columns in one order, because nothing shows where an object ends. An object without a header has the order of the first
header, or that of the schema.

The last line of an object may lack its line break: then its last row and the first line of the next object are one
line. If only one way to cut that line gives rows of the schema, it is cut there; if there are several ways, it is an
error. If there is no way, or if the line may be one row with too many fields, it is a row that does not fit. In a table
of two or more columns, such a line always has too many fields and is never missed. In a table of one column without
headers, it cannot be detected.

In a table of one column of text, a row may equal the header or end like it. If such a row cannot be distinguished from
the header of a later object, it is an error that names the option to declare.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

import polars as pl

from cleanroom_algo.channels.formats.blocks import BOM, count_byte, without_marks
from cleanroom_algo.channels.formats.csv.decoder import CsvDecoder
from cleanroom_algo.channels.formats.csv.dialect import check_dialect
from cleanroom_algo.channels.formats.csv.rows import Row, fits, header_names, parse_slowly, rows
from cleanroom_algo.errors import ColumnsMismatchError, JoinedRowsError, Problem, RowMismatchError

_LINE: Final = re.compile(rb"[^\n]*\n|[^\n]+")


class ConcatenatedCsvDecoder(CsvDecoder):
    """Decodes the blocks of concatenated CSV objects."""

    _headers: tuple[bytes, ...] = ()  # the possible spellings of a header, without line ends

    def start(self, block: bytes) -> bytes:
        """Take the byte order mark and the header from the first block; errors are those of `CsvDecoder.start`."""
        block = block.removeprefix(BOM)
        end = block.find(b"\n") + 1 or len(block)
        first = block[:end].rstrip(b"\r\n")
        # Objects that consist of a header without its line break repeat it on the first line.
        period = (first + first).find(first, 1)
        if 0 < period < len(first) and self._is_header_line(first[:period]):
            block = first[:period] + (block[len(first) : end] or b"\n") + block[end:]
        rest = super().start(block)
        if self.schema.csv.header != "none":
            self._headers = self._spellings()
        return rest

    def decode(self, block: bytes, *, line: int = 1, rejected: list[int] | None = None) -> pl.DataFrame:
        """Return the rows of a block; the arguments are those of `CsvDecoder.decode`.

        Raises:
            RowMismatchError: CR-SCH-002, rows do not fit.
            ColumnsMismatchError: CR-SCH-003, a header has another column order than those before it.
            JoinedRowsError: CR-CHN-009, rows are joined, and it is not clear where to cut them.
        """
        if self._has_texts:
            check_dialect(block, self.schema, source=self.source, line=line)
        parts = list(self._without_headers(without_marks(block), line))
        try:
            frame = super().decode(b"".join(data for data, _ in parts), line=line, rejected=rejected)
        except RowMismatchError:
            frames = []
            for data, at in parts:  # part by part, for the right line in errors, and to cut joined lines
                frames.append(super().decode(self._cut(data, at), line=at, rejected=rejected))
            return pl.concat(frames)
        if self._is_one_text and self.schema.csv.header != "none":
            self._refuse_undecided(frame, parts)
        elif self._may_hold_header(frame):
            for data, at in parts:
                self._cut(data, at)  # called for its errors: rows that fit are not cut
        return frame

    def lines(self, block: bytes, rows: int) -> int:  # noqa: ARG002 (headers are not rows, and joined rows share a line)
        """Return how many lines a block has."""
        return count_byte(block, b"\n")

    def _is_header_line(self, line: bytes) -> bool:
        return self.schema.csv.header != "none" and self._is_header(header_names(line, self.dialect) or ())

    def _spellings(self) -> tuple[bytes, ...]:
        names = self._fields
        quoted = ['"' + name.replace('"', '""') + '"' for name in names]
        lines = [self.dialect.delimiter.join(spelt).encode() for spelt in (names, quoted)]
        if self._is_one_text:
            return tuple(lines) if self.schema.csv.header == "each" else ()
        usual = [line for line in lines if header_names(line, self.dialect) == list(names) and self._is_no_row(line)]
        own = self.header.rstrip(b"\r\n")
        return tuple(dict.fromkeys([own, *usual] if own else usual))

    @property
    def _is_one_text(self) -> bool:
        return len(self._layout.columns) == 1 and self._layout.columns[0].is_string

    def _refuse_undecided(self, frame: pl.DataFrame, parts: Sequence[tuple[bytes, int]]) -> None:
        """Refuse rows that may be the header of a later object, or that end like it if objects begin with one.

        Raises:
            JoinedRowsError: CR-CHN-009, there is such a row.
        """
        name = self._fields[0]
        ends = (name, f'"{name}"') if self.header else ()

        def is_undecided(value: str | None) -> bool:
            return value is not None and (value == name or value.endswith(ends))

        values = frame.get_column(name)
        if not any(map(is_undecided, values.filter(values.str.contains(name, literal=True)))):
            return
        for data, at in parts:
            for row in rows(data.decode("utf-8", "surrogateescape"), self.dialect):
                if is_undecided(row.fields[0]):
                    raise JoinedRowsError(
                        f"{self.source}: a row ends like the header, and may be the header of a later object",
                        expected="rows that differ from the header, because nothing else shows where an object begins",
                        fix='declare csv=Csv(header="none") if no object has a header, or header="each" if all '
                        "objects have one and no row equals it; or use File or FastFile mode, or resultFormat "
                        "PARQUET",
                        problems=[Problem(f"{self.source}:{at + row.line - 1}", "is a row or a header")],
                    )

    def _is_no_row(self, line: bytes) -> bool:
        """Whether a line of all names is a header: one column of text, or names that are numbers, may be a row."""
        columns = self._layout.columns
        return not self._fits(line) or (len(columns) > 1 and all(column.is_string for column in columns))

    def _may_hold_header(self, frame: pl.DataFrame) -> bool:
        """Whether a header may have been read as a row: only if it fits into columns of text: a fast check."""
        if len(self._layout.columns) == 1 or not all(column.is_string for column in self._read):
            return False
        return bool(frame.get_column(self._wanted[0]).is_in(self._fields).any())

    def _without_headers(self, block: bytes, line: int) -> Iterator[tuple[bytes, int]]:
        """Yield the parts between the headers, with the line at which each begins."""
        # Looking for a byte that does not occur takes a tenth of the time of looking for a whole header (measured).
        here = [each for each in self._headers if all(byte in block for byte in set(each)) and each in block]
        header = re.compile(b"|".join(map(re.escape, here)))
        start = 0
        match = header.search(block) if here else None
        while match:
            position, end = match.span()
            row_end = position - len(BOM) if block.endswith(BOM, start, position) else position
            while again := header.match(block, end):  # an object that is only a header without its line break
                end = again.end()
            line_end = block.find(b"\n", end) + 1 or len(block)
            if not block[end:line_end].strip(b"\r\n") and self._begins_object(block, start, row_end, line_end):
                if row_end > start:
                    rows_before = block[start:row_end]
                    yield rows_before if rows_before.endswith(b"\n") else rows_before + b"\n", line
                line += block.count(b"\n", start, line_end)
                start = end = line_end
            match = header.search(block, end)
        if start < len(block):
            yield block[start:], line

    def _begins_object(self, block: bytes, start: int, row_end: int, line_end: int) -> bool:
        """Whether the header at `row_end` is at the beginning of a line, or right after a row without a line break."""
        if row_end == start or block[row_end - 1 : row_end] == b"\n":
            return True
        row = block.rfind(b"\n", start, row_end) + 1 or start
        return self._fits(block[row:row_end]) and not self._fits(block[row:line_end])

    def _cut(self, data: bytes, line: int) -> bytes:
        """Return the rows, with each line cut that holds two rows and can only be cut in one place.

        Raises:
            ColumnsMismatchError: CR-SCH-003, one is a header in another order.
            JoinedRowsError: CR-CHN-009, one could be cut in several places.
        """
        width = len(self._layout.columns)
        lines = _LINE.findall(data)
        for row in rows(data.decode("utf-8", "surrogateescape"), self.dialect):
            self._refuse_other_order(row.fields, line + row.line - 1)
            if width > 1 and len(row.fields) == 2 * width - 1:
                text = lines[row.line - 1]
                places = [at for at in range(1, len(text)) if self._fits(text[:at]) and self._fits(text[at:])]
                if len(places) > 1:
                    raise _ran_together(self.source, line + row.line - 1, len(places))
                for place in () if self._holds_row(row) else places:
                    lines[row.line - 1] = text[:place] + b"\n" + text[place:]
        return b"".join(lines)

    def _refuse_other_order(self, fields: Sequence[str | None], line: int) -> None:
        names = self._fields
        if len(fields) != len(names) or set(fields) != set(names) or tuple(fields) == names:
            return
        if self._is_no_row(self.dialect.delimiter.join(map(str, fields)).encode()):
            raise ColumnsMismatchError(
                f"{self.source}: a header has another column order than the objects before it",
                expected="the same column order in all objects, because a pipe does not show where an object ends",
                fix="select the columns in the same order, or use File or FastFile mode, where each object can have "
                "its own order",
                problems=[Problem(f"{self.source}:{line}", "is a header in another order")],
            )

    def _holds_row(self, row: Row) -> bool:
        """Whether some fields of a row are a row of the schema, and the others may be too many."""
        width = len(self._layout.columns)
        parts = (row.fields[at : at + width] for at in range(len(row.fields) - width + 1))
        return not row.fault and any(fits(Row(row.line, part), self._layout) for part in parts)

    def _fits(self, row: bytes) -> bool:
        try:
            return parse_slowly(row, self._layout, self.dialect, source=self.source, line=1).height == 1
        except RowMismatchError:
            return False


def _ran_together(source: str, line: int, places: int) -> JoinedRowsError:
    return JoinedRowsError(
        f"{source}: one line contains two rows, and there are {places} places where the first row could end",
        expected="objects that end with a line break, or a header in each object",
        fix="use File or FastFile mode, or resultFormat PARQUET",
        problems=[Problem(f"{source}:{line}", "the last row of one object and the first of the next")],
    )
