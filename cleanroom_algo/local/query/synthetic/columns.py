"""Converts columns to small integers and back; the possible values or intervals are also measured with noise.

Neither the values of categories nor the bounds of numbers are declared, and both reveal something about rows.
Categories are the values of enough rows. Bounds are found in a histogram of powers of two, as in Wilson, Zhang, Lam,
Desfontaines, Simmons-Marengo, Gipson, "Differentially private SQL with bounded user contribution", 2020.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cleanroom_algo.local.query.synthetic.budget import Counts, deviation, hidden_below, measured, on_simplex

NULL: Final = 0
"""The code of null in every column."""

_MAX_CATEGORIES: Final = 1000  # of a column; a pair of columns has the square of it
_MAX_EXPONENT: Final = 64  # larger numbers count as 2 ** 64
_FEWEST, _COARSE, _FINE = 8, 256, 1024  # numbers of narrow intervals

Codes = NDArray[np.int64]
_Numbers = NDArray[np.float64]


class Coding(Protocol):
    """Converts the values of a column to codes, and codes to values."""

    @property
    def size(self) -> int:
        """The number of codes, including that of null."""

    def codes(self, values: pl.Series) -> Codes:
        """Return the codes of values."""

    def values(self, codes: Codes, random: np.random.Generator) -> pl.Series:
        """Return a value for each code."""


@dataclass(frozen=True)
class Categories:
    """The values of a categorical column; the last code means all other values.

    Attributes:
        shown: the values, sorted.
        weights: how often each one is drawn for the code of the other values.
    """

    shown: pl.Series
    weights: Counts

    @classmethod
    def measure(
        cls, values: pl.Series, rho: float, epsilon: float, columns: int, random: np.random.Generator
    ) -> Coding:
        """Return the values of enough rows; this costs rho and a part of delta."""
        if values.dtype == pl.Boolean:
            return cls(pl.Series([False, True]), np.ones(2))
        counted = values.drop_nulls().value_counts(name="rows").sort(values.name)
        noisy = measured(counted["rows"].cast(pl.Int64).to_numpy(), rho, random)
        order = np.argsort(-noisy)[:_MAX_CATEGORIES]
        kept = np.sort(order[noisy[order] > hidden_below(rho, epsilon, columns)])
        return cls(counted[values.name][kept], noisy[kept])

    @property
    def size(self) -> int:
        """The number of codes."""
        return len(self.shown) + 2

    def codes(self, values: pl.Series) -> Codes:
        """Return the codes of values."""
        others = self.size - 1
        numbers = pl.Series(range(1, others), dtype=pl.Int64)
        found = values.replace_strict(self.shown, numbers, default=others, return_dtype=pl.Int64)
        return np.where(values.is_null().to_numpy(), NULL, found.to_numpy())

    def values(self, codes: Codes, random: np.random.Generator) -> pl.Series:
        """Return a value for each code; for that of other values, one of the shown values if there is one."""
        places, others = codes.copy(), codes == self.size - 1
        shares = self.weights / self.weights.sum()
        places[others] = 1 + random.choice(len(shares), others.sum(), p=shares) if len(shares) else NULL
        return pl.concat([pl.Series([None], dtype=self.shown.dtype), self.shown]).gather(places)


@dataclass(frozen=True)
class Intervals:
    """The intervals of a numerical column, with about the same number of rows each.

    Attributes:
        dtype: of the column.
        edges: of narrow intervals of the same width.
        weights: noisy counts of the narrow intervals.
        starts: the first narrow interval of each interval.
    """

    dtype: pl.DataType
    edges: _Numbers
    weights: Counts
    starts: NDArray[np.int64]

    @classmethod
    def measure(cls, values: pl.Series, rho: float, intervals: int, random: np.random.Generator) -> Coding:
        """Return intervals between bounds; this costs rho: a third each for powers of two, bounds and intervals."""
        numbers = _numbers(values)
        numbers = numbers[~np.isnan(numbers)]
        whole = not (values.dtype.is_float() or values.dtype.is_decimal())
        # As many narrow intervals as possible with counts above the noise.
        most = max(int(len(values) / (3 * deviation(rho / 3))), _FEWEST)
        edges = _powers()
        edges = _around(edges, _of_many(_counted(numbers, edges), rho / 3, random))
        edges = _divided(edges[0], edges[-1], min(most, _COARSE), whole=whole)
        edges = _around(edges, _of_many(_counted(numbers, edges), rho / 3, random))
        edges = _divided(edges[0], edges[-1], min(most, _FINE), whole=whole)
        weights = _weights(_counted(numbers, edges), rho / 3, random)
        below = np.concatenate(([0.0], np.cumsum(weights)[:-1])) / weights.sum()
        starts = np.unique(np.searchsorted(below, np.arange(intervals) / intervals, side="right") - 1)
        starts[0] = 0
        return cls(values.dtype, edges, weights, starts)

    @property
    def size(self) -> int:
        """The number of codes."""
        return len(self.starts) + 1

    def codes(self, values: pl.Series) -> Codes:
        """Return the codes of values; values out of bounds have the code of the closest interval, NaN that of null."""
        numbers = _numbers(values)
        places = np.searchsorted(self.starts, _place(numbers, self.edges), side="right")
        return np.where(np.isnan(numbers), NULL, places)

    def values(self, codes: Codes, random: np.random.Generator) -> pl.Series:
        """Return a number for each code, from a narrow interval of its interval."""
        numbers = np.zeros(len(codes))
        ends = [*self.starts[1:], len(self.weights)]
        for code, (first, last) in enumerate(zip(self.starts, ends, strict=True), start=1):
            here = codes == code
            share = self.weights[first:last] + 1e-9
            narrow = first + random.choice(last - first, here.sum(), p=share / share.sum())
            numbers[here] = random.uniform(self.edges[narrow], self.edges[narrow + 1])
        shown = numbers if self.dtype.is_float() or self.dtype.is_decimal() else np.floor(numbers)
        series = pl.Series(shown).set(pl.Series(codes == NULL), None)
        if self.dtype.is_temporal():
            series = series.cast(pl.Int32 if self.dtype == pl.Date else pl.Int64)
        return series.cast(self.dtype, strict=False)


def numbers_of(values: pl.Series) -> pl.Series:
    """Return values as numbers: days for dates, units for timestamps, finite numbers for infinity."""
    numbers = values.to_physical() if values.dtype.is_temporal() else values
    return numbers.cast(pl.Float64).clip(-1e300, 1e300)


def _numbers(values: pl.Series) -> _Numbers:
    """Return values as numbers, NaN for null."""
    return numbers_of(values).fill_null(math.nan).to_numpy()


def _powers() -> _Numbers:
    """Return powers of two with both signs, around zero."""
    positive = np.exp2(np.arange(-_MAX_EXPONENT, _MAX_EXPONENT + 1))
    return np.concatenate((-positive[::-1], positive))


def _place(numbers: _Numbers, edges: _Numbers) -> NDArray[np.int64]:
    """Return the interval of each number; the first and the last one include numbers out of bounds."""
    return np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, len(edges) - 2)


def _counted(numbers: _Numbers, edges: _Numbers) -> NDArray[np.int64]:
    return np.bincount(_place(numbers, edges), minlength=len(edges) - 1)


def _of_many(counts: NDArray[np.int64], rho: float, random: np.random.Generator) -> Counts:
    """Return noisy counts that exceed the noise, and 0 for the others; the highest count in any case."""
    noisy = measured(counts, rho, random)
    least = deviation(rho) * math.sqrt(2 * math.log(20 * len(counts)))
    return np.where(noisy >= min(least, noisy.max()), np.abs(noisy), 0)


def _weights(counts: NDArray[np.int64], rho: float, random: np.random.Generator) -> Counts:
    """Return noisy counts without negative ones, scaled to their original sum."""
    noisy = measured(counts, rho, random)
    return on_simplex(noisy, max(noisy.sum(), 1.0))


def _around(edges: _Numbers, weights: Counts) -> _Numbers:
    """Return the edges from the first interval with a weight to the last."""
    found = np.flatnonzero(weights)
    return edges[found[0] : found[-1] + 2]


def _divided(low: float, high: float, bins: int, *, whole: bool) -> _Numbers:
    """Return edges of intervals of equal width, which is at least 1 for whole numbers."""
    if not whole:
        return np.linspace(low, high, bins + 1)
    low, high = math.floor(low), math.ceil(high)
    width = max(math.ceil((high - low) / bins), 1)
    return low + width * np.arange(max(math.ceil((high - low) / width), 1) + 1, dtype=np.float64)
