"""Predicting one row by hand: a form with fields from the schema of a model, and the CSV for its container."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cleanroom_algo.channels.objects import Object
from cleanroom_algo.channels.schema import Column, Schema
from cleanroom_algo.errors import Problem
from cleanroom_algo.local.profiling.declaration import dtype_text
from cleanroom_algo.local.ui.texts import cell

FILE: Final = "row.csv"
_SUGGESTED: Final = 200  # of a category
_EXPECTED: Final = {
    "integer": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "date32": "a date such as 2013-01-31",
    "timestamp": "a time such as 2013-01-31 12:30:00",
    "list": "a list of numbers such as [1, 2.5]",
}
"""What a field accepts, by the type of its column."""


@dataclass(frozen=True)
class Field:
    """A field of the form.

    Attributes:
        column: the column of the value.
        text: the text in it.
        choices: values that the model knows.
        problem: what is wrong with the text.
    """

    column: Column
    text: str
    choices: tuple[str, ...] = ()
    problem: str = ""

    @property
    def dtype(self) -> str:
        """The type in the form of a declaration."""
        return dtype_text(self.column)

    @property
    def kind(self) -> str:
        """The `type` of its input."""
        return "date" if self.column.dtype == "date32" else "text"

    @property
    def keyboard(self) -> str:
        """The `inputmode` of its input."""
        return "decimal" if self.column.is_integer or self.column.is_float else "text"


def fields_of(
    schema: Schema, features: Mapping[str, Any], given: Mapping[str, str], problems: Mapping[str, str]
) -> list[Field]:
    """Return the fields of a form.

    Args:
        schema: of the model.
        features: the fitted ones, as in features.json: their means and categories are suggested.
        given: the texts by column; if empty, the suggestions.
        problems: what is wrong with the texts, by column.
    """
    means = {each["name"]: each["mean"] for each in features.get("numeric", ())}
    known = {each["name"]: tuple(each["vocabulary"]) for each in features.get("categorical", ())}
    found = []
    for column in schema.features:
        choices = ("true", "false") if column.dtype == "bool" else known.get(column.name, ())[:_SUGGESTED]
        text = given.get(column.name, "") if given else _suggested(column, means.get(column.name), choices, schema)
        found.append(Field(column, text, choices, problems.get(column.name, "")))
    return found


def _suggested(column: Column, mean: float | None, choices: tuple[str, ...], schema: Schema) -> str:
    if choices:
        return choices[0]
    if mean is None or column.is_list or column.dtype in {"date32", "timestamp"}:
        return ""
    return str(round(mean)) if column.is_integer else f"{mean:.4g}".replace(".", schema.csv.decimal)


def csv_of(schema: Schema, texts: Mapping[str, str]) -> str:
    """Return a row as CSV in the form that the schema declares."""
    output = io.StringIO()
    writer = csv.writer(output, **_dialect(schema))
    if schema.csv.header != "none":
        writer.writerow([column.name for column in schema.features])
    writer.writerow([texts.get(column.name, "") for column in schema.features])
    return output.getvalue()


def texts_of(schema: Schema, content: str) -> dict[str, str]:
    """Return the texts of a row that `csv_of` wrote."""
    *_, row = csv.reader(io.StringIO(content), **_dialect(schema))
    return dict(zip((column.name for column in schema.features), row, strict=True))


def check_row(schema: Schema, content: str) -> None:
    """Check that the library can read a row of CSV.

    Raises:
        SchemaError: it does not fit.
    """
    from cleanroom_algo.channels.modes.file import read_object

    with tempfile.TemporaryDirectory(prefix="row-") as folder:
        path = Path(folder) / FILE
        path.write_text(content, encoding="utf-8")
        for _ in read_object(Object(FILE, path, path.stat().st_size), schema.without_target(), batch_rows=1):
            pass


def problems_of(schema: Schema, problems: Iterable[Problem], texts: Mapping[str, str]) -> dict[str, str]:
    """Return what is wrong with the texts of a row, by column.

    Args:
        schema: of the model.
        problems: of the row, as the library tells them.
        texts: of the row, by column.
    """
    return {
        column.name: f"{column.name}: {_wrong(column, each.message, texts.get(column.name, ''))}"
        for each in problems
        for column in schema.features
        if each.path.endswith(f":{column.name}")
    }


def _wrong(column: Column, message: str, text: str) -> str:
    if not text and not column.nullable:
        return "must not be empty"
    if not message.startswith("not of type"):
        return message
    if column.is_integer and text.lstrip("+-").isdigit():
        return f"must be in the range of {column.dtype}, got {cell(text)!r}"
    kind = (
        "integer" if column.is_integer else "float" if column.is_float else "list" if column.is_list else column.dtype
    )
    return f"must be {_EXPECTED[kind]}, got {cell(text)!r}"


def unknown_categories(schema: Schema, features: Mapping[str, Any], texts: Mapping[str, str]) -> list[str]:
    """Return which texts of a row are categories that the model does not know, in sentences.

    Args:
        schema: of the model.
        features: that were fitted, as in features.json.
        texts: of the row, by column.
    """
    known = {each["name"]: each["vocabulary"] for each in features.get("categorical", ())}
    nulls = ("", *schema.csv.null_values)
    return [
        f"{name}: unknown category {cell(texts[name])!r}, none of the {len(words):,} that the model knows"
        for name, words in known.items()
        if texts.get(name, "") not in (*nulls, *words)
    ]


def _dialect(schema: Schema) -> dict[str, Any]:
    spark = {"doublequote": False, "escapechar": "\\"} if schema.csv.dialect == "spark" else {}
    return {"delimiter": schema.csv.delimiter, "lineterminator": "\n", **spark}
