"""From JSON Lines blocks to tables: one object per line, its members are named as the columns, in any order.

A member that is absent or null is a null; of several members of one name, the first counts. The first record shows
which columns an object has: a member in it that the schema does not declare is a fault, unless extra columns are
ignored. In a string column, other JSON values are read as their JSON text, and a number keeps its spelling. Dates and
timestamps are ISO texts; a Boolean may be a number or a text that spells one; a list contains only numbers. The numbers
of a float32 column are first read as float64 (RFC 8259, 6).

polars reads the blocks. A block that it refuses, or reads differently from these rules, is read line by line, so that a
record has the same value whatever the other records of its block are.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Sequence
from typing import Final

import polars as pl

from cleanroom_algo.channels.formats.blocks import BOM, RowRules, count_byte, without_blank_lines, without_marks
from cleanroom_algo.channels.formats.text import TextReader, table_of_rows
from cleanroom_algo.channels.hints import IGNORE_EXTRA, UNDECLARED, likely
from cleanroom_algo.channels.schema import Column, Schema
from cleanroom_algo.channels.values import Parser, Value, convert, items_of, parser_of
from cleanroom_algo.errors import ColumnsMismatchError, Problem, RowMismatchError

_PROBE: Final = json.JSONDecoder()
_SPACE: Final = " \t\r"  # the space characters of JSON within a line (RFC 8259, section 2)
_ESCAPED: Final = re.compile(rb"\\u")  # twice as fast as `in` (measured)
_HALF_SURROGATE: Final = re.compile(
    rb"\\(?:\\u[dD][89a-fA-F]"  # an escaped backslash before what may be one; rare enough to be read line by line
    rb"|u[dD][89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..\\)u[dD][c-fC-F])"
)
"""polars reads such an escape as a NUL."""
_BEGINNINGS: Final = (("-", ":"), ("[", "\\"), ("{", "|"))  # half-open; comparing takes half the time of a pattern
_NUMBER_OR_NESTED: Final = r"^(?:-?[0-9]+(?:\.[0-9]+)?$|[\[{])"
"""How polars writes a number, an array or an object in a string column: not always as JSON, and 1.0 as 1."""


class _Number(str):
    """A number as it is spelled."""

    __slots__ = ()


def _first_of_each_name(members: list[tuple[str, object]]) -> dict[str, object]:
    """Return the members of an object as polars reads them."""
    found = dict(members)
    if len(found) < len(members):
        found.update(reversed(members))
    return found


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_first_of_each_name, parse_float=_Number, parse_int=_Number, parse_constant=_Number
)


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
        self._words = False  # whether Booleans with other spellings than true and false were found
        self._parsers = [parser_of(column, single=False) for column in self._columns]
        self._unquoted = {c.name: _unquoted_member(c.name) for c in self._columns if c.is_string}

    def start(self, block: bytes) -> bytes:
        """Return the first block without a byte order mark.

        Raises:
            ColumnsMismatchError: CR-SCH-003, the first record has members that are not declared.
        """
        block = block.removeprefix(BOM)
        record = block.lstrip().partition(b"\n")[0].decode("utf-8", "surrogateescape")
        with contextlib.suppress(ValueError, RecursionError):
            members, _ = _DECODER.raw_decode(record)
            if isinstance(members, dict):
                self._refuse_extra(self.schema.extra_of(members))
        return block

    def _refuse_extra(self, names: Sequence[str]) -> None:
        if names:
            raise ColumnsMismatchError(
                f"{self.source}: the first record has {len(names)} member(s) that the schema does not declare",
                expected="the declared columns",
                fix=IGNORE_EXTRA,
                problems=[Problem(f"{self.source}:1:{name}", UNDECLARED) for name in names],
            )

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

    def count(self, block: bytes) -> int:
        """Return the number of rows of a block."""
        return count_byte(block, b"\n") + (not block.endswith(b"\n"))

    def lines(self, block: bytes, rows: int) -> int:
        """Return how many lines a block of so many rows has."""
        return count_byte(block, b"\n") if self._skip_blank else rows

    def _fast(self, block: bytes) -> pl.DataFrame | None:
        """Return what polars reads, or None if a line does not fit or if polars may have read it differently."""
        escaped = b"\\" in block and _ESCAPED.search(block) is not None
        if escaped and _HALF_SURROGATE.search(block):
            return None
        frame = self._frame(block, words=self._words)
        if frame is None and not self._words and any(column.dtype == "bool" for column in self._columns):
            frame = self._frame(block, words=True)
            self._words = frame is not None
        if frame is None:
            return None
        # polars skips blank lines and ignores a second object on a line: then the count of rows would be wrong.
        if frame.height != count_byte(block, b"\n") + (not block.endswith(b"\n")):
            return None
        if any(frame.get_column(c.name).null_count() for c in self._columns if not c.nullable):
            return None
        if any(self._may_hold_unquoted(frame.get_column(name), block, escaped) for name in self._unquoted):
            return None
        return frame

    def _frame(self, block: bytes, *, words: bool) -> pl.DataFrame | None:
        try:
            frame = pl.read_ndjson(block, schema={column.name: _wire_dtype(column, words) for column in self._columns})
            return pl.DataFrame([self._cast(frame.get_column(column.name), column) for column in self._columns])
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError, OSError):  # OSError: half a gzip
            return None

    def _may_hold_unquoted(self, values: pl.Series, block: bytes, escaped: bool) -> bool:
        """Whether a text may be how polars writes a number, an array or an object; most columns have no such text."""
        if not any(values.is_between(low, high, closed="left").any() for low, high in _BEGINNINGS):
            return False
        if not values.str.contains(_NUMBER_OR_NESTED).any():
            return False
        # A name can be escaped in many ways.
        return escaped or self._unquoted[values.name].search(block) is not None

    def _cast(self, values: pl.Series, column: Column) -> pl.Series:
        if values.dtype == pl.String or column.is_list:
            return convert(values, column)
        return convert(values.cast(column.polars_dtype(), strict=True), column)

    def _slow(self, block: bytes, line: int, rejected: list[int] | None) -> pl.DataFrame:
        texts = block.decode("utf-8", "surrogateescape").removesuffix("\n").split("\n")
        parsed = (
            (number, *self._parse(text))
            for number, text in enumerate(texts, line)
            if not self._skip_blank or text.strip(_SPACE)
        )
        return table_of_rows(parsed, self._columns, source=self.source, rejected=rejected)

    def _parse(self, text: str) -> tuple[list[Value | None], list[tuple[str, str]]]:
        """Return the values of a line and its faults by column; the values are complete only if there is no fault."""
        try:
            members = _DECODER.decode(text)
        except ValueError:
            return [], [("", _form_fault(text))]
        except RecursionError:
            frame = self._fast(text.encode("utf-8", "surrogateescape"))  # polars nests deeper in unused members
            return ([], [("", "nested too deeply")]) if frame is None else (list(frame.row(0)), [])
        if not isinstance(members, dict):
            listed = f"a list of {len(members)} value(s), " if isinstance(members, list) else ""
            return [], [("", f"{listed}not a JSON object")]
        values: list[Value | None] = []
        faults: list[tuple[str, str]] = []
        for column, parse in zip(self._columns, self._parsers, strict=True):
            try:
                values.append(_member(members, column, parse))
            except ValueError as error:
                faults.append((column.name, str(error)))
        return values, faults


def _wire_dtype(column: Column, words: bool) -> pl.DataType:
    """Return the type as which polars reads a member; its reader has no small integers, dates or timestamps."""
    if column.is_list:
        return pl.List(_wire_dtype(column.item, words))
    if column.is_integer:
        return pl.UInt64() if column.dtype == "uint64" else pl.Int64()
    if column.is_float or (column.dtype == "bool" and not words):
        return column.polars_dtype()
    return pl.String()


def _unquoted_member(name: str) -> re.Pattern[bytes]:
    """Return the pattern of a member whose value polars writes in another way: some numbers, arrays and objects."""
    spelt = re.escape(json.dumps(name, ensure_ascii=False).encode()).replace(b"/", rb"\\?/")
    return re.compile(spelt + rb"\s*:\s*(?:-?[0-9]+[.eE]|-0|-?[0-9]{19}|[\[{])")


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
            raise ValueError(f"{_lack_of(column.name, members)}, but {column.dtype} is not nullable")
        return None
    if column.dtype == "bool":
        return value if isinstance(value, bool) else parse(_text_of(value))
    if column.is_string:
        return parse(_text_of(value))
    if column.is_list and isinstance(value, list) and all(isinstance(item, _Number) for item in value):
        return items_of(value, parser_of(column.item, single=False))
    if column.is_list or isinstance(value, _Number) != (column.is_integer or column.is_float):
        likely_is = likely(value, column) if isinstance(value, str) else ""
        raise ValueError(f"not of type {column.dtype}{likely_is}")
    return parse("0" if value == "-0" else _text_of(value))  # an integer: there is no negative zero


def _text_of(value: object) -> str:
    """Return a text, or the JSON text of another value; numbers as they are spelled."""
    return str(value) if isinstance(value, str) else _json_of(value)


def _json_of(value: object) -> str:
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_json_of(name)}: {_json_of(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_json_of, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _lack_of(name: str, members: dict[str, object]) -> str:
    if name not in members and any(other.lower() == name.lower() for other in members):
        return "absent (a member differs from it only in case)"
    return "absent or null"


class ConcatenatedJsonLinesDecoder(JsonLinesDecoder):
    """Decodes the blocks of concatenated objects; a line that holds several JSON objects is cut between them."""

    def decode(self, block: bytes, *, line: int = 1, rejected: list[int] | None = None) -> pl.DataFrame:
        """Return the rows of a block; the arguments and errors are those of `JsonLinesDecoder.decode`."""
        block = without_marks(block)
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


class JsonLinesReader(TextReader):
    """JSON Lines: an object on each line."""

    name = "JSON Lines"

    def sniff(self, head: bytes) -> bool:
        """Return whether the first character of the text begins a JSON object."""
        return head.removeprefix(BOM).lstrip(b" \t\r\n").startswith(b"{")

    def decoder(
        self, schema: Schema, *, source: str, columns: Sequence[str] | None = None, concatenated: bool = False
    ) -> JsonLinesDecoder:
        """Return a decoder for an object or a stream."""
        kind = ConcatenatedJsonLinesDecoder if concatenated else JsonLinesDecoder
        return kind(schema, source=source, columns=columns)

    def rules(self, schema: Schema) -> RowRules:  # noqa: ARG002 (CSV needs it)
        """Return where rows end: at every line break."""
        return RowRules(quoting=None, blank_rows=False)
