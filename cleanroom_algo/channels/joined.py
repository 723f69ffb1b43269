"""Text of several objects joined with nothing between them, as Pipe mode delivers a channel.

Each object may begin with the header again: such lines are dropped. An object may lack its last line break: its last
row and the next object's first line then stand on one line. Where only one way of cutting that line gives rows of the
schema, it is cut there; where there are several, or none, it is an error. It is never silent in a table of two columns
or more, because such a line has too many fields; in a table of one column without headers it cannot be noticed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import polars as pl

from cleanroom_algo.channels.blocks import count_byte
from cleanroom_algo.channels.csv_decoder import BOM, CsvDecoder
from cleanroom_algo.channels.csv_rows import header_names, parse_slowly, rows
from cleanroom_algo.channels.json_lines import JsonLinesDecoder
from cleanroom_algo.errors import JoinedRowsError, Problem, RowMismatchError


class JoinedCsvDecoder(CsvDecoder):
    """Decodes the blocks of joined CSV objects."""

    def start(self, block: bytes) -> bytes:
        """Take the byte order mark and the header from the first block; errors are those of `CsvDecoder.start`."""
        block = block.removeprefix(BOM)
        end = block.find(b"\n") + 1 or len(block)
        first = block[:end].rstrip(b"\r\n")
        # Objects of a header alone, without its line break, repeat it on the first line.
        period = (first + first).find(first, 1)
        if 0 < period < len(first) and sorted(header_names(first[:period]) or ()) == sorted(self.schema.names):
            block = first[:period] + (block[len(first) : end] or b"\n") + block[end:]
        return super().start(block)

    def decode(self, block: bytes, *, line: int = 1, rejected: list[int] | None = None) -> pl.DataFrame:
        """Return the rows of a block; the arguments are those of `CsvDecoder.decode`.

        Raises:
            RowMismatchError: CR-SCH-002, rows do not fit.
            JoinedRowsError: CR-CHN-009, rows ran together and where to cut them cannot be proven.
        """
        parts = list(self._without_headers(block, line))
        try:
            return super().decode(b"".join(data for data, _ in parts), line=line, rejected=rejected)
        except RowMismatchError:
            frames = []
            for data, at in parts:  # part by part: the error has the right line, and lines are cut that can be
                frames.append(super().decode(self._cut(data, at), line=at, rejected=rejected))
            return pl.concat(frames)

    def lines(self, block: bytes, rows: int) -> int:  # noqa: ARG002 (headers are no rows, and joined rows share a line)
        """Return how many lines a block has."""
        return count_byte(block, b"\n")

    def _without_headers(self, block: bytes, line: int) -> Iterator[tuple[bytes, int]]:
        """Yield what lies between the headers, and the line where it begins."""
        header = self.header.rstrip(b"\r\n")
        start = 0
        position = block.find(header) if header else -1
        while position >= 0:
            end = position + len(header)
            row_end = position - len(BOM) if block.endswith(BOM, start, position) else position
            while block.startswith(header, end):  # an object of a header alone, without its line break
                end += len(header)
            line_end = block.find(b"\n", end) + 1 or len(block)
            if not block[end:line_end].strip(b"\r\n") and self._begins_object(block, start, row_end, line_end):
                if row_end > start:
                    rows_before = block[start:row_end]
                    yield rows_before if rows_before.endswith(b"\n") else rows_before + b"\n", line
                line += block.count(b"\n", start, line_end)
                start = end = line_end
            position = block.find(header, end)
        if start < len(block):
            yield block[start:], line

    def _begins_object(self, block: bytes, start: int, row_end: int, line_end: int) -> bool:
        """Whether the header at `row_end` stands at the beginning of a line, or right after a row without its end."""
        if row_end == start or block[row_end - 1 : row_end] == b"\n":
            return True
        row = block.rfind(b"\n", start, row_end) + 1 or start
        return self._fits(block[row:row_end]) and not self._fits(block[row:line_end])

    def _cut(self, data: bytes, line: int) -> bytes:
        """Return the rows with those lines cut that hold two rows and can only be cut in one place."""
        width = len(self._layout.columns)
        lines = data.splitlines(keepends=True)
        for row in rows(data.decode("utf-8", "surrogateescape")):
            if width > 1 and len(row.fields) == 2 * width - 1:
                text = lines[row.line - 1]
                places = [at for at in range(1, len(text)) if self._fits(text[:at]) and self._fits(text[at:])]
                if len(places) != 1:
                    raise _joined(self.source, line + row.line - 1, len(places))
                lines[row.line - 1] = text[: places[0]] + b"\n" + text[places[0] :]
        return b"".join(lines)

    def _fits(self, row: bytes) -> bool:
        try:
            return parse_slowly(row, self._layout, source=self.source, line=1).height == 1
        except RowMismatchError:
            return False


class JoinedJsonLinesDecoder(JsonLinesDecoder):
    """Decodes the blocks of joined JSON Lines objects; a line that holds several JSON objects is cut between them."""

    def decode(self, block: bytes, *, line: int = 1, rejected: list[int] | None = None) -> pl.DataFrame:
        """Return the rows of a block; the arguments and errors are those of `JsonLinesDecoder.decode`."""
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


def _joined(source: str, line: int, places: int) -> JoinedRowsError:
    return JoinedRowsError(
        f"{source}: two rows on one line, which could be cut in {places} places",
        expected="objects that end in a line break, or a header in each, which shows where they begin",
        fix="use File or FastFile mode, or resultFormat PARQUET",
        problems=[Problem(f"{source}:{line}", "the last row of one object and the first of the next")],
    )
