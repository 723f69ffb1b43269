"""JSON Lines blocks to tables: one object per line, its members named as the columns, in any order.

A member that is absent or null is a null; members that the schema does not declare are ignored; of several members of
one name the first counts. In a string column, other JSON values are taken as their JSON text; dates and timestamps are
ISO texts. The numbers of a float32 column are float64 first (RFC 8259, 6).

polars does the work; whatever it refuses, or reads otherwise than these rules, is read line by line. So a record reads
the same whatever stands beside it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Final

import polars as pl

from cleanroom_algo.channels.formats.blocks import count_byte, without_blank_lines
from cleanroom_algo.channels.formats.csv.rows import MAX_PROBLEMS, row_mismatch, table_of
from cleanroom_algo.channels.schema import Column, Schema
from cleanroom_algo.channels.values import Parser, Value, convert, parser_of
from cleanroom_algo.errors import Problem

_PROBE: Final = json.JSONDecoder()
_SPACE: Final = " \t\r"  # what JSON takes for space within a line (RFC 8259, section 2)
_ESCAPED: Final = re.compile(rb"\\u")  # twice as fast as `in` (measured)
_HALF_SURROGATE: Final = re.compile(
    rb"\\(?:\\u[dD][89a-fA-F]"  # an escaped backslash before what may be one; rare enough to be read line by line
    rb"|u[dD][89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..\\)u[dD][c-fC-F])"
)
"""polars reads one as a NUL."""
_BEGINNINGS: Final = (("-", ":"), ("[", "\\"), ("{", "|"))  # half-open; comparing takes half of the pattern's time
_NUMBER_OR_NESTED: Final = r"^(?:-?[0-9]+(?:\.[0-9]+)?$|[\[{])"
"""What polars makes of a number, an array or an object in a string column: not always JSON, and 1 of 1.0."""


class JsonLinesDecoder:
    """Decodes the blocks of one object or stream; thread-safe."""

    header_lines = 0

    def __init__(
        self, schema: Schema, *, source: str, columns: Sequence[str] | None = None, skip_blank: bool = False
    ) -> None:
        """Make a decoder; the arguments are those of `CsvDecoder`."""
        self.schema = schema
        self.source = source
        self._skip_blank = skip_blank
        self._wanted = list(columns) if columns is not None else list(schema.names)
        self._columns = [schema.column(name) for name in self._wanted]
        self._dtypes = {column.name: _wire_dtype(column) for column in self._columns}
        self._parsers = [float if column.is_float else parser_of(column) for column in self._columns]
        self._unquoted = {c.name: _unquoted_member(c.name) for c in self._columns if c.dtype == "string"}

    def start(self, block: bytes) -> bytes:
        """Return the first block without a byte order mark."""
        return block.removeprefix(b"\xef\xbb\xbf")

    def decode(self, block: bytes, *, line: int = 1, rejected: list[int] | None = None) -> pl.DataFrame:
        """Return the rows of a block.

        Args:
            block: whole rows.
            line: the number of its first line in the object, from 1.
            rejected: takes the positions of the rows that do not fit, from 0 within the block, in place of an error.

        Raises:
            RowMismatchError: CR-SCH-002, lines do not fit; with object, line and member.
        """
        if not block:
            return pl.DataFrame(schema=self.schema.select(self._wanted).polars_schema())
        frame = self._fast(block)
        if frame is None and self._skip_blank and len(stripped := without_blank_lines(block)) < len(block):
            frame = self._fast(stripped)
        return self._slow(block, line, rejected) if frame is None else frame

    def lines(self, block: bytes, rows: int) -> int:
        """Return how many lines a block of so many rows has."""
        return count_byte(block, b"\n") if self._skip_blank else rows

    def _fast(self, block: bytes) -> pl.DataFrame | None:
        """Return what polars reads, or None where a line does not fit or its reading cannot be trusted."""
        escaped = b"\\" in block and _ESCAPED.search(block) is not None
        if escaped and _HALF_SURROGATE.search(block):
            return None
        try:
            frame = pl.read_ndjson(block, schema=self._dtypes)
            frame = pl.DataFrame([self._cast(frame.get_column(column.name), column) for column in self._columns])
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError, OSError):  # OSError: half a gzip
            return None
        # polars skips blank lines and ignores what follows a second object on a line: both would lose count of rows.
        if frame.height != count_byte(block, b"\n") + (not block.endswith(b"\n")):
            return None
        if any(frame.get_column(c.name).null_count() for c in self._columns if not c.nullable):
            return None
        if any(self._may_hold_unquoted(frame.get_column(name), block, escaped) for name in self._unquoted):
            return None
        return frame

    def _may_hold_unquoted(self, values: pl.Series, block: bytes, escaped: bool) -> bool:
        """Whether a text may be polars' for a number, an array or an object; in most columns, no text looks like it."""
        if not any(values.is_between(low, high, closed="left").any() for low, high in _BEGINNINGS):
            return False
        if not values.str.contains(_NUMBER_OR_NESTED).any():
            return False
        # A name may be escaped in many ways.
        return escaped or self._unquoted[values.name].search(block) is not None

    def _cast(self, values: pl.Series, column: Column) -> pl.Series:
        if column.dtype in {"date32", "timestamp"}:
            return convert(values, column)
        return values.cast(column.polars_dtype(), strict=True)

    def _slow(self, block: bytes, line: int, rejected: list[int] | None) -> pl.DataFrame:
        columns: list[list[Value | None]] = [[] for _ in self._columns]
        problems: list[Problem] = []
        count = 0
        texts = block.decode("utf-8", "surrogateescape").removesuffix("\n").split("\n")
        for offset, text in enumerate(texts):
            if self._skip_blank and not text.strip(_SPACE):
                continue
            values, faults = self._parse(text, f"{self.source}:{line + offset}")
            if not faults:
                for column, value in zip(columns, values, strict=True):
                    column.append(value)
            elif rejected is not None:
                rejected.append(count)
            else:
                problems += faults
            count += 1
            if len(problems) >= MAX_PROBLEMS:
                break
        if problems:
            raise row_mismatch(self.source, problems[:MAX_PROBLEMS], count)
        return table_of(columns, self._columns)

    def _parse(self, text: str, place: str) -> tuple[list[Value | None], list[Problem]]:
        """Return the values of a line and its faults; values are complete only without faults."""
        try:
            return self._parse_members(json.loads(text, object_pairs_hook=_first_of_each_name), place)
        except ValueError:
            return [], [Problem(place, _form_fault(text))]
        except RecursionError:
            frame = self._fast(text.encode("utf-8", "surrogateescape"))  # polars goes deeper where nobody asks for it
            return ([], [Problem(place, "nested too deeply")]) if frame is None else (list(frame.row(0)), [])

    def _parse_members(self, members: object, place: str) -> tuple[list[Value | None], list[Problem]]:
        if not isinstance(members, dict):
            listed = f"a list of {len(members)} value(s), " if isinstance(members, list) else ""
            return [], [Problem(place, f"{listed}not a JSON object")]
        values: list[Value | None] = []
        faults: list[Problem] = []
        for column, parse in zip(self._columns, self._parsers, strict=True):
            try:
                values.append(_member(members, column, parse))
            except ValueError as error:
                faults.append(Problem(f"{place}:{column.name}", str(error)))
        return values, faults


