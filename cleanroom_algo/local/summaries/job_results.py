"""The predictions of an inference job: their distribution, and how good they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.local.profiling.profile import Bin, bins_of
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.resources.workspace import Workspace
from cleanroom_algo.local.results import InferenceJob
from cleanroom_algo.local.summaries.evaluation import Evaluation, evaluate

_MOST_BYTES: Final = 16 << 20  # of predictions, and of rows: can be read in about a second
_HEAD_ROWS: Final = 12
_TOP: Final = 12
_COLUMNS: Final = 8  # columns of predictions that are summarized


@dataclass(frozen=True)
class Predicted:
    """One column of predictions.

    Attributes:
        name: of the column.
        bins: of numbers.
        top: the most frequent values of other types, with their shares.
    """

    name: str
    bins: tuple[Bin, ...]
    top: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class JobResults:
    """The predictions of a job.

    Attributes:
        read: the number of predictions that were read.
        whole: whether these are all.
        predicted: the content of each of the first columns.
        columns: the names of the rows' columns, then those of predictions.
        head: the first rows, in the order of `columns`.
        features: the number of columns that belong to rows.
        target: the column to predict; None if the model declares none, or the rows lack it.
        evaluation: how good the predictions are; None without a target, or if their form does not show it.
    """

    read: int
    whole: bool
    predicted: tuple[Predicted, ...]
    columns: tuple[str, ...]
    head: tuple[tuple[Any, ...], ...]
    features: int
    target: str | None
    evaluation: Evaluation | None


def job_results(workspace: Workspace, record: Record, *, with_rows: bool) -> JobResults:
    """Return the predictions of a job, from a part of its rows.

    Args:
        workspace: of the room.
        record: of a successful inference job, with all stored values.
        with_rows: whether to read the rows of the channel; the receiver of predictions does not get them.

    Raises:
        PredictionsUnreadableError: CR-JOB-208. RoomError: CR-ROM-004 or CR-ROM-008, of objects in S3.
    """
    job = InferenceJob(record, workspace)
    first = job.first_rows(_MOST_BYTES, with_rows=with_rows)
    stored = None if job.model is None else job.model.manifest.get("schema")
    schema = None if stored is None else Schema.from_dict(stored)
    rows = None if first.rows is None else _named(first.rows, schema)
    target = schema.target if schema is not None and rows is not None and schema.target in rows.columns else None
    evaluation = None
    if schema is not None and rows is not None and target is not None:
        evaluation = evaluate(rows[target], first.predicted, schema.column(target))
    shown = first.predicted.head(_HEAD_ROWS)
    beside = [] if rows is None else [rows.head(_HEAD_ROWS)]
    return JobResults(
        first.predicted.height,
        first.whole,
        tuple(_summary(each) for each in first.predicted.iter_columns())[:_COLUMNS],
        tuple(name for each in (*beside, shown) for name in each.columns),
        tuple(_beside([*(each.rows() for each in beside), shown.rows()])),
        sum(each.width for each in beside),
        target,
        evaluation,
    )


def _named(rows: pl.DataFrame, schema: Schema | None) -> pl.DataFrame:
    """Return rows with the names in the schema, if their objects have no header."""
    if schema is None or not all(name.startswith("column_") for name in rows.columns):
        return rows
    names = [each.names for each in (schema, schema.without_target()) if len(each.names) == rows.width]
    return rows.rename(dict(zip(rows.columns, names[0], strict=True))) if names else rows


def _summary(values: pl.Series) -> Predicted:
    if values.dtype.is_numeric():
        return Predicted(values.name, bins_of(values), ())
    if values.dtype.is_nested():
        return Predicted(values.name, (), ())
    counts = values.drop_nulls().cast(pl.String).value_counts(sort=True, normalize=True)
    return Predicted(values.name, (), tuple(counts.head(_TOP).iter_rows()))


def _beside(tables: Sequence[Sequence[tuple[Any, ...]]]) -> list[tuple[Any, ...]]:
    return [tuple(value for row in rows for value in row) for rows in zip(*tables, strict=True)]
