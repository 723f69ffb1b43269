"""CSV row by row: slow and exact, and can report where a row does not fit. Used where the fast reader fails."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from cleanroom_algo.channels.formats.csv.dialect import Dialect
from cleanroom_algo.channels.formats.text import table_of_rows
from cleanroom_algo.channels.hints import DELIMITER, DELIMITERS
from cleanroom_algo.channels.schema import Column, Schema
from cleanroom_algo.channels.values import Parser, Value, parser_of

NAME_COLUMNS: Final = "name the columns alone (SELECT t.x AS x)"
EXTRA: Final = "\0"
"""The beginning of the names that the layout of an object gives to ignored columns."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row as written in the text.

    Attributes:
        line: of its first character, from 1 within the text.
        fields: the texts, unquoted; None where a field is empty without quotes.
        fault: what is wrong with its quotes, or "".
    """

    line: int
    fields: list[str | None]
    fault: str = ""


def rows(text: str, dialect: Dialect, nulls: Collection[str] = ()) -> Iterator[Row]:
    """Yield the rows of a CSV text; lines end in LF or CRLF, and the last one may lack its end.

    Args:
        text: whole rows.
        dialect: of the text.
        nulls: texts that mean the same as an empty field if they are not in quotes.
    """
    none = {"", *nulls}
    if '"' in text:
        yield from _quoted_rows(text, dialect, none)
        return
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else (), 1):
        fields = [field.removesuffix("\r") for field in line.split(dialect.delimiter)]
        yield Row(number, [None if field in none else field for field in fields])


def _quoted_rows(text: str, dialect: Dialect, none: Collection[str]) -> Iterator[Row]:
    position, line = 0, 1
    while position < len(text):
        start, first = position, line
        fields: list[str | None] = []
        fault = ""
        while True:
            if match := dialect.text.match(text, position):
                fields.append(dialect.unescaped(match[1]))
            else:
                match = dialect.plain.match(text, position)
                assert match is not None
                plain = match[0].removesuffix("\r")
                if plain.startswith('"'):
                    fault = f"field {len(fields) + 1}: its quotes do not enclose it"
                fields.append(None if plain in none else plain)
            position = match.end()
            if text[position : position + 1] != dialect.delimiter:
                break
            position += 1
        position = text.find("\n", position) + 1 or len(text)
        line += text.count("\n", start, position)
        yield Row(first, fields, fault)


def header_names(line: bytes, dialect: Dialect) -> list[str] | None:
    """Return the fields of a first line as names, "" for an empty one, or None where it cannot be a header."""
    found = next(rows(line.decode("utf-8", "surrogateescape"), dialect), None)
    return None if found is None or found.fault else [name or "" for name in found.fields]


def bare_name(field: str) -> str:
    """Return a name in lower case, without blanks around it and without the table's name before it."""
    return field.rpartition(".")[2].strip().lower()


def parse_slowly(
    block: bytes,
    schema: Schema,
    dialect: Dialect,
    *,
    source: str,
    line: int,
    rejected: list[int] | None = None,
    skip_blank: bool = False,
) -> pl.DataFrame:
    """Return the rows of a block as a table, or say which do not fit.

    Args:
        block: whole rows.
        schema: the columns in the order of the fields.
        dialect: of the block.
        source: what to call the object in messages.
        line: the number of the block's first line in the object.
        rejected: takes the positions of the rows that do not fit, from 0 within the block, in place of an error.
        skip_blank: whether blank lines are not rows, instead of rows that do not fit.

    Raises:
        RowMismatchError: CR-SCH-002, with the faults by kind, the first place of each as `object:line:column`.
    """
    parsers = _parsers(schema)
    parsed = (
        (line + row.line - 1, *_parse_row(row, schema, parsers))
        for row in rows(block.decode("utf-8", "surrogateescape"), dialect, schema.csv.null_values)
        if not skip_blank or row.fields != [None]
    )
    return table_of_rows(parsed, schema.columns, source=source, rejected=rejected)


def fits(row: Row, schema: Schema) -> bool:
    """Return whether a row has a value of the schema in each column."""
    _, faults = _parse_row(row, schema, _parsers(schema))
    return not faults


def _parsers(schema: Schema) -> list[Parser]:
    decimal = schema.csv.decimal
    return [_ignored if c.name.startswith(EXTRA) else parser_of(c, decimal=decimal) for c in schema.columns]


def _ignored(_: str) -> None:
    return None


def _parse_row(row: Row, schema: Schema, parsers: Sequence[Parser]) -> tuple[list[Value | None], list[tuple[str, str]]]:
    """Return the values of a row and its faults, by column; values are complete only without faults."""
    if row.fault or len(row.fields) != len(parsers):
        return [], [("", _form_fault(row, len(parsers), schema.csv.delimiter))]
    values: list[Value | None] = []
    faults: list[tuple[str, str]] = []
    for column, parse, field in zip(schema.columns, parsers, row.fields, strict=True):
        try:
            values.append(_value(field, column, parse))
        except ValueError as error:
            faults.append((column.name, str(error)))
    if faults and (what := _header_fault(row, schema)):
        return [], [("", what)]
    return values, faults


def _header_fault(row: Row, schema: Schema) -> str:
    """Return what is wrong with a row that is a header, or "" if it is not a header."""
    names = {name.lower() for name in schema.names if not name.startswith(EXTRA)}
    fields = [field or "" for field in row.fields]
    if names.issubset(field.strip().lower() for field in fields):
        return "it is a header, and only a first line that names the columns exactly is read as one"
    if names.issubset(map(bare_name, fields)):
        return f"it is a header with a table's name before the columns'; {NAME_COLUMNS}"
    return ""


def _form_fault(row: Row, expected: int, delimiter: str) -> str:
    if row.fields == [None]:
        return "the line is blank"
    if (row.fields[0] or "").lstrip().startswith("[{"):
        return "it looks like a JSON array, where JSON Lines has an object per line"
    if row.fault:
        return row.fault
    fault = f"{len(row.fields)} field(s) instead of {expected}"
    if any("\r" in field for field in row.fields if field):
        return f"{fault}; it has carriage returns, but lines end in LF or CRLF"
    line = delimiter.join(field or "" for field in row.fields)
    for other, name in DELIMITERS.items():
        width = line.count(other) + 1
        # One more is an index that pandas wrote. The line may have commas in its numbers.
        if other != delimiter and expected > 1 and width in (expected, expected + 1):
            return f"{fault}; its {name} would make {width}: {DELIMITER}"
    return fault


def _value(field: str | None, column: Column, parse: Parser) -> Value | None:
    if field and (column.is_integer or column.is_float):
        field = field.lstrip(" \t")  # databases and spreadsheets align numbers with blanks; a blank is no number
    is_null = field is None or (field == "" and not column.is_string)
    value = None if is_null else parse(field or "")
    if value is None and not column.nullable:
        raise ValueError(f"empty, but {column.dtype} is not nullable")
    return value
