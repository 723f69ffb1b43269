"""How well a model predicts each row, as one number: high if it is confident of the correct answer.

The number is the logit of the probability of the correct class, or the negative logarithm of the squared error. It
falls when the loss rises, and is close to normally distributed, as likelihood ratios require.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from cleanroom_algo.errors import AuditError
from cleanroom_algo.local.audit.statistics import Numbers

_SURE: Final = 1e-9  # the smallest distance of a probability from 0 or 1: float32 has no more digits below 1
_EXACT: Final = 1e-12  # the least squared error


ONLY_LABELS: Final = (
    "the model answers with labels; an attacker who sees probabilities can learn more than these figures show"
)
"""A warning about the figures of `Scores.are_labels`."""


class Scores(NamedTuple):
    """Scores of rows.

    Attributes:
        values: axis (row,).
        meaning: what they measure, in words.
        are_labels: whether it is only known if a prediction is right or wrong.
    """

    values: Numbers
    meaning: str
    are_labels: bool = False


def scores_of(predictions: pl.DataFrame, target: pl.Series) -> Scores:
    """Return how well predictions fit the target.

    Args:
        predictions: one column, or one for each class.
        target: of the same rows.

    Raises:
        AuditError: CR-CLI-009, the meaning of the predictions is not known.
    """
    if target.null_count():
        raise AuditError(
            f"the target {target.name!r} is null in {target.null_count()} rows",
            expected="a target in each row",
            fix="remove these rows from members and non-members",
        )
    if predictions.width > 1:
        return _of_classes(predictions, target)
    answers = predictions.to_series()
    if not answers.dtype.is_numeric() or (answers.dtype.is_integer() and not target.dtype.is_float()):
        return _of_labels(answers, target)
    if not target.dtype.is_numeric() and target.dtype != pl.Boolean:
        raise _unknown(f"numbers in one column, and a target of {target.dtype}")
    wanted = target.cast(pl.Float64).to_numpy()
    numbers = answers.cast(pl.Float64).to_numpy()
    if set(np.unique(wanted)) <= {0.0, 1.0}:
        return _of_two_classes(numbers, wanted)
    return Scores(-np.log(np.maximum(np.square(numbers - wanted), _EXACT)), "squared error")


def _of_labels(answers: pl.Series, target: pl.Series) -> Scores:
    right = _spelled(answers) == _spelled(target)
    return Scores(right.to_numpy().astype(np.float64), "right or wrong label", are_labels=True)


def _spelled(labels: pl.Series) -> pl.Series:
    return labels.cast(pl.Int8 if labels.dtype == pl.Boolean else labels.dtype).cast(pl.String).str.to_lowercase()


def _of_two_classes(numbers: Numbers, wanted: Numbers) -> Scores:
    if ((numbers >= 0) & (numbers <= 1)).all():
        right = np.clip(np.where(wanted > 0, numbers, 1 - numbers), _SURE, 1 - _SURE)
        return Scores(np.log(right) - np.log1p(-right), "probability of the right class")
    return Scores(np.where(wanted > 0, numbers, -numbers), "logit of the right class")


def _of_classes(predictions: pl.DataFrame, target: pl.Series) -> Scores:
    if not all(dtype.is_numeric() for dtype in predictions.dtypes):
        raise _unknown("several columns that are not numbers")
    places = _places(predictions.columns, target)
    numbers = predictions.cast(pl.Float64).to_numpy()
    are_probabilities = (numbers >= 0).all() and np.allclose(numbers.sum(axis=1), 1, atol=1e-3)
    logits = np.log(np.maximum(numbers, _SURE)) if are_probabilities else numbers
    rows = np.arange(len(logits))
    right = logits[rows, places]
    others = logits.copy()
    others[rows, places] = -np.inf
    highest = others.max(axis=1)
    rest = highest + np.log(np.exp(others - highest[:, None]).sum(axis=1))
    return Scores(right - rest, f"{'probability' if are_probabilities else 'logit'} of the right class")


def _places(columns: Sequence[str], target: pl.Series) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return for each row the index of the column of its class."""
    labels = _spelled(target)
    names = [name.lower() for name in columns]
    if names == [f"prediction_{number}" for number in range(len(names))]:
        # A class that is a number is its own index; other labels are numbered in their order, as by a Trainer.
        known = sorted(set(labels)) if target.dtype == pl.String else list(map(str, range(len(names))))
        names = known if len(known) == len(names) else names
    unknown = set(labels) - set(names)
    if unknown:
        raise _unknown(f"{len(names)} columns, and {len(unknown)} labels of the target that belong to none of them")
    order = pl.Series(names)
    return labels.replace_strict(order, pl.int_range(len(names), eager=True)).to_numpy()


def _unknown(what: str) -> AuditError:
    return AuditError(
        f"it is not clear how well the model predicts: {what}",
        expected="for two classes a probability or logit; for more, a column for each class in the order of its label "
        "or under its name; for a number, a number; or a label",
        fix="let the Predictor answer in one of these forms, or name another column with --target",
    )