def _wire_dtype(column: Column) -> pl.DataType:
    """Return the type as which polars reads a member; its reader knows no small integers, dates or timestamps."""
    if column.is_integer:
        return pl.UInt64() if column.dtype == "uint64" else pl.Int64()
    if column.is_float or column.dtype == "bool":
        return column.polars_dtype()
    return pl.String()


def _unquoted_member(name: str) -> re.Pattern[bytes]:
    """Return the pattern of a member whose value polars writes in its own way: some numbers, arrays and objects."""
    spelt = re.escape(json.dumps(name, ensure_ascii=False).encode()).replace(b"/", rb"\\?/")
    return re.compile(spelt + rb"\s*:\s*(?:-?[0-9]+[.eE]|-?[0-9]{19}|[\[{])")


def _first_of_each_name(members: list[tuple[str, object]]) -> dict[str, object]:
    """Return the members of an object, as polars sees them."""
    found = dict(members)
    if len(found) < len(members):
        found.update(reversed(members))
    return found


def _form_fault(text: str) -> str:
    if not text.strip():
        return "the line is blank"
    try:
        _, end = _PROBE.raw_decode(text)
    except ValueError:
        return "not valid JSON"
    if text[end : end + 1] == "{":
        return "two objects on one line: a part without a final line break may have been joined with the next one"
    return "something follows the object"


def _member(members: dict[str, object], column: Column, parse: Parser) -> Value | None:
    value = members.get(column.name)
    if value is None:
        if not column.nullable:
            raise ValueError(f"{_lack_of(column.name, members)}, but {column.dtype} that is not nullable")
        return None
    fault = ValueError(f"not of type {column.dtype}")
    if column.dtype == "bool":
        if not isinstance(value, bool):
            raise fault
        return value
    if column.is_integer or column.is_float:
        if isinstance(value, (bool, str, dict, list)) or (column.is_integer and isinstance(value, float)):
            raise fault
        text = str(value)
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    try:
        return parse(text)
    except UnicodeEncodeError:
        raise ValueError("not valid UTF-8") from None
    except ValueError:
        raise fault from None


def _lack_of(name: str, members: dict[str, object]) -> str:
    if name not in members and any(other.lower() == name.lower() for other in members):
        return "absent (a member differs from it only in case)"
    return "absent or null"
