"""The headers of the objects of an inference job: only some requests contain them, the others are read by position."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from cleanroom_algo.channels.formats.blocks import BOM
from cleanroom_algo.channels.formats.csv.dialect import dialect_of
from cleanroom_algo.channels.formats.csv.rows import header_names, rows
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.contract.algorithm import algorithm_file
from cleanroom_algo.contract.environment import PROGRAM_VARIABLE
from cleanroom_algo.contract.manifest import Manifest
from cleanroom_algo.contract.settings import variable
from cleanroom_algo.errors import AlgorithmNotFoundError, InferenceInputError, ManifestError, SchemaError
from cleanroom_algo.local.plans.training_plan import AlgorithmSource

if TYPE_CHECKING:
    from cleanroom_algo.local.objects.reference import ObjectRef

_HEADER_BYTES = 64 * 1024  # of an object's first line, which may be a header
_INDEX_ROWS = 20  # that must count, so that other columns of small numbers are not taken for an index
_FEW_ROWS = 3


def schema_of(model: Path) -> Schema | None:
    """Return the schema of the table on which a model was trained; None if its artifacts do not contain it."""
    try:
        declared = Manifest.read(model).table_schema
        return None if declared is None else Schema.from_dict(declared)
    except (ManifestError, SchemaError):
        return None


def is_predictor(source: AlgorithmSource, environment: Mapping[str, str]) -> bool:
    """Whether a Predictor certainly answers, and refuses rows that do not fit."""
    path = source.path
    lenient = environment.get(variable("serve_bad_records"), "fail") != "fail"
    if path is None or lenient or PROGRAM_VARIABLE in environment or os.access(path / "serve", os.X_OK):
        return False
    try:
        return algorithm_file(path) is not None
    except AlgorithmNotFoundError:
        return False


def names_columns(objects: Sequence[ObjectRef], schema: Schema) -> bool:
    """Whether the first line of the first object names all features of the schema, or nothing but its columns."""
    first = next((each for each in objects if each.size), None)
    names = set() if first is None else set(_names(first, schema))
    return bool(names) and (_features(schema) <= names or names <= set(schema.names))


def index_warning(objects: Sequence[ObjectRef], schema: Schema) -> str | None:
    """Return the warning about rows that probably begin with an index of pandas; None if they do not.

    If they have an index, but neither a header nor the target, they are as wide as rows with the target, and are read
    by position.
    """
    from cleanroom_algo.local.profiling.meaning import names_identifiers  # polars takes long to import

    first = next((each for each in objects if each.size), None)
    column = schema.columns[0].name
    if first is None or schema.target in (None, column) or names_identifiers(column):
        return None
    with first.open() as file:
        lines = file.read(_HEADER_BYTES).removeprefix(BOM).decode("utf-8", "replace").splitlines(keepends=True)
    found = list(islice(rows("".join(lines[:_INDEX_ROWS]), dialect_of(schema)), _INDEX_ROWS))
    numbers = [row.fields[0] for row in found if len(row.fields) == len(schema.columns)]
    counts = any(numbers == [str(start + row) for row in range(len(found))] for start in (0, 1))
    if len(numbers) < _FEW_ROWS or not counts:
        return None
    return (
        f"{first.key} has no header, and its first fields count {', '.join(map(str, numbers[:3]))}, like an index of "
        f"pandas, but are read as {column!r}, and the fields after them as the next columns; write the file with "
        "index=False, or with a header"
    )


def order_fault(reference: ObjectRef, schema: Schema) -> InferenceInputError | None:
    """Return the error of an object whose columns are not those of the schema in their order; None if they are.

    A Predictor reads a request with a header by names, and one without a header in the order of the schema. So the rows
    of such an object would be read differently from request to request.
    """
    names = _names(reference, schema)
    order = [column.name for column in schema.features]
    if names in (order, list(schema.names)) or not _features(schema) <= set(names):
        return None
    return InferenceInputError(
        f"{reference.key} takes several requests, of which not all contain its header, and its columns are not those "
        "of the schema in their order: later rows would be read wrongly",
        expected="the features of the schema in its order, or all of its columns",
        fix=f"select these columns, in this order and no others: {', '.join(order)}",
    )


def _features(schema: Schema) -> set[str]:
    return {column.name for column in schema.features}


def _names(reference: ObjectRef, schema: Schema) -> list[str]:
    with reference.open() as file:
        line = file.readline(_HEADER_BYTES).removeprefix(BOM)
    return header_names(line, dialect_of(schema)) or []
