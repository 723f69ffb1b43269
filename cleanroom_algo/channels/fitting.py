"""Fitting features: streams over record batches, merges over ranks, and is deterministic.

Mean and variance follow Chan, Golub and LeVeque (1979): parts are merged without a second pass and without the
cancellation of sums of squares.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from cleanroom_algo.channels.features import (
    CategoricalFeature,
    Features,
    NumericFeature,
    as_numbers,
    integer_target,
)
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.contract.suggestions import did_you_mean
from cleanroom_algo.errors import FeaturesError, Problem

MAX_DISTINCT: Final = 200_000
"""The most distinct texts counted in one column: a column with more is an identifier, and would need more memory."""
MAX_CLASSES: Final = 10_000
"""The most labels of a target of strings: a target with more is probably free text."""


@dataclass(slots=True)
class Moments:
    """Count, mean and sum of squared deviations of the finite values seen."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def merge(self, other: Moments) -> None:
        """Add the values that the other has seen."""
        if not other.count:
            return
        total = self.count + other.count
        delta = other.mean - self.mean
        self.squares += other.squares + delta * delta * self.count * other.count / total
        self.mean += delta * other.count / total
        self.count = total

    @property
    def std(self) -> float:
        """The standard deviation of the population; 1 where it is 0 or unknown, so that it can divide."""
        deviation = math.sqrt(self.squares / self.count) if self.count else 0.0
        # A deviation below the rounding error of the mean is noise: it counts as 0.
        return deviation if deviation > 1e-12 * abs(self.mean) else 1.0


