"""The noise that an epsilon requires: zero-concentrated differential privacy, whose costs can be added.

(Bun, Steinke, "Concentrated differential privacy: simplifications, extensions, and lower bounds", 2016: rho-zCDP
implies (epsilon, delta)-DP with epsilon = rho + 2 sqrt(rho ln(1/delta)).)
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

DELTA: Final = 1e-9
"""The delta for each epsilon; the service has no parameter for it."""

Counts = NDArray[np.float64]


def rho_of(epsilon: float) -> float:
    """Return the zCDP budget of an epsilon and half of `DELTA`; the other half is for `hidden_below`."""
    logarithm = math.log(2 / DELTA)
    return (math.sqrt(epsilon + logarithm) - math.sqrt(logarithm)) ** 2


def deviation(rho: float) -> float:
    """Return the standard deviation of noise on counts.

    Changing one row changes two counts by 1, so their L2 sensitivity is sqrt(2), and
    rho = sensitivity ** 2 / (2 deviation ** 2).
    """
    return 1 / math.sqrt(rho)


def measured(counts: NDArray[np.int64], rho: float, random: np.random.Generator) -> Counts:
    """Return counts with noise; this costs rho."""
    noisy: Counts = counts + random.normal(0, deviation(rho), counts.shape)
    return noisy


def hidden_below(rho: float, epsilon: float, columns: int) -> float:
    """Return the noisy count below which a value must not be shown.

    The probability that the noisy count of a value of a single row exceeds it, over all columns, costs half of `DELTA`.
    So only values of several rows are named (stability-based histograms: Korolova, Kenthapadi, Mishra, Ntoulas,
    "Releasing search queries and clicks privately", 2009).
    """
    probability = DELTA / 2 / (1 + math.exp(epsilon)) / columns
    return 1 - deviation(rho) * NormalDist().inv_cdf(probability)


def chosen(scores: Counts, sensitivity: float, rho: float, random: np.random.Generator) -> int:
    """Return the index of a high score, by the exponential mechanism.

    With parameter e, it is (e ** 2 / 8)-zCDP (Cesar, Rogers, "Bounding, concentrating, and truncating", 2021).
    """
    parameter = math.sqrt(8 * rho)
    return int(np.argmax(parameter * scores / (2 * sensitivity) + random.gumbel(size=scores.shape)))


def on_simplex(counts: Counts, total: float) -> Counts:
    """Return the closest counts to noisy ones that are not negative and have a known sum."""
    values = counts.ravel()
    ordered = np.sort(values)[::-1]
    excess = (np.cumsum(ordered) - total) / np.arange(1, len(ordered) + 1)
    last = np.flatnonzero(ordered > excess)[-1]
    nearest: Counts = np.maximum(values - excess[last], 0).reshape(counts.shape)
    return nearest
