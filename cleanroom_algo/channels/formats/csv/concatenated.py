"""Text of several objects concatenated with nothing between them, as Pipe mode delivers a channel.

Each object may begin with a header, whether the first one has one or not. Such lines are dropped where they prove to be
headers: no row of the schema reads so, or none would in a table of several columns of text. All headers name the
columns in one order, as nothing shows where an object ends; another order is an error. An object without a header has
the order of the first header, or the schema's.

An object may lack its last line break: its last row and the next object's first line then stand on one line. Where only
one way of cutting that line gives rows of the schema, it is cut there; where there are several, it is an error, and
where there is none it is a row that does not fit. It is never silent in a table of two columns or more, because such a
line has too many fields; in a table of one column without headers it cannot be noticed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

import polars as pl

from cleanroom_algo.channels.formats.blocks import count_byte
from cleanroom_algo.channels.formats.csv.decoder import BOM, CsvDecoder
from cleanroom_algo.channels.formats.csv.rows import header_names, parse_slowly, rows
from cleanroom_algo.channels.formats.json_lines import JsonLinesDecoder
from cleanroom_algo.errors import ColumnsMismatchError, JoinedRowsError, Problem, RowMismatchError


class ConcatenatedCsvDecoder(CsvDecoder):
    """Decodes the blocks of concatenated CSV objects."""

    _headers: tuple[bytes, ...] = ()  # the spellings of a header that are looked for, without line ends

    def start(self, block: bytes) -> bytes:
        """Take the byte order mark and the header from the first block; errors are those of `CsvDecoder.start`."""
        block = block.removeprefix(BOM)
        end = block.find(b"\n") + 1 or len(block)
        first = block[:end].rstrip(b"\r\n")
        # Objects of a header alone, without its line break, repeat it on the first line.
        period = (first + first).find(first, 1)
        if 0 < period < len(first) and sorted(header_names(first[:period]) or ()) == sorted(self.schema.names):
            block = first[:period] + (block[len(first) : end] or b"\n") + block[end:]
        rest = super().start(block)
        self._headers = self._spellings()
        return rest

    def decode(self, block: bytes, *, line: int = 1, rejected: list[int] | None = None) -> pl.DataFrame:
        """Return the rows of a block; the arguments are those of `CsvDecoder.decode`.

        Raises:
            RowMismatchError: CR-SCH-002, rows do not fit.
            ColumnsMismatchError: CR-SCH-003, a header names the columns in another order than those before it.
            JoinedRowsError: CR-CHN-009, rows ran together and where to cut them cannot be proven.
        """
        parts = list(self._without_headers(_without_marks(block), line))
        try:
            frame = super().decode(b"".join(data for data, _ in parts), line=line, rejected=rejected)
        except RowMismatchError:
            frames = []
            for data, at in parts:  # part by part: the error has the right line, and lines are cut that can be
                frames.append(super().decode(self._cut(data, at), line=at, rejected=rejected))
            return pl.concat(frames)
        if self._may_hold_header(frame):
            for data, at in parts:
                self._cut(data, at)  # of rows that fit none is cut
        return frame

    def lines(self, block: bytes, rows: int) -> int:  # noqa: ARG002 (headers are no rows, and joined rows share a line)
        """Return how many lines a block has."""
        return count_byte(block, b"\n")

    def _spellings(self) -> tuple[bytes, ...]:
        names = self._layout.names
        quoted = ['"' + name.replace('"', '""') + '"' for name in names]
        lines = [",".join(spelt).encode() for spelt in (names, quoted)]
        usual = [line for line in lines if header_names(line) == list(names) and self._is_no_row(line)]
        own = self.header.rstrip(b"\r\n")
        return tuple(dict.fromkeys([own, *usual] if own else usual))

    def _is_no_row(self, line: bytes) -> bool:
        """Whether a line of all names is a header: of one text it may be a row, of names that are numbers, too."""
        columns = self._layout.columns
        return not self._fits(line) or (len(columns) > 1 and all(column.dtype == "string" for column in columns))

    def _may_hold_header(self, frame: pl.DataFrame) -> bool:
        """Whether one may have been read as a row; only where it fits into columns of text, which is soon seen."""
        if len(self._layout.columns) == 1 or any(column.dtype != "string" for column in self._read):
            return False
        return bool(frame.get_column(self._wanted[0]).is_in(self._layout.names).any())

    def _without_headers(self, block: bytes, line: int) -> Iterator[tuple[bytes, int]]:
        """Yield what lies between the headers, and the line where it begins."""
        # A byte that is not there is found missing in a tenth of the time of a whole header (measured).
        here = [each for each in self._headers if all(byte in block for byte in set(each)) and each in block]
        header = re.compile(b"|".join(map(re.escape, here)))
        start = 0
        match = header.search(block) if here else None
        while match:
            position, end = match.span()
            row_end = position - len(BOM) if block.endswith(BOM, start, position) else position
            while again := header.match(block, end):  # an object of a header alone, without its line break
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
        """Whether the header at `row_end` stands at the beginning of a line, or right after a row without its end."""
        if row_end == start or block[row_end - 1 : row_end] == b"\n":
            return True
        row = block.rfind(b"\n", start, row_end) + 1 or start
        return self._fits(block[row:row_end]) and not self._fits(block[row:line_end])

    def _cut(self, data: bytes, line: int) -> bytes:
        """Return the rows with those lines cut that hold two rows and can only be cut in one place.

        Raises:
            ColumnsMismatchError: CR-SCH-003, one is a header in another order.
            JoinedRowsError: CR-CHN-009, one could be cut in several places.
        """
        width = len(self._layout.columns)
        lines = data.splitlines(keepends=True)
        for row in rows(data.decode("utf-8", "surrogateescape")):
            self._refuse_other_order(row.fields, line + row.line - 1)
            if width > 1 and len(row.fields) == 2 * width - 1:
                text = lines[row.line - 1]
                places = [at for at in range(1, len(text)) if self._fits(text[:at]) and self._fits(text[at:])]
                if len(places) > 1:
                    raise _ran_together(self.source, line + row.line - 1, len(places))
                for place in places:
                    lines[row.line - 1] = text[:place] + b"\n" + text[place:]
        return b"".join(lines)

    def _refuse_other_order(self, fields: Sequence[str | None], line: int) -> None:
        names = self._layout.names
        if len(fields) != len(names) or set(fields) != set(names) or tuple(fields) == names:
            return
        if self._is_no_row(",".join(map(str, fields)).encode()):
            raise ColumnsMismatchError(
                f"{self.source}: a header names the columns in another order than what comes before it",
                expected="one order in all objects of a pipe, where nothing shows where an object ends",
                fix="select the columns in one order; or use File or FastFile mode, where each object may have its own",
                problems=[Problem(f"{self.source}:{line}", "is a header in another order")],
            )

    def _fits(self, row: bytes) -> bool:
        try:
            return parse_slowly(row, self._layout, source=self.source, line=1).height == 1
        except RowMismatchError:
            return False


class ConcatenatedJsonLinesDecoder(JsonLinesDecoder):
    """Decodes the blocks of concatenated objects; a line that holds several JSON objects is cut between them."""

    def decode(self, block: bytes, *, line: int = 1, rejected: list[int] | None = None) -> pl.DataFrame:
        """Return the rows of a block; the arguments and errors are those of `JsonLinesDecoder.decode`."""
        block = _without_marks(block)
        try:
            return super().decode(block, line=line, rejected=rejected)
        except RowMismatchError:
            cut = b"".join(map(_cut_objects, block.splitlines(keepends=True)))
            if cut == block:
                raise
            return super().decode(cut, line=line, rejected=rejected)

    def lines(self, block: bytes, rows: int) -> int:  # noqa: ARG002 (joined rows share a line)
        """Return how many lines a block has."""
        return count_byte(block, b"\n")


def _without_marks(block: bytes) -> bytes:
    """Return a block without the byte order marks of objects that begin on a line of their own."""
    if BOM[0] not in block or BOM not in block:
        return block
    return block.removeprefix(BOM).replace(b"\n" + BOM, b"\n")


def _cut_objects(line: bytes) -> bytes:
    if b"}{" not in line:
        return line
    text = line.decode("utf-8", "surrogateescape")
    objects: list[str] = []
    position = 0
    while position < len(text.rstrip()):
        try:
            _, end = json.JSONDecoder().raw_decode(text, position)
        except (ValueError, RecursionError):
            return line
        objects.append(text[position:end])
        position = end
    return ("\n".join(objects) + "\n").encode("utf-8", "surrogateescape")


def _ran_together(source: str, line: int, places: int) -> JoinedRowsError:
    return JoinedRowsError(
        f"{source}: two rows on one line, which could be cut in {places} places",
        expected="objects that end in a line break, or a header in each, which shows where they begin",
        fix="use File or FastFile mode, or resultFormat PARQUET",
        problems=[Problem(f"{source}:{line}", "the last row of one object and the first of the next")],
    )
