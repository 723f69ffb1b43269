"""How good predictions are if the rows have the target: for two classes, for several, and for numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cleanroom_algo.channels.schema import Column
from cleanroom_algo.channels.values import BOOLEANS

_CLASSES: Final = 12  # that are shown; the rarer ones are combined into one
OTHERS: Final = "(others)"
_FEW: Final = 20  # with at most this many distinct values, whole numbers are probably classes
_GROUPS: Final = 10  # of rows, by their prediction
_PAIRS: Final = 1500  # that are shown
_CURVE_POINTS: Final = 200


@dataclass(frozen=True)
class Confusion:
    """How often each class is predicted for each true class.

    Attributes:
        labels: of the classes, sorted; `OTHERS` last if there are many classes.
        counts: the number of rows, axes (true class, predicted class).
    """

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    @property
    def accuracy(self) -> float:
        """The share of correct predictions; a prediction of OTHERS for OTHERS counts as correct."""
        right = sum(row[number] for number, row in enumerate(self.counts))
        return right / max(sum(map(sum, self.counts)), 1)


@dataclass(frozen=True)
class Scores:
    """How good the probabilities of one of two classes are.

    Attributes:
        labels: of the other class, and of the one whose probability is predicted.
        area: under the ROC curve; None if only one class occurs.
        curve: false and true positive rates.
        groups: for groups of rows with similar predictions: the mean prediction, the share of the class, and the rows.
        brier: the mean squared difference.
    """

    labels: tuple[str, str]
    area: float | None
    curve: tuple[tuple[float, float], ...]
    groups: tuple[tuple[float, float, int], ...]
    brier: float
    _sorted: tuple[NDArray[np.float64], NDArray[np.float64]]  # of each class

    def confusion(self, threshold: float) -> Confusion:
        """Return how often each class is predicted if the threshold and larger values mean the class."""
        below = [int(np.searchsorted(each, threshold, side="left")) for each in self._sorted]
        return Confusion(
            self.labels, tuple((count, len(each) - count) for count, each in zip(below, self._sorted, strict=True))
        )


@dataclass(frozen=True)
class Errors:
    """The distances of predicted numbers from the true ones.

    Attributes:
        mean_absolute: the mean distance.
        root_mean_square: of the distances.
        explained: the share of the variance that is explained (R squared); None if all true numbers are equal.
        pairs: true and predicted number of some rows.
    """

    mean_absolute: float
    root_mean_square: float
    explained: float | None
    pairs: tuple[tuple[float, float], ...]


Evaluation = Confusion | Scores | Errors


def evaluate(truth: pl.Series, predicted: pl.DataFrame, column: Column) -> Evaluation | None:
    """Return how good predictions are; None if their form does not show it.

    Args:
        truth: of each row, as it was read; rows without it are ignored.
        predicted: one column, or one for each class with its probability.
        column: the target, as it is declared.
    """
    known = truth.is_not_null()
    truth, predicted = truth.filter(known), predicted.filter(known)
    if not len(truth) or any(each.null_count() for each in predicted):
        return None
    if predicted.width > 1:
        return _of_several(truth, predicted, column)
    values = predicted.to_series()
    if column.dtype == "bool" or _is_binary(truth, values, column):
        return _of_two(truth, values)
    if values.dtype.is_numeric() and truth.dtype.is_numeric() and not _are_classes(truth, values, column):
        return _of_numbers(_numbers(truth), _numbers(values))
    if column.is_float or values.dtype.is_nested():
        return None
    return _confusion(_texts(truth), _texts(values))


def _of_several(truth: pl.Series, predicted: pl.DataFrame, column: Column) -> Evaluation | None:
    """Return how good the probabilities of classes are; the columns are in the order of the sorted classes."""
    if not all(dtype.is_numeric() for dtype in predicted.dtypes) or column.is_float:
        return None
    if column.is_string:
        labels = sorted(_texts(truth).unique().to_list())
    else:
        labels = [str(number) for number in range(predicted.width)]
    if column.dtype == "bool" and predicted.width == 2:
        return _of_two(truth, predicted.to_series(1))
    if len(labels) != predicted.width:
        return None
    best = np.argmax(predicted.to_numpy(), axis=1)
    return _confusion(_texts(truth), pl.Series(labels).gather(best))


def _of_two(truth: pl.Series, values: pl.Series) -> Evaluation | None:
    positive = _booleans(truth)
    if positive is None:
        return None
    if not values.dtype.is_float() or not _are_shares(values):
        said = _booleans(values)
        return None if said is None else _confusion(*(pl.Series(each).cast(pl.String) for each in (positive, said)))
    labels = ("false", "true") if truth.dtype != pl.Int64 else ("0", "1")
    return scores_of(positive, _numbers(values), labels)


def roc(members: NDArray[np.float64], others: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the false and the true positive rates of all thresholds, from (0, 0) to (1, 1).

    Args:
        members: the scores of what should be found, axis (row,).
        others: the scores of all other rows; rates of no rows are 0.
    """
    thresholds = np.unique(np.concatenate([members, others]))[::-1]
    false, true = (
        np.r_[0, len(each) - np.searchsorted(np.sort(each), thresholds, side="left")] / max(len(each), 1)
        for each in (others, members)
    )
    return false, true


