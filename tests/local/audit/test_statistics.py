"""The figures of an audit, against scikit-learn and scipy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cleanroom_algo.local.audit.statistics import (
    auc_with_interval,
    clopper_pearson,
    fisher,
    likelihood_ratios,
    separation,
    threshold_at,
)
from cleanroom_algo.local.summaries.evaluation import roc


@pytest.fixture(scope="module")
def scipy_stats() -> Any:
    """Return scipy's module; importing it takes long."""
    return pytest.importorskip("scipy.stats")


def scores(seed: int, members: int, others: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    # Rounded, so that there are ties.
    return draw.normal(shift, 1, members).round(1), draw.normal(0, 1, others).round(1)


@pytest.mark.parametrize(("members", "others", "shift"), [(50, 80, 0.0), (300, 200, 0.7), (7, 3, 1.0)])
def test_auc_and_curve_are_those_of_scikit_learn(members: int, others: int, shift: float) -> None:
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    inside, outside = scores(1, members, others, shift)
    labels = np.repeat([1, 0], [members, others])
    together = np.concatenate([inside, outside])
    assert auc_with_interval(inside, outside)[0] == pytest.approx(sklearn_metrics.roc_auc_score(labels, together))
    false, true, _ = sklearn_metrics.roc_curve(labels, together, drop_intermediate=False)
    found = roc(inside, outside)
    np.testing.assert_allclose(found[0], false)
    np.testing.assert_allclose(found[1], true)


def test_the_interval_of_auc_holds_as_often_as_it_says(scipy_stats: Any) -> None:
    truth = scipy_stats.norm.cdf(0.7 / 2**0.5)
    draw = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        low, high = auc_with_interval(draw.normal(0.7, 1, 60), draw.normal(0, 1, 60))[1]
        held += low <= truth <= high
    assert 0.92 < held / 400 < 0.98


def test_the_interval_does_not_vanish_where_all_pairs_agree() -> None:
    auc, (low, high) = auc_with_interval(np.array([2.0, 3.0, 4.0]), np.array([0.0, 1.0]))
    assert (auc, high) == (1.0, 1.0)
    assert low < 0.5
    assert auc_with_interval(np.ones(40), np.ones(40))[0] == 0.5


@pytest.mark.parametrize(("found", "count"), [(0, 20), (20, 20), (3, 20), (412, 1000), (9_990, 100_000)])
def test_clopper_pearson_is_that_of_scipy(scipy_stats: Any, found: int, count: int) -> None:
    exact = scipy_stats.binomtest(found, count).proportion_ci(method="exact")
    assert clopper_pearson(found, count) == pytest.approx((exact.low, exact.high), abs=1e-9)


@pytest.mark.parametrize(("count", "exceeding"), [(99, 0), (100, 1), (300, 3), (1000, 10)])
def test_the_threshold_is_exceeded_by_a_hundredth_at_most(count: int, exceeding: int) -> None:
    others = np.arange(count, dtype=float)
    assert (others > threshold_at(others, 0.01)).sum() == exceeding


def test_separation_counts_members_above_the_threshold() -> None:
    found = separation(np.array([0.5, 98.5, 200.0, 300.0]), np.arange(100, dtype=float))
    assert found.tpr == 0.75  # 98 is exceeded by one of 100
    assert found.tpr_interval == pytest.approx(clopper_pearson(3, 4))


@pytest.mark.parametrize(
    "p_values", [[0.03], [0.2, 0.5, 1.0], [0.001] * 20, [1.0, 1.0], list(np.linspace(0.01, 1, 99))]
)
def test_fisher_is_that_of_scipy(scipy_stats: Any, p_values: list[float]) -> None:
    assert fisher(np.array(p_values)) == pytest.approx(scipy_stats.combine_pvalues(p_values).pvalue)


def test_likelihood_ratios_tell_rows_that_change_a_model() -> None:
    draw = np.random.default_rng(0)
    inside = np.array([draw.permutation(200) < 100 for _ in range(16)])
    inside = np.concatenate([inside, ~inside])
    difficulty = draw.normal(0, 5, 200)  # of rows: what a threshold of the loss cannot see through
    shadows = difficulty + inside + draw.normal(0, 0.5, inside.shape)
    is_member = np.arange(200) < 100
    observed = difficulty + is_member + draw.normal(0, 0.5, 200)
    ratios = likelihood_ratios(observed, shadows, inside)
    assert auc_with_interval(ratios[is_member], ratios[~is_member])[0] > 0.85
    assert auc_with_interval(observed[is_member], observed[~is_member])[0] < 0.65
