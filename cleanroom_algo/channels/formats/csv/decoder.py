"""From CSV blocks to tables: polars reads them; a slower reader finds the faults in what polars refuses.

Rules. A first line is a header if its names are exactly those of the schema, in any order; it may contain other names
if extra columns are ignored. The fields are read in the header's order and returned in the schema's order. Any other
first line is data. Fields may be in quotes, as the dialect defines. Lines end in LF or CRLF; the last line may have no
line break, and blank lines at the end are ignored. An empty field is null; an empty field in quotes is the empty string
in a column of strings and null in any other column (as Spark writes them).
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import polars as pl

from cleanroom_algo.channels.formats.blocks import BOM, count_byte, without_blank_lines
from cleanroom_algo.channels.formats.csv.dialect import check_dialect, dialect_of
from cleanroom_algo.channels.formats.csv.rows import EXTRA, NAME_COLUMNS, bare_name, header_names, parse_slowly
from cleanroom_algo.channels.hints import IGNORE_EXTRA, ONE_NAME, UNDECLARED
from cleanroom_algo.channels.schema import Column, Schema
from cleanroom_algo.channels.values import convert, text_dtype
from cleanroom_algo.errors import ColumnsMismatchError, Problem


class CsvDecoder:
    """Decodes the blocks of one object or stream; thread-safe after `start`.

    Attributes:
        header: the bytes of the header line with its end, or b"" if there is none.
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
            skip_blank: whether blank lines are ignored everywhere; by default, only those at the end are.
        """
        self.schema = schema
        self.dialect = dialect_of(schema)
        self.source = source
        self.header = b""
        self._skip_blank = skip_blank
        self._wanted = list(columns) if columns is not None else list(schema.names)
        self._words = False  # whether Booleans with other spellings than true and false were found
        self._set_layout(schema.names)

    @property
    def header_lines(self) -> int:
        """The number of lines that `start` removed."""
        return 1 if self.header else 0

    def start(self, block: bytes) -> bytes:
        """Remove the byte order mark and the header from the first block and return the rest.

        Raises:
            ColumnsMismatchError: CR-SCH-003, the first line is a header of other columns.
        """
        block = block.removeprefix(BOM)
        if self.schema.csv.header == "none":
            return block
        rest = self._without_header(block)
        if rest is block and block and self.schema.csv.header == "each":
            raise ColumnsMismatchError(
                f"{self.source}: the first line does not name the declared columns",
                expected='a header in each object, because the schema declares csv=Csv(header="each")',
                fix="omit `header` if only some objects have a header, or declare the columns of the file",
                problems=[Problem(f"{self.source}:1", "is not a header of the declared columns")],
            )
        return rest

    def _without_header(self, block: bytes) -> bytes:
        end = block.find(b"\n") + 1 or len(block)
        # Of a name with a table's name before it, both spellings.
        parts = block[:end].lower().replace(self.dialect.delimiter.encode(), b".").split(b".")
        if b'"' not in block[:end] and self._last_parts.isdisjoint(map(bytes.strip, parts)):
            return block
        names = header_names(block[:end], self.dialect)
        if names is None:
            return block
        if self._is_header(names):
            self.header = block[:end]
            self._set_layout(names)
            return block[end:]
        self._refuse_foreign_header(names, set(self.schema.names))
        return block

    def _is_header(self, names: Sequence[str]) -> bool:
        """Whether a first line of these names is a header."""
        known = [name for name in names if name in self.schema.names]
        extra = len(names) - len(known)
        return sorted(known) == sorted(self.schema.names) and (not extra or self.schema.extra_columns == "ignore")

    def decode(self, block: bytes, *, line: int = 1, rejected: list[int] | None = None) -> pl.DataFrame:
        """Return the rows of a block.

        Args:
            block: whole rows.
            line: the number of its first line in the object, from 1.
            rejected: takes the positions of the rows that do not fit, from 0 within the block, in place of an error.

        Raises:
            RowMismatchError: CR-SCH-002, rows do not fit; with object, line and column.
            DialectError: CR-SCH-005, the dialects read a field differently, and none is declared.
        """
        if not block:
            return pl.DataFrame(schema=self.schema.select(self._wanted).polars_schema())
        if self._has_texts:
            check_dialect(block, self.schema, source=self.source, line=line)
        frame = self._fast(block)
        if frame is None and self._skip_blank and b'"' not in block:  # in quotes, a blank line may be part of a field
            stripped = without_blank_lines(block)
            frame = self._fast(stripped) if len(stripped) < len(block) else None
        if frame is None:
            frame = parse_slowly(
                block,
                self._layout,
                self.dialect,
                source=self.source,
                line=line,
                rejected=rejected,
                skip_blank=self._skip_blank,
            )
        return frame if frame.columns == self._wanted else frame.select(self._wanted)

    def count(self, block: bytes) -> int:
        """Return the number of rows of a block.

        Raises:
            DialectError: CR-SCH-005, the dialects read a field differently, and none is declared.
        """
        if not self._has_texts:
            return count_byte(block, b"\n") + (not block.endswith(b"\n"))
        check_dialect(block, self.schema, source=self.source, line=1)
        return self.dialect.count_rows(block)

    def lines(self, block: bytes, rows: int) -> int:
        """Return how many lines a block of so many rows has."""
        return count_byte(block, b"\n") if self._skip_blank or b'"' in block else rows

    def _set_layout(self, fields: Sequence[str]) -> None:
        """Set the names of the fields; some may be those of extra columns."""
        schema = self.schema
        self._fields = tuple(fields)
        known = set(schema.names)
        layout = schema.of_columns(
            [
                schema.column(name) if name in known else Column(f"{EXTRA}{at}", "string")
                for at, name in enumerate(fields)
            ]
        )
        self._layout = layout
        # The last column is always read, because it shows that a row is too short.
        read = [*self._wanted, layout.names[-1]]
        positions = [position for position, name in enumerate(layout.names) if name in read]
        self._projection = None if len(positions) == len(layout.names) else positions
        self._read = [c for c in layout.columns if c.name in read]
        self._has_texts = may_span(schema)
        self._last_parts = {bare_name(name).encode() for name in fields}

    def _fast(self, block: bytes) -> pl.DataFrame | None:
        """Return what polars reads, or None if a row does not fit or if polars may have read it differently."""
        written = self.dialect.as_rfc4180(block) if self._has_texts else block
        if written is None or any(f'"{text}"'.encode() in written for text in self.schema.csv.null_values):
            return None
        columns = self._columns(written, words=self._words)
        if columns is None and not self._words and any(column.dtype == "bool" for column in self._read):
            columns = self._columns(written, words=True)
            self._words = columns is not None
        if columns is None:
            return None
        if any(c.null_count() for c, column in zip(columns, self._read, strict=True) if not column.nullable):
            return None
        # polars fills a row that is too short with nulls, so only a null in the last column can hide one.
        width = len(self._layout.columns)
        if width > 1 and columns[-1].null_count():
            count = self.dialect.count_delimiters
            found = count(block) if self._has_texts else count_byte(block, self.dialect.delimiter.encode())
            if found != len(columns[-1]) * (width - 1):
                return None
        return pl.DataFrame(columns)

    def _columns(self, block: bytes, *, words: bool) -> list[pl.Series] | None:
        csv = self.schema.csv
        dtypes = {c.name: text_dtype(c, decimal=csv.decimal, words=words) for c in self._layout.columns}
        try:
            frame = pl.read_csv(
                block,
                has_header=False,
                schema=dtypes,
                columns=self._projection,
                glob=False,
                separator=csv.delimiter,
                null_values=list(csv.null_values) or None,
            )
            return [convert(frame.get_column(column.name), column) for column in self._read]
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError):
            return None

    def _refuse_foreign_header(self, names: list[str], known: set[str]) -> None:
        folded = {name.strip().lower() for name in names}
        bare = {bare_name(name) for name in names}
        shared = known & set(names)
        respelt = {name for name in known - shared if name.lower() in folded}
        prefixed = {name for name in known - shared - respelt if name.lower() in bare}
        found = shared | respelt | prefixed
        if len(found) * 2 <= len(known) or (len(known) < 2 and len(names) < 2):
            return
        lowered = {name.lower() for name in known}
        extra = [name for name in names if name.strip().lower() not in lowered and bare_name(name) not in lowered]
        ways = (
            (respelt, "is in other case in the header, or with blanks around it"),
            (prefixed, f"has a table's name before it in the header; {NAME_COLUMNS}"),
        )
        problems = [Problem(f"{self.source}:1:{name}", what) for some, what in ways for name in sorted(some)]
        problems += [
            Problem(f"{self.source}:1:{name}", "is missing from the header" + _similar(name, extra))
            for name in sorted(known - found)
        ]
        if self.schema.extra_columns == "ignore":
            extra = []
        problems += [
            Problem(f"{self.source}:1:{name or f'column {names.index(name) + 1}'}", UNDECLARED + _nameless(names, name))
            for name in extra
        ]
        twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        problems += [Problem(f"{self.source}:1:{name}", "occurs more than once") for name in twice]
        raise ColumnsMismatchError(
            f"{self.source}: the header names {len(shared)} of the {len(known)} declared columns"
            + (f", and {len(extra)} more" if extra else ""),
            expected="a header of the declared columns in any order, or none",
            fix=self._header_fix(only_extra=len(extra) == len(problems), twice=bool(twice)),
            problems=problems,
        )

    def _header_fix(self, *, only_extra: bool, twice: bool) -> str:
        if twice:
            return ONE_NAME
        return IGNORE_EXTRA if only_extra else "declare the columns of the data, or change the file or query"


def _similar(name: str, extra: Sequence[str]) -> str:
    """Return which name of the header is probably the misspelled one, or "" if none is."""
    close = difflib.get_close_matches(name, extra, 1, cutoff=0.8)
    return f", which has a similar name: {close[0]}" if close else ""


def _nameless(names: Sequence[str], name: str) -> str:
    """Return what a column without a name probably is."""
    if name:
        return ""
    is_last = names.index(name) == len(names) - 1
    return (
        f", and has no name, as {'delimiters at the ends of lines make' if is_last else 'an index that pandas writes'}"
    )


def may_span(schema: Schema) -> bool:
    """Whether fields of a table may contain delimiters or line breaks, in quotes."""
    return schema.extra_columns == "ignore" or any(column.spans for column in schema.columns)