class FeaturesFitter:
    """Learns means, deviations and vocabularies: `update` it with record batches, `merge` other ranks', then `finish`.

    The result depends on the rows and, in its last bits, on the order of merging: ranks that merge the same states in
    the order of their ranks get the same features. Memory: at most 200,000 texts per categorical column.
    """

    def __init__(
        self,
        schema: Schema,
        *,
        numeric: Sequence[str] | None = None,
        categorical: Sequence[str] | None = None,
        max_categories: int = 1000,
        min_count: int = 5,
    ) -> None:
        """Make a fitter that has seen no rows.

        Args:
            schema: the table; its target is not a feature.
            numeric: the columns to standardize; by default every number, bool (0 or 1), date (days) and timestamp
                (seconds) that is not named in `categorical`.
            categorical: the columns to index; by default every string and category.
            max_categories: the most words of one vocabulary, at least 1; the most frequent are kept.
            min_count: how often a category must occur to enter the vocabulary; 5 by default, because a vocabulary
                travels in the artifacts, and a rare text may identify a person while teaching the model little.

        Raises:
            FeaturesError: CR-SCH-004, a named column is not a feature or cannot be used that way.
        """
        self.schema = schema
        self.max_categories = max_categories
        self.min_count = min_count
        problems = list(_faults(schema, numeric or (), categorical or ()))
        if max_categories < 1 or min_count < 1:
            problems.append(Problem("max_categories, min_count", "must be at least 1"))
        if problems:
            raise FeaturesError(
                "these features cannot be fitted",
                expected="columns of the schema other than the target, each used once, strings as categories only",
                fix="correct the lists given to FeaturesFitter",
                problems=problems,
            )
        self._moments = {
            c.name: Moments()
            for c in schema.features
            if (c.name in numeric if numeric is not None else not c.spans and c.name not in (categorical or ()))
        }
        self._counts: dict[str, Counter[str]] = {
            c.name: Counter()
            for c in schema.features
            if (c.name in categorical if categorical is not None else c.is_category)
        }
        self._labels: dict[str, Counter[str]] = {
            name: Counter() for name in [schema.target] if name is not None and schema.column(name).is_string
        }

    @property
    def columns(self) -> list[str]:
        """The columns that `update` reads, in the schema's order."""
        used = {*self._moments, *self._counts, self.schema.target}
        return [name for name in self.schema.names if name in used]

    def update(self, frame: pl.DataFrame) -> None:
        """Add a record batch.

        Raises:
            FeaturesError: CR-SCH-004, a categorical column has more than 200,000 distinct texts, the target has more
                than 10,000 labels, or is an integer larger than int64 has.
        """
        target = self.schema.target
        if target is not None and target in frame.columns and self.schema.column(target).is_integer:
            integer_target(frame.get_column(target))
        for name, moments in self._moments.items():
            values = (
                as_numbers(frame.get_column(name), self.schema.column(name)).to_numpy().astype(np.float64, copy=False)
            )
            finite = values[np.isfinite(values)]
            if len(finite):
                mean = float(finite.mean())
                moments.merge(Moments(len(finite), mean, float(np.square(finite - mean).sum())))
        for name, counts in (self._counts | self._labels).items():
            found = frame.get_column(name).drop_nulls().cast(pl.String).value_counts(name="count")
            counts.update(dict(zip(found.get_column(name).to_list(), found.get_column("count").to_list(), strict=True)))
            self._check_distinct(name, counts)

    def merge(self, other: FeaturesFitter) -> None:
        """Add what another fitter of the same schema and columns has learned."""
        for name, moments in self._moments.items():
            moments.merge(other._moments[name])
        for name, counts in (self._counts | self._labels).items():
            counts.update((other._counts | other._labels)[name])
            self._check_distinct(name, counts)

    def state_dict(self) -> dict[str, Any]:
        """Return the state as JSON values, to be gathered over the ranks."""
        return {
            "moments": {name: asdict(moments) for name, moments in self._moments.items()},
            "counts": {name: dict(counts) for name, counts in self._counts.items()},
            "labels": {name: dict(counts) for name, counts in self._labels.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what another fitter of the same schema and columns returned from `state_dict`."""
        self._moments = {name: Moments(**state["moments"][name]) for name in self._moments}
        self._counts = {name: Counter(state["counts"][name]) for name in self._counts}
        self._labels = {name: Counter(state["labels"][name]) for name in self._labels}

    def finish(self) -> Features:
        """Return the features. A vocabulary is ordered by descending count, then by text; labels by text."""
        return Features(
            self.schema,
            tuple(NumericFeature(name, m.mean, m.std) for name, m in self._moments.items()),
            tuple(CategoricalFeature(name, self._vocabulary(counts)) for name, counts in self._counts.items()),
            tuple(sorted(label for labels in self._labels.values() for label in labels)),
        )

    def left_out(self) -> dict[str, tuple[int, int]]:
        """Return how many of how many categories have index 0, like unknown ones, by column; 0 is left out."""
        kept = {name: len(self._vocabulary(counts)) for name, counts in self._counts.items()}
        found = {name: len(counts) for name, counts in self._counts.items()}
        return {name: (found[name] - kept[name], found[name]) for name in found if kept[name] < found[name]}

    def _vocabulary(self, counts: Counter[str]) -> tuple[str, ...]:
        frequent = [(count, text) for text, count in counts.items() if count >= self.min_count]
        frequent.sort(key=lambda item: (-item[0], item[1]))
        return tuple(text for _, text in frequent[: self.max_categories])

    def _check_distinct(self, name: str, counts: Counter[str]) -> None:
        is_target = name in self._labels
        most = MAX_CLASSES if is_target else MAX_DISTINCT
        if len(counts) > most:
            fix = f"leave {name!r} out of `categorical`, or group its values in the data"
            raise FeaturesError(
                f"column {name!r} has more than {most} distinct texts",
                expected="labels of classes" if is_target else "a category, not an identifier",
                fix="choose another target, or group its labels in the data" if is_target else fix,
            )


def _faults(schema: Schema, numeric: Sequence[str], categorical: Sequence[str]) -> Iterator[Problem]:
    known = {column.name: column for column in schema.features}
    for kind, names in (("numeric", numeric), ("categorical", categorical)):
        for name in names:
            if name == schema.target:
                yield Problem(kind, f"{name!r} is the target")
            elif name not in known:
                yield Problem(kind, f"{name!r} is not a column" + did_you_mean(name, known))
            elif kind == "numeric" and known[name].spans:
                yield Problem(kind, f"{name!r} is a {known[name].dtype}, which has no mean")
            elif kind == "categorical" and known[name].is_list:
                yield Problem(kind, f"{name!r} is a {known[name].dtype}, which cannot be a category")
    for name in sorted(set(numeric) & set(categorical)):
        yield Problem("numeric", f"{name!r} is named in `categorical` too")
