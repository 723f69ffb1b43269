"""Generates rows from those of a query, and computes the score of an attack on them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
import polars as pl

from cleanroom_algo.errors import Problem, SyntheticDataError, SyntheticDataExposedError
from cleanroom_algo.local.query.plan import SyntheticColumn, SyntheticPlan
from cleanroom_algo.local.query.synthetic.attack import attack_score
from cleanroom_algo.local.query.synthetic.budget import deviation, rho_of
from cleanroom_algo.local.query.synthetic.columns import Categories, Coding, Intervals
from cleanroom_algo.local.query.synthetic.tree import fit

_FEWEST, _MOST = 2, 32  # intervals of a numerical column
_OF_DOMAINS: Final = 0.25  # part of the budget for possible values and bounds


def generate(rows: pl.DataFrame, plan: SyntheticPlan, random: np.random.Generator) -> tuple[pl.DataFrame, float]:
    """Return the same number of generated rows, and the score of an attack on them.

    One random half of the rows makes the model; the other half is only used by the attack.

    Args:
        rows: of the query.
        plan: the parameters.
        random: for noise and for the halves.

    Raises:
        SyntheticDataError: CR-JOB-406, there are too few or too many rows, or columns do not fit their classes.
        SyntheticDataExposedError: CR-JOB-407, the score is above its threshold; the rows must not be used.
    """
    columns = _classified(rows, plan)
    shuffled = rows[random.permutation(len(rows))]
    seen, unseen = shuffled[: len(rows) // 2], shuffled[len(rows) // 2 :]
    made = _made(seen, len(rows), columns, plan.epsilon, random)
    categorical = frozenset(name for name, each in columns.items() if each.categorical)
    score = attack_score(seen, unseen, made, categorical, random)
    if score > plan.max_attack_score:
        raise SyntheticDataExposedError(
            f"an attack distinguishes rows of the query from others with a score of {score:.3f}, "
            f"above {plan.max_attack_score}",
            expected="a score of at most maxMembershipInferenceAttackScore; 0.5 is random guessing",
            fix="use a smaller epsilon, more rows, or a higher threshold; scores of harmless data vary by about 0.02",
        )
    return made, score


def _made(
    seen: pl.DataFrame,
    rows: int,
    columns: dict[str, SyntheticColumn],
    epsilon: float,
    random: np.random.Generator,
) -> pl.DataFrame:
    """Return generated rows; everything that depends on values of `seen` uses the budget."""
    rho = rho_of(epsilon)
    of_domain = rho * _OF_DOMAINS / len(columns)
    of_model = rho * (1 - _OF_DOMAINS)
    # As many intervals as possible with counts of pairs above their noise.
    noise = deviation(of_model / 3 / (2 * len(columns)))
    intervals = min(max(int(math.sqrt(len(seen) / noise)), _FEWEST), _MOST)
    codings: list[Coding] = []
    for name, column in columns.items():
        if column.categorical:
            codings.append(Categories.measure(seen[name], of_domain, epsilon, len(columns), random))
        else:
            codings.append(Intervals.measure(seen[name], of_domain, intervals, random))
    codes = [coding.codes(seen[name]) for name, coding in zip(columns, codings, strict=True)]
    target = next((place for place, each in enumerate(columns.values()) if each.predictive), None)
    tree = fit(codes, [each.size for each in codings], target, of_model, random)
    drawn = zip(columns, codings, tree.sample(rows, random), strict=True)
    return pl.DataFrame({name: coding.values(sampled, random) for name, coding, sampled in drawn}, schema=seen.schema)


def _classified(rows: pl.DataFrame, plan: SyntheticPlan) -> dict[str, SyntheticColumn]:
    """Return the properties of each column of the result.

    Raises:
        SyntheticDataError: CR-JOB-406.
    """
    fewest, most = plan.rows
    if not fewest <= len(rows) <= most:
        raise SyntheticDataError(
            f"the query has {len(rows):,} rows",
            expected=f"{fewest:,} to {most:,} rows (Clean Rooms ML quotas)",
            fix="change the query, or the quotas synthetic_rows in settings.toml",
        )
    known = {each.name.lower(): each for each in plan.columns}
    if problems := list(_faults(rows, known, plan)):
        raise SyntheticDataError(
            "the columns of the query do not fit columnClassification",
            expected="every column classified: texts, booleans and keys as CATEGORICAL; numbers, dates and timestamps "
            "as either",
            fix="change the template: its query, or its columnMapping",
            problems=problems,
        )
    return {name: known[name.lower()] for name in rows.columns}


def _faults(rows: pl.DataFrame, known: dict[str, SyntheticColumn], plan: SyntheticPlan) -> Iterator[Problem]:
    for name in sorted(known.keys() - {each.lower() for each in rows.columns}):
        yield Problem(name, "is classified, but is not a column of the query's result")
    for column in rows:
        found = known.get(column.name.lower())
        kind = column.dtype
        if found is None:
            yield Problem(column.name, "is not classified")
        elif kind.is_nested():
            yield Problem(column.name, "is an array, a struct or a map")
        elif not found.categorical and not (kind.is_numeric() or kind in (pl.Date, pl.Datetime)):
            yield Problem(column.name, "is NUMERICAL, but neither a number nor a date")
        elif found.categorical and found.predictive and column.n_unique() > plan.categories:
            yield Problem(column.name, f"is predictive, but has more than {plan.categories} values")
