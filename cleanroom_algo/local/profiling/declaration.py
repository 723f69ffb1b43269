"""A schema as the Python code that declares it."""

from __future__ import annotations

import json
import keyword

from cleanroom_algo.channels.schema import Column, Csv, Schema

_RESERVED = {"target", "csv", "extra_columns", "self", "cls"}


def code_of(schema: Schema) -> str:
    """Return the code, with its imports."""
    plain = all(n.isidentifier() and not keyword.iskeyword(n) and n not in _RESERVED for n in schema.names)
    if plain:
        columns = [f"    {column.name}={_dtype(column)}," for column in schema.columns]
    else:
        pairs = (f"        {_quoted(column.name)}: {_dtype(column)}," for column in schema.columns)
        columns = ["    {", *pairs, "    },"]
    options = []
    if schema.target is not None:
        options.append(f"    target={_quoted(schema.target)},")
    if schema.csv != Csv():
        options.append(f"    csv={_csv(schema.csv)},")
    if schema.extra_columns != "fault":
        options.append(f"    extra_columns={_quoted(schema.extra_columns)},")
    imports = "Csv, Schema" if schema.csv != Csv() else "Schema"
    return "\n".join([f"from cleanroom_algo import {imports}", "", "schema = Schema.of(", *columns, *options, ")"])


def dtype_text(column: Column) -> str:
    """Return the type in the form of `Schema.of`."""
    return column.dtype + "?" * column.nullable + ("" if column.nan == "fault" else f" nan={column.nan}")


def _dtype(column: Column) -> str:
    return _quoted(dtype_text(column))


def _csv(csv: Csv) -> str:
    words = {name: getattr(csv, name) for name in ("dialect", "header", "delimiter", "decimal", "null_values")}
    given = [
        f"{name}={json.dumps(list(value)) if name == 'null_values' else _quoted(value)}"
        for name, value in words.items()
        if value != getattr(Csv(), name)
    ]
    return f"Csv({', '.join(given)})"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