def scores_of(positive: NDArray[np.bool_], values: NDArray[np.float64], labels: tuple[str, str]) -> Scores:
    """Return how good probabilities are."""
    parts = (np.sort(values[~positive]), np.sort(values[positive]))
    wrong, found = roc(parts[1], parts[0])
    area = float(np.sum(np.diff(wrong) * (found[1:] + found[:-1]) / 2)) if len(parts[0]) and len(parts[1]) else None
    kept = np.unique(np.linspace(0, len(wrong) - 1, _CURVE_POINTS).astype(int))
    order = np.argsort(values, kind="stable")
    groups = [part for part in np.array_split(order, _GROUPS) if len(part)]
    return Scores(
        labels,
        area,
        tuple(zip(wrong[kept].tolist(), found[kept].tolist(), strict=True)),
        tuple((float(values[part].mean()), float(positive[part].mean()), len(part)) for part in groups),
        float(np.mean((values - positive) ** 2)),
        parts,
    )


def _of_numbers(truth: NDArray[np.float64], values: NDArray[np.float64]) -> Errors | None:
    finite = np.isfinite(truth) & np.isfinite(values)
    truth, values = truth[finite], values[finite]
    if not len(truth):
        return None
    distances = values - truth
    variance = float(np.var(truth))
    shown = np.unique(np.linspace(0, len(truth) - 1, _PAIRS).astype(int))
    return Errors(
        float(np.abs(distances).mean()),
        float(np.sqrt(np.mean(distances**2))),
        1 - float(np.mean(distances**2)) / variance if variance else None,
        tuple(zip(truth[shown].tolist(), values[shown].tolist(), strict=True)),
    )


def _confusion(truth: pl.Series, said: pl.Series) -> Confusion:
    counts = pl.concat([truth, said]).value_counts(sort=True).to_series(0).to_list()
    kept, rest = sorted(counts[:_CLASSES]), counts[_CLASSES:]
    labels = [*kept, OTHERS] if rest else kept
    places = {label: place for place, label in enumerate(kept)}
    matrix = np.zeros((len(labels), len(labels)), int)
    pairs = pl.DataFrame({"truth": truth, "said": said}).group_by("truth", "said").len()
    for true, predicted, rows in pairs.iter_rows():
        matrix[places.get(true, len(kept)), places.get(predicted, len(kept))] += rows
    return Confusion(tuple(labels), tuple(tuple(row) for row in matrix.tolist()))


def _is_binary(truth: pl.Series, values: pl.Series, column: Column) -> bool:
    """Whether the target is 0 or 1, and predictions are probabilities of 1."""
    zero_one = column.is_integer and truth.dtype.is_integer() and set(truth.unique().to_list()) <= {0, 1}
    return zero_one and values.dtype.is_float() and _are_shares(values)


def _are_classes(truth: pl.Series, values: pl.Series, column: Column) -> bool:
    return not column.is_float and values.dtype.is_integer() and truth.n_unique() <= _FEW


def _are_shares(values: pl.Series) -> bool:
    return bool(values.is_between(0, 1).all())


def _booleans(values: pl.Series) -> NDArray[np.bool_] | None:
    found = [BOOLEANS.get(text.lower()) for text in _texts(values).to_list()]
    return None if None in found else np.array(found, bool)


def _texts(values: pl.Series) -> pl.Series:
    return values.cast(pl.String)


def _numbers(values: pl.Series) -> NDArray[np.float64]:
    return values.cast(pl.Float64).to_numpy()
