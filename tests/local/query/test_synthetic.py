"""Synthetic data: rows that keep statistics, budgets that add up, and an attack that finds what is exposed."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cleanroom_algo.errors import SyntheticDataError, SyntheticDataExposedError
from cleanroom_algo.local.query.engines.run import run
from cleanroom_algo.local.query.plan import QueryPlan, SyntheticColumn, SyntheticPlan
from cleanroom_algo.local.query.synthetic.attack import attack_score
from cleanroom_algo.local.query.synthetic.budget import DELTA, hidden_below, measured, on_simplex, rho_of
from cleanroom_algo.local.query.synthetic.generate import generate
from cleanroom_algo.local.query.table import Table, TableAccess

ROWS = 6000
CATEGORICAL = frozenset(("carrier", "late"))


@pytest.fixture(scope="module")
def flights() -> pl.DataFrame:
    random = np.random.default_rng(7)
    wind = random.gamma(2, 5, ROWS)
    late = random.random(ROWS) < np.where(wind > 12, 0.8, 0.1)
    carrier = np.where(random.random(ROWS) < 0.7, "UA", "AA")
    carrier[0] = "rare"
    day = [dt.date(2013, 1, 1) + dt.timedelta(int(each)) for each in random.integers(0, 365, ROWS)]
    distance = pl.Series(random.integers(100, 900, ROWS)).set(pl.Series(random.random(ROWS) < 0.1), None)
    columns = {"carrier": carrier, "wind": wind, "day": day, "distance": distance, "late": late}
    fare = pl.when(pl.col("wind") > 12).then(299.99).otherwise(99.5).cast(pl.Decimal(10, 2))
    return pl.DataFrame(columns).with_columns(fare=fare, at=pl.col("day").cast(pl.Datetime("us")))


def plan(threshold: float = 1.0, rows: tuple[int, int] = (1500, ROWS), epsilon: float = 5.0) -> SyntheticPlan:
    columns = ("carrier", "wind", "day", "distance", "late", "fare", "at")
    classified = tuple(SyntheticColumn(each, each in CATEGORICAL, each == "late") for each in columns)
    return SyntheticPlan(epsilon, threshold, classified, rows, categories=100)


def test_generated_rows_keep_types_and_statistics_and_leave_out_what_is_rare(flights: pl.DataFrame) -> None:
    made, score = generate(flights, plan(), np.random.default_rng(1))

    assert made.schema == flights.schema
    assert len(made) == ROWS
    assert set(made["carrier"].drop_nulls()) == {"UA", "AA"}
    assert (made["carrier"] == "UA").fill_null(False).to_numpy().mean() == pytest.approx(0.7, abs=0.05)
    assert made["distance"].is_null().to_numpy().mean() == pytest.approx(0.1, abs=0.05)
    assert made["distance"].drop_nulls().is_between(0, 1100).all()
    assert made["fare"].drop_nulls().is_between(60, 600).to_numpy().mean() > 0.9
    assert made["day"].drop_nulls().dt.year().is_between(2012, 2014).to_numpy().mean() > 0.95
    strong, weak = made.filter(pl.col("wind") > 15), made.filter(pl.col("wind") < 9)
    share = [each["late"].drop_nulls().to_numpy().mean() for each in (strong, weak)]
    assert share[0] > 0.6 > 0.3 > share[1]
    assert score == pytest.approx(0.5, abs=0.05)


def test_little_epsilon_leaves_little_and_no_error(flights: pl.DataFrame) -> None:
    made, _ = generate(flights, plan(epsilon=0.0001), np.random.default_rng(1))

    assert made.schema == flights.schema
    assert made["carrier"].is_null().all()


def test_the_attack_tells_copies_from_other_rows(flights: pl.DataFrame) -> None:
    seen, unseen = flights[:500], flights[500:1000]
    random = np.random.default_rng(1)

    assert attack_score(seen, unseen, seen, CATEGORICAL, random) > 0.99
    assert attack_score(seen, unseen, unseen, CATEGORICAL, random) < 0.01
    assert attack_score(seen, unseen, flights[1000:], CATEGORICAL, random) == pytest.approx(0.5, abs=0.06)


def test_the_noise_is_that_of_the_budget() -> None:
    random = np.random.default_rng(1)
    rho = rho_of(3.0)

    assert rho + 2 * math.sqrt(rho * math.log(2 / DELTA)) == pytest.approx(3.0)
    # One row with other values changes two counts by 1: rho = 2 / (2 deviation ** 2).
    assert measured(np.zeros(20000, np.int64), rho, random).std() ** 2 * rho == pytest.approx(1, abs=0.05)
    single = measured(np.ones(20000, np.int64), rho, random)
    assert single.max() < hidden_below(rho, 3.0, 10)
    nearest = on_simplex(np.array([5.0, -1.0, 0.5, 2.0]), 6.0)
    assert (nearest >= 0).all()
    assert nearest.tolist() == pytest.approx([4.5, 0, 0, 1.5])


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (lambda rows: rows[:1499], "1,499 rows"),
        (lambda rows: rows.rename({"late": "delayed"}), "late: is classified, but is not a column"),
        (lambda rows: rows.with_columns(extra=1), "extra: is not classified"),
        (lambda rows: rows.with_columns(wind=pl.lit("strong")), "wind: is NUMERICAL, but neither"),
        (lambda rows: rows.with_columns(wind=pl.concat_list("wind")), "wind: is an array"),
        (lambda rows: rows.with_columns(late=pl.int_range(pl.len())), "late: is predictive, but has more than 100"),
    ],
)
def test_results_that_rows_cannot_be_generated_from(
    flights: pl.DataFrame, made: Callable[[pl.DataFrame], pl.DataFrame], why: str
) -> None:
    with pytest.raises(SyntheticDataError, match=why):
        generate(made(flights), plan(), np.random.default_rng(1))


def test_a_query_gives_generated_rows_or_nothing(tmp_path: Path, flights: pl.DataFrame) -> None:
    flights.write_parquet(tmp_path / "flights.parquet")
    access = TableAccess((Table("flights", tmp_path / "flights.parquet", "parquet", tuple(flights.columns)),))
    query = "SELECT carrier, wind, day, distance, late, fare, at FROM flights"

    outcome = run(QueryPlan(query, access, tmp_path / "out", "PARQUET", synthetic=plan()))
    assert outcome.records == ROWS
    assert outcome.attack_score == pytest.approx(0.5, abs=0.1)
    made = pl.read_parquet(tmp_path / "out" / "*.parquet")
    assert made.drop("at").schema == flights.drop("at").schema  # Spark says of timestamps that they are in UTC
    assert "rare" not in made["carrier"]

    with pytest.raises(SyntheticDataExposedError, match=r"a score of 0\.\d{3}, above 0\.2"):
        run(QueryPlan(query, access, tmp_path / "exposed", synthetic=plan(threshold=0.2)))
    assert {each.name for each in tmp_path.iterdir()} == {"flights.parquet", "out"}
