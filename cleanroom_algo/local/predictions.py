"""The outputs of an inference job as a table, beside their rows."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from cleanroom_algo.errors import PredictionsUnreadableError
from cleanroom_algo.local.objects.reference import ObjectRef

_SPACE: Final = re.compile(r"\s*")


def beside_inputs(
    inputs: pl.DataFrame | None,
    answered: Sequence[tuple[ObjectRef, ObjectRef]],
    *,
    has_header: bool,
    delimiter: str = ",",
) -> pl.DataFrame:
    """Return the rows, each with its prediction, in their order.

    Args:
        inputs: the rows; None to read them from the objects.
        answered: the objects of the channel, by key, and the outputs for each.
        has_header: whether the objects, if they are CSV, begin with the names of their columns.
        delimiter: of the objects, if they are CSV.

    Raises:
        PredictionsUnreadableError: CR-JOB-208.
    """
    try:
        answers = [_read(answer, has_header=False) for _, answer in answered]
        rows = (
            [_read(each, has_header=has_header, delimiter=delimiter) for each, _ in answered] if inputs is None else []
        )
        for (each, _), read, answer in zip(answered, rows, answers, strict=False):
            _check_heights(each.key, read, answer)
        table = _joined(rows) if inputs is None else inputs
        predicted = _named(_joined(answers))
    except pl.exceptions.PolarsError as error:
        raise _unreadable(f"inputs or outputs are neither CSV nor JSON: {error}") from error
    _check_heights("the channel", table, predicted)
    if clash := sorted(set(table.columns) & set(predicted.columns)):
        raise _unreadable(f"rows and predictions both have a column {clash[0]!r}")
    return pl.concat([table, predicted], how="horizontal")


@dataclass(frozen=True)
class FirstRows:
    """The first predictions, with their rows.

    Attributes:
        rows: None if they were not requested, or cannot be read as CSV or JSON Lines.
        predicted: the predictions, one for each row.
        whole: whether these are all predictions.
    """

    rows: pl.DataFrame | None
    predicted: pl.DataFrame
    whole: bool


def first_rows(
    answered: Sequence[tuple[ObjectRef, ObjectRef]],
    *,
    has_header: bool,
    most_bytes: int,
    delimiter: str = ",",
    with_rows: bool = True,
) -> FirstRows:
    """Return the first predictions, in memory that does not grow with their number.

    Args:
        answered: the objects of the channel, by key, and the outputs for each.
        has_header: whether the objects, if they are CSV, begin with the names of their columns.
        delimiter: of the objects, if they are CSV.
        most_bytes: about this many bytes of rows and of predictions are read.
        with_rows: whether the rows are read, too.

    Raises:
        PredictionsUnreadableError: CR-JOB-208.
    """
    rows: list[pl.DataFrame] = []
    answers: list[pl.DataFrame] = []
    left, whole = most_bytes, True
    try:
        for asked, answer in answered:
            if left <= 0:
                whole = False
                break
            predicted = _read(answer, has_header=False, most_bytes=left)
            read = predicted
            if with_rows:
                read = _read(asked, has_header=has_header, delimiter=delimiter, most_bytes=left)
            cut = answer.size > left or (with_rows and asked.size > left)
            if not cut:
                _check_heights(asked.key, read, predicted)
            count = min(read.height, predicted.height)
            rows.append(read.head(count))
            answers.append(predicted.head(count))
            left -= max(answer.size, asked.size if with_rows else 0)
        return FirstRows(_joined(rows) if with_rows else None, _named(_joined(answers)), whole and left >= 0)
    except pl.exceptions.PolarsError as error:
        raise _unreadable(f"inputs or outputs are neither CSV nor JSON: {error}") from error


def _read(
    reference: ObjectRef, *, has_header: bool, delimiter: str = ",", most_bytes: int | None = None
) -> pl.DataFrame:
    """Return an object as a table; the columns of CSV are strings, so that all objects have the same types."""
    with reference.open() as file:
        content = file.read(most_bytes)
    if most_bytes is not None and reference.size > most_bytes:
        content = content[: content.rfind(b"\n") + 1]
    if content.lstrip().startswith(b"{"):
        return pl.read_ndjson(io.BytesIO(content), infer_schema_length=None)
    if not content:
        return pl.DataFrame()
    items = _items(content)
    if items is not None:
        return _table(items, reference.key)
    return pl.read_csv(io.BytesIO(content), has_header=has_header, separator=delimiter, infer_schema=False)


def _items(content: bytes) -> list[Any] | None:
    """Return the items of JSON arrays that follow each other, one for each answer of a container.

    Returns None for any other content: a CSV file may begin with a bracket, too.
    """
    if not content.lstrip().startswith(b"["):
        return None
    text, at, items = content.decode(errors="replace").strip(), 0, []
    try:
        while at < len(text):
            array, at = json.JSONDecoder().raw_decode(text, at)
            if not isinstance(array, list):
                return None
            items += array
            at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
    except (ValueError, RecursionError):
        return None
    return items


def _table(items: list[Any], name: str) -> pl.DataFrame:
    """Return the items of arrays as rows: objects by their names, lists as one column for each place."""
    if items and all(isinstance(each, dict) for each in items):
        return pl.from_dicts(items, infer_schema_length=None, strict=False)
    if items and all(isinstance(each, list) for each in items):
        widths = sorted({len(each) for each in items})
        if len(widths) > 1:
            raise _unreadable(f"the lists in the JSON array of {name} have {widths[0]} to {widths[-1]} values")
        return pl.DataFrame(items, orient="row", infer_schema_length=None, strict=False)
    return pl.DataFrame({"column_1": pl.Series(items, strict=False)})


def _joined(tables: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return tables concatenated by name; strings of CSV are converted to the type that all of them spell."""
    table = pl.concat([each for each in tables if each.width] or [pl.DataFrame()], how="diagonal_relaxed")
    if not table.width or set(table.dtypes) != {pl.String()}:
        return table
    spelled = pl.read_csv(io.BytesIO(table.write_csv().encode()), infer_schema_length=None)
    # An identifier such as 007 is not a number.
    texts = [name for name in table.columns if spelled[name].dtype.is_integer() and _differ(spelled[name], table[name])]
    return spelled.with_columns(table.select(texts))


def _differ(numbers: pl.Series, texts: pl.Series) -> bool:
    return not numbers.cast(pl.String).equals(texts)


def _named(predicted: pl.DataFrame) -> pl.DataFrame:
    """Return predictions with their names in other formats, because CSV contains no names."""
    if not all(name.startswith("column_") for name in predicted.columns):
        return predicted
    names = ["prediction"] if predicted.width == 1 else [f"prediction_{number}" for number in range(predicted.width)]
    return predicted.rename(dict(zip(predicted.columns, names, strict=True)))


def _check_heights(name: str, rows: pl.DataFrame, predicted: pl.DataFrame) -> None:
    if rows.height != predicted.height:
        raise _unreadable(f"{name} has {rows.height} rows and {predicted.height} predictions")


def _unreadable(what: str) -> PredictionsUnreadableError:
    return PredictionsUnreadableError(
        what,
        expected="one prediction for each row, in CSV or JSON, under names that the rows do not have",
        fix="read the files in `outputs` of the job",
    )
