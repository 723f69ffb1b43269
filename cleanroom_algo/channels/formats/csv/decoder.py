"""CSV blocks to tables: polars does the work; whatever it refuses goes to the reader that finds the fault.

Rules. A header is a first line whose names are exactly those of the schema, in any order: the fields are then read in
the header's order and returned in the schema's; any other first line is data. Fields may be quoted (RFC 4180), lines
end in LF or CRLF, the last line may lack its end, blank lines at the end do not count. An empty field is null; a quoted
empty field is the empty string in a string column and null in any other (Spark's `nullValue` and `emptyValue`). Quotes
escaped by a backslash, Spark's default, are understood in fields that RFC 4180 cannot explain.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl

from cleanroom_algo.channels.formats.blocks import count_byte, count_outside_quotes, without_blank_lines
from cleanroom_algo.channels.formats.csv.plain_numbers import plain_numbers, read_plain_numbers
from cleanroom_algo.channels.formats.csv.rows import NAME_COLUMNS, bare_name, header_names, parse_few, parse_slowly
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.channels.values import Value, convert, parser_of, text_dtype
from cleanroom_algo.errors import ColumnsMismatchError, Problem

BOM: Final = b"\xef\xbb\xbf"
_MAYBE_ESCAPED: Final = re.compile(rb'\\"(?=["\r\n,]|\Z)')
_BEFORE_FIELD: Final = np.isin(np.arange(256), list(b",\n"))
_AFTER_FIELD: Final = np.isin(np.arange(256), list(b",\r\n"))
_FEW_BYTES: Final = 1024
"""Where the two readers take the same time (measured)."""
_FEW_PLAIN_BYTES: Final = 16 << 10
"""The same for plain numbers (measured)."""


class CsvDecoder:
    """Decodes the blocks of one object or stream; thread-safe after `start`.

    Attributes:
        header: the bytes of the header line with its end, or b"" where there is none.
        header_lines: 1 or 0.
    """

    def __init__(
        self, schema: Schema, *, source: str, columns: Sequence[str] | None = None, skip_blank: bool = False
    ) -> None:
        """Make a decoder.

        Args:
            schema: the declared columns.
            source: what to call the object in messages.
            columns: the columns to return, all by default; the others are not checked beyond their number.
            skip_blank: whether blank lines are no rows anywhere; by default they are faults but at the end.
        """
        self.schema = schema
        self.source = source
        self.header = b""
        self._skip_blank = skip_blank
        self._wanted = list(columns) if columns is not None else list(schema.names)
        self._set_layout(schema)

    def __copy__(self) -> CsvDecoder:
        """Return a decoder that `start` can change without this one: a few times as fast as `copy` by itself."""
        made = object.__new__(CsvDecoder)
        made.__dict__.update(self.__dict__)
        return made

    @property
    def header_lines(self) -> int:
        """The number of lines that `start` took."""
        return 1 if self.header else 0

    def start(self, block: bytes) -> bytes:
        """Take the byte order mark and the header from the first block and return the rest.

        Raises:
            ColumnsMismatchError: CR-SCH-003, the first line is a header of other columns.
        """
        block = block.removeprefix(BOM)
        end = block.find(b"\n") + 1 or len(block)
        parts = block[:end].lower().replace(b".", b",").split(b",")  # of a name with a table's before it, both
        if b'"' not in block[:end] and self._last_parts.isdisjoint(map(bytes.strip, parts)):
            return block
        names = header_names(block[:end])
        if names is None:
            return block
        known = set(self.schema.names)
        if len(names) == len(known) and set(names) == known:
            self.header = block[:end]
            self._set_layout(self.schema.select(names))
            return block[end:]
        self._refuse_foreign_header(names, known)
        return block

    def decode(self, block: bytes, *, line: int = 1, rejected: list[int] | None = None) -> pl.DataFrame:
        """Return the rows of a block.

        Args:
            block: whole rows.
            line: the number of its first line in the object, from 1.
            rejected: takes the positions of the rows that do not fit, from 0 within the block, in place of an error.

        Raises:
            RowMismatchError: CR-SCH-002, rows do not fit; with object, line and column.
        """
        if not block:
            return pl.DataFrame(schema=self.schema.select(self._wanted).polars_schema())
        short = self._is_quicker_slowly(block)
        frame = read_plain_numbers(block, self._float32) if short and self._float32 else None
        if frame is None and not short:
            frame = self._fast(block)
        if frame is None and self._skip_blank and b'"' not in block:  # in quotes, a blank line may be part of a field
            frame = self._fast_without_blank_lines(block)
        if frame is None:
            frame = parse_slowly(
                block,
                self._layout,
                parsers=self._parsers,
                source=self.source,
                line=line,
                rejected=rejected,
                skip_blank=self._skip_blank,
            )
        if frame.columns == self._wanted:
            return frame
        # Of an object of a few rows, `select` took half the time (measured).
        return pl.DataFrame([frame.get_column(name) for name in self._wanted])

    def lines(self, block: bytes, rows: int) -> int:
        """Return how many lines a block of so many rows has."""
        return count_byte(block, b"\n") if self._skip_blank or b'"' in block else rows

    def values(self, block: bytes) -> Sequence[Sequence[Value | None]] | None:
        """Return the values of a few rows without making a table of them, which takes several times as long.

        Args:
            block: whole rows.

        Returns:
            Rows by the schema's columns, where a float rounds to what `decode` has for it; None where a row does not
            fit, or where there are so many that `decode` takes less time.
        """
        if self._float32 and len(block) <= _FEW_PLAIN_BYTES:
            plain = plain_numbers(block, len(self._float32))
            if plain is not None:
                return plain
        return parse_few(block, self._layout, self._parsers) if len(block) <= _FEW_BYTES else None

    def _set_layout(self, layout: Schema) -> None:
        self._layout = layout
        self._dtypes = {column.name: text_dtype(column) for column in layout.columns}
        # The last column is always read: in it, a row that is too short shows.
        read = [*self._wanted, layout.names[-1]]
        positions = [position for position, name in enumerate(layout.names) if name in read]
        self._projection = None if len(positions) == len(layout.names) else positions
        self._read = [c for c in layout.columns if c.name in read]
        self._has_strings = any(column.dtype == "string" for column in layout.columns)
        self._texts = [c for c in self._read if c.dtype in {"date32", "timestamp"}]
        self._last_parts = {bare_name(name).encode() for name in layout.names}
        self._parsers = [parser_of(column) for column in layout.columns]
        self._float32 = list(layout.names) if all(column.dtype == "float32" for column in layout.columns) else None

    def _is_quicker_slowly(self, block: bytes) -> bool:
        """Whether polars' fixed cost, half a millisecond, outweighs its speed: a request of one row, say."""
        return len(block) <= _FEW_BYTES and b"\\" not in block

    def _fast_without_blank_lines(self, block: bytes) -> pl.DataFrame | None:
        if self._is_quicker_slowly(block):
            return None
        stripped = without_blank_lines(block)
        return self._fast(stripped) if len(stripped) < len(block) else None

    def _fast(self, block: bytes) -> pl.DataFrame | None:
        """Return what polars reads, or None where a row does not fit or its reading cannot be trusted."""
        if self._has_strings and b'"' in block and not _well_quoted(block):
            # polars drops such quotes without a word. Those that a backslash escapes are doubled, unless another quote
            # or the end of a field follows: then only the whole field tells whether the backslash escapes or is text.
            if b'\\"' not in block or _MAYBE_ESCAPED.search(block):
                return None
            block = block.replace(b'\\"', b'""')
            if not _well_quoted(block):
                return None
        try:
            frame = pl.read_csv(block, has_header=False, schema=self._dtypes, columns=self._projection, glob=False)
            if self._texts:
                frame = frame.with_columns([convert(frame.get_column(c.name), c) for c in self._texts])
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError):
            return None
        if any(frame.get_column(c.name).null_count() for c in self._read if not c.nullable):
            return None
        # polars fills a row that is too short with nulls, so it can only hide where the last column has one.
        if len(self._layout.columns) > 1 and frame.get_column(self._layout.names[-1]).null_count():
            return (
                frame if count_outside_quotes(block, b",") == frame.height * (len(self._layout.columns) - 1) else None
            )
        return frame

    def _refuse_foreign_header(self, names: list[str], known: set[str]) -> None:
        folded = {name.strip().lower() for name in names}
        bare = {bare_name(name) for name in names}
        shared = known & set(names)
        respelt = {name for name in known - shared if name.lower() in folded}
        prefixed = {name for name in known - shared - respelt if name.lower() in bare}
        found = shared | respelt | prefixed
        if len(found) * 2 <= len(known) or len(known) < 2:
            return
        ways = (
            (respelt, "is in other case in the header, or with blanks around it"),
            (prefixed, f"has a table's name before it in the header; {NAME_COLUMNS}"),
            (known - found, "is missing from the header"),
        )
        problems = [Problem(f"{self.source}:1:{name}", what) for some, what in ways for name in sorted(some)]
        extra = len(names) - len(found)
        if extra:
            problems.append(Problem(f"{self.source}:1", f"{extra} name(s) more that the schema does not declare"))
        raise ColumnsMismatchError(
            f"{self.source}: the header names {len(shared)} of the {len(known)} declared columns",
            expected="a header of exactly the declared columns in any order, or none",
            fix="declare the columns that the channel's query selects",
            problems=problems,
        )


def _well_quoted(block: bytes) -> bool:
    """Whether every quote opens a field, closes one, or is half of a doubled one."""
    data = np.frombuffer(block, dtype=np.uint8)
    quotes = np.flatnonzero(data == ord('"'))
    if len(quotes) % 2:
        return False
    opening, closing = quotes[::2], quotes[1::2]
    doubled = closing[:-1] + 1 == opening[1:]
    before = data[opening[1:] - 1]
    after = data[closing[:-1] + 1]
    first, last = int(opening[0]), int(closing[-1])
    return bool(
        (doubled | (_BEFORE_FIELD[before] & _AFTER_FIELD[after])).all()
        and (first == 0 or _BEFORE_FIELD[data[first - 1]])
        and (last == len(data) - 1 or _AFTER_FIELD[data[last + 1]])
    )
