"""How well scores separate two groups, with confidence intervals: pure functions of numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = NDArray[np.float64]
Interval: TypeAlias = tuple[float, float]

CONFIDENCE: Final = 0.95
_HALVINGS: Final = 50  # of an interval of length 1: far more precise than needed


@dataclass(frozen=True)
class Separation:
    """How well scores separate members from others.

    Attributes:
        auc: the probability that a member has a higher score than a non-member; ties count as a half.
        auc_interval: of 95%, by DeLong, DeLong and Clarke-Pearson (1988).
        tpr: the share of members above a threshold that at most 1% of the others exceed.
        tpr_interval: of 95%, by Clopper and Pearson (1934), for this threshold.
    """

    auc: float
    auc_interval: Interval
    tpr: float
    tpr_interval: Interval


def separation(members: Numbers, others: Numbers, *, fpr: float = 0.01) -> Separation:
    """Return how well scores separate members from others.

    Args:
        members: their scores, axis (row,); at least one.
        others: the same; members should have high scores.
        fpr: the share of the others that may be mistaken for members.
    """
    auc, interval = auc_with_interval(members, others)
    found = int((members > threshold_at(others, fpr)).sum())
    return Separation(auc, interval, found / len(members), clopper_pearson(found, len(members)))


def auc_with_interval(members: Numbers, others: Numbers) -> tuple[float, Interval]:
    """Return the area under the ROC curve, and its interval of 95%."""
    above = _placements(members, others)
    below = 1 - _placements(others, members)
    auc = float(above.mean())
    variance = sum(float(each.var(ddof=1)) / len(each) for each in (above, below) if len(each) > 1)
    if not variance:  # all pairs agree: as many of them are independent as the smaller group has rows
        pairs = min(len(members), len(others))
        low, high = clopper_pearson(pairs if auc == 1 else 0 if auc == 0 else pairs // 2, pairs)
        return auc, (low, high)
    reach = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * variance**0.5
    return auc, (max(auc - reach, 0.0), min(auc + reach, 1.0))


def _placements(scores: Numbers, others: Numbers) -> Numbers:
    """Return for each score the share of the others that are lower; equal ones count as a half."""
    ordered = np.sort(others)
    lower = np.searchsorted(ordered, scores, "left")
    not_higher = np.searchsorted(ordered, scores, "right")
    shares: Numbers = (lower + not_higher) / (2 * len(others))
    return shares


def threshold_at(others: Numbers, fpr: float) -> float:
    """Return the least threshold that at most a share of `fpr` of the scores exceeds."""
    allowed = int(fpr * len(others) + 1e-9)  # 0.01 x 300 is a little less than 3
    return float(np.sort(others)[len(others) - 1 - allowed])


def clopper_pearson(found: int, count: int) -> Interval:
    """Return the exact 95% interval of a share, of which `found` of `count` were seen."""
    tail = (1 - CONFIDENCE) / 2
    ways = _log_choose(count)
    low = 0.0 if found == 0 else _solve(lambda share: _at_least(found, ways, share) < tail)
    high = 1.0 if found == count else _solve(lambda share: 1 - _at_least(found + 1, ways, share) > tail)
    return low, high


def _log_choose(count: int) -> Numbers:
    """Return the logarithm of the binomial coefficients of `count`, axis (0..count)."""
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, count + 1)))])
    ways: Numbers = factorials[-1] - factorials - factorials[::-1]
    return ways


def _at_least(found: int, ways: Numbers, share: float) -> float:
    """Return the probability of at least `found` successes."""
    successes = np.arange(found, len(ways))
    failures = len(ways) - 1 - successes
    return float(np.exp(ways[found:] + successes * np.log(share) + failures * np.log1p(-share)).sum())


def _solve(is_below: Callable[[float], bool]) -> float:
    """Return the point between 0 and 1 at which a test changes from true to false."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if is_below(middle) else (low, middle)
    return (low + high) / 2


def fisher(p_values: Numbers) -> float:
    """Return the combined p value of independent tests, by Fisher's method."""
    total = -float(np.log(p_values).sum())
    if total <= 0:
        return 1.0
    counts = np.arange(len(p_values))  # 2 x total is chi-squared with 2 x len(p_values) degrees
    log_factorials = np.concatenate([[0.0], np.cumsum(np.log(counts[1:]))])
    terms = counts * math.log(total) - log_factorials - total
    return min(float(np.exp(np.logaddexp.reduce(terms))), 1.0)


def likelihood_ratios(observed: Numbers, scores: Numbers, inside: NDArray[np.bool_]) -> Numbers:
    """Return how much more likely the scores of a model are if it was trained on a row than if it was not.

    This is the attack LiRA of Carlini and others (2022), with one variance for all rows, as they advise for few models.

    Args:
        observed: of the model, axis (row,).
        scores: of shadow models, axes (model, row).
        inside: whether a row was in the training data of a shadow model, same axes; each row was in some and not in
            others.
    """
    ratios = np.zeros(len(observed))
    for side, sign in ((inside, 1.0), (~inside, -1.0)):
        means = np.where(side, scores, 0.0).sum(axis=0) / side.sum(axis=0)
        variance = max(float(np.square(np.where(side, scores - means, 0.0)).sum() / side.sum()), 1e-12)
        ratios += sign * -0.5 * (np.square(observed - means) / variance + np.log(variance))
    return ratios
