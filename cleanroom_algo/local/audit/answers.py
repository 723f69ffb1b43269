"""Scores of rows: the predictions of a model, compared with the correct answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from cleanroom_algo.errors import AuditError, PredictionsUnreadableError
from cleanroom_algo.local.audit.rows import parsed
from cleanroom_algo.local.audit.scores import Scores, scores_of
from cleanroom_algo.local.client import CleanRoom
from cleanroom_algo.local.results import TrainedModel


def target_of(model: TrainedModel, named: str | None) -> str:
    """Return the column that a model predicts: `named`, or the target of its schema.

    Raises:
        AuditError: CR-CLI-009, both are missing.
    """
    target: str | None = named or (model.manifest.get("schema") or {}).get("target")
    if target is None:
        raise AuditError(
            f"it is not known which column {model.name} predicts",
            expected="a model of a Trainer whose schema has a target, or --target",
            fix="name the column with --target",
        )
    return target


def right_answers(model: TrainedModel, target: pl.Series) -> pl.Series:
    """Return the correct answers: numbers, unless the schema of the model declares them as texts."""
    schema: dict[str, Any] = model.manifest.get("schema") or {}
    declared = {column["name"]: column["dtype"] for column in schema.get("columns", ())}
    if declared.get(target.name) in {"string", "category"}:
        return target.cast(pl.String)
    return parsed(target)


def predicted_scores(room: CleanRoom, model: TrainedModel, asked: pl.DataFrame, right: pl.Series) -> Scores:
    """Return the scores of rows; the model predicts them in an inference job without the target.

    Raises:
        AuditError: CR-CLI-009, the predictions cannot be compared with the answers. JobFailed: predicting failed.
    """
    name = f"{model.name[:50]}-audit"
    try:
        answers = room.infer(model, asked, name=name).predictions
    except PredictionsUnreadableError:  # JSON of SageMaker's inference toolkit: one array per request
        answers = room.infer(model, asked, name=name, accept="text/csv").predictions
    scores = scores_of(answers.select(answers.columns[asked.width :]), right)
    if unknown := int(np.isnan(scores.values).sum()):
        raise AuditError(
            f"{unknown} of {asked.height} predictions are NaN or null",
            expected="a prediction for each row",
            fix="correct the Predictor, or remove the rows that it cannot predict",
        )
    return scores
