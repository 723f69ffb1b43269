"""CSV with rows to predict, which may contain the target or not; the target is left out."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Final

from cleanroom_algo.channels.formats.blocks import BOM
from cleanroom_algo.channels.formats.csv.decoder import CsvDecoder
from cleanroom_algo.channels.formats.csv.dialect import Dialect, dialect_of
from cleanroom_algo.channels.formats.csv.rows import header_names, rows
from cleanroom_algo.channels.schema import Schema, with_nullable_target

EXPECTED: Final = "the columns of the training data, with or without the target, by name or in order, each of its type"
LEAVE_OUT: Final = 'leave these columns out, or train with a schema that declares extra_columns="ignore"'


def decoder_to_predict(data: bytes, schema: Schema, *, source: str) -> CsvDecoder:
    """Return a decoder for the features of the rows.

    Args:
        data: the first rows; the first line is not blank.
        schema: of the model.
        source: the name of the object in messages.
    """
    names = [column.name for column in schema.features]
    layout = with_nullable_target(schema) if _has_target(data, schema) else schema.without_target()
    if layout.csv.header == "each":  # in the objects that a job cuts into bodies
        layout = replace(layout, csv=replace(layout.csv, header=None))
    return CsvDecoder(layout, source=source, columns=names, skip_blank=not blank_rows(schema))


def blank_rows(schema: Schema) -> bool:
    """Whether a blank line is a row: with a single feature, it is a null."""
    return len(schema.features) == 1


def _has_target(data: bytes, schema: Schema) -> bool:
    """Whether rows contain the target: by their header, or by the first row with a possible width."""
    data = data.removeprefix(BOM)
    dialect = dialect_of(schema)
    header = header_names(data[: data.find(b"\n") + 1 or len(data)], dialect) or []
    if {column.name for column in schema.features}.issubset(header):
        return schema.target in header
    features, columns = len(schema.features), len(schema.columns)
    return _width(data, {features, columns}, dialect) == columns != features


def _width(data: bytes, possible: Collection[int], dialect: Dialect) -> int | None:
    """Return the number of fields of the first row with a possible number of them; None if no row has one."""
    first = data[: data.find(b"\n") + 1 or len(data)]
    return next((width for part in (first, data) for width in _widths(part, dialect) if width in possible), None)


def _widths(data: bytes, dialect: Dialect) -> Iterator[int]:
    return (len(row.fields) for row in rows(data.decode("utf-8", "surrogateescape"), dialect) if not row.fault)
