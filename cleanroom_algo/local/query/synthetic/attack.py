"""The attack that generated rows must withstand: recognizing rows in the data by their distance to generated ones.

Rows that the model has seen are compared with rows of the same query that it has not seen. If the first are closer to
generated rows than the second, an attacker can recognize rows in the data. The score is the area under the ROC curve of
this attack: 0.5 if the distance reveals nothing, 1 if it reveals everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cleanroom_algo.local.query.synthetic.columns import numbers_of

_ATTACKED: Final = 2000  # rows of each kind: the score of harmless data then varies by about 0.01
_GENERATED: Final = 100_000  # rows among which the closest is searched
_CHUNK: Final = 64  # rows at a time: their distances fit into the cache of a processor

_Distances = NDArray[np.float32]


def attack_score(
    seen: pl.DataFrame,
    unseen: pl.DataFrame,
    generated: pl.DataFrame,
    categorical: frozenset[str],
    random: np.random.Generator,
) -> float:
    """Return how well the distance to the closest generated row separates seen rows from others.

    Args:
        seen: rows from which the model was made.
        unseen: other rows of the same query.
        generated: rows that the model generated.
        categorical: columns whose values can only be equal or different; values of other columns have distances.
        random: selects rows if there are many.
    """
    taken = [_sample(each, _ATTACKED, random) for each in (seen, unseen)]
    searched = _sample(generated, _GENERATED, random)
    attacked = sum(map(len, taken))
    columns = list(_columns(pl.concat([*taken, searched]), categorical))
    closest = np.full(attacked, np.inf, np.float32)
    for first in range(attacked, attacked + len(searched), _CHUNK):
        closest = np.minimum(closest, _distances(columns, attacked, slice(first, first + _CHUNK)).min(axis=1))
    ranks = pl.Series(closest).rank("average").to_numpy()
    members, others = map(len, taken)
    return float((ranks[members:].sum() - others * (others + 1) / 2) / (members * others))


def _sample(rows: pl.DataFrame, limit: int, random: np.random.Generator) -> pl.DataFrame:
    return rows if len(rows) <= limit else rows[random.choice(len(rows), limit, replace=False)]


def _columns(rows: pl.DataFrame, categorical: frozenset[str]) -> Iterator[tuple[bool, _Distances]]:
    """Yield each column as numbers, and whether they are categories; the distance of null to all others is maximal."""
    for column in rows:
        if column.name in categorical:
            yield True, column.rank("dense").cast(pl.Float32).fill_null(0).to_numpy()
            continue
        numbers = numbers_of(column).fill_nan(None)
        low, high = numbers.quantile(0.01) or 0.0, numbers.quantile(0.99) or 0.0
        scaled = (numbers - low) / ((high - low) or 1.0)
        yield False, scaled.cast(pl.Float32).clip(-9, 9).fill_null(99).to_numpy()


def _distances(columns: list[tuple[bool, _Distances]], attacked: int, searched: slice) -> _Distances:
    """Return the distances between attacked and searched rows: the sum over columns, each at most 1 (Gower)."""
    total: _Distances = np.zeros(1, np.float32)
    for is_category, values in columns:
        own, other = values[:attacked, None], values[None, searched]
        total = total + ((own != other) if is_category else np.minimum(np.abs(own - other), 1))
    return total
