"""A model of codes: each column depends on one other, along a spanning tree of the pairs that matter most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np

from cleanroom_algo.local.query.synthetic.budget import Counts, chosen, measured, on_simplex
from cleanroom_algo.local.query.synthetic.columns import Codes

_SENSITIVITY: Final = 2.0  # of the distance between counts and fixed ones: one row changes two counts by 1
_ROUNDS: Final = 20  # of fitting a pair to its columns

Pair = tuple[int, int]


@dataclass(frozen=True)
class Tree:
    """A model to sample from.

    Attributes:
        singles: the counts of each column by code.
        pairs: the counts of pairs of columns, whose sums are those of `singles`.
    """

    singles: Sequence[Counts]
    pairs: dict[Pair, Counts]

    def sample(self, rows: int, random: np.random.Generator) -> list[Codes]:
        """Return codes of new rows, by column."""
        found: dict[int, Codes] = {}
        for child, parent in self._order():
            shares = self.singles[child][None] if parent is None else self._given(child, parent)
            within = np.zeros(rows, np.int64) if parent is None else found[parent]
            drawn = np.zeros(rows, np.int64)
            for code in np.unique(within):
                here = within == code
                drawn[here] = random.choice(shares.shape[1], here.sum(), p=shares[code] / shares[code].sum())
            found[child] = drawn
        return [found[each] for each in range(len(self.singles))]

    def _given(self, child: int, parent: int) -> Counts:
        """Return the counts of a column for each code of another."""
        return self.pairs[parent, child] if (parent, child) in self.pairs else self.pairs[child, parent].T

    def _order(self) -> Iterator[tuple[int, int | None]]:
        """Yield each column after the one that it depends on; the first depends on none."""
        waiting: list[tuple[int, int | None]] = [(0, None)]
        seen = {0}
        for child, parent in waiting:
            yield child, parent
            for pair in self.pairs:
                if child in pair and (other := sum(pair) - child) not in seen:
                    seen.add(other)
                    waiting.append((other, child))


def fit(
    codes: Sequence[Codes], sizes: Sequence[int], predictive: Sequence[bool], rho: float, random: np.random.Generator
) -> Tree:
    """Return a model of codes, at the cost of rho: a third each for columns, the choice of pairs, and pairs.

    Args:
        codes: of each column.
        sizes: how many codes each column has.
        predictive: whether a column is to be predicted; pairs with such a column count double in the choice.
        rho: the budget.
        random: where noise comes from.
    """
    rows = float(len(codes[0]))
    share = rho / 3
    singles = [
        on_simplex(measured(np.bincount(each, minlength=size), share / len(codes), random), rows)
        for each, size in zip(codes, sizes, strict=True)
    ]
    # Each code gets a little: one that the noise has swallowed can still come up as a parent.
    singles = [(each + 1e-6) * rows / (each.sum() + 1e-6 * len(each)) for each in singles]

    def counted(pair: Pair) -> Codes:
        first, second = pair
        shape = sizes[first], sizes[second]
        return np.bincount(codes[first] * shape[1] + codes[second], minlength=shape[0] * shape[1]).reshape(shape)

    def matters(pair: Pair) -> float:
        independent = np.outer(singles[pair[0]], singles[pair[1]]) / rows
        distance = float(np.abs(counted(pair) - independent).sum())
        return distance if predictive[pair[0]] or predictive[pair[1]] else distance / 2

    pairs = list(combinations(range(len(codes)), 2))
    scores = np.array([matters(each) for each in pairs])
    of_each = share / (len(codes) - 1)
    tree = {}
    for pair in _spanning(pairs, scores, len(codes), of_each, random):
        noisy = on_simplex(measured(counted(pair), of_each, random), rows)
        tree[pair] = _fitted(noisy, singles[pair[0]], singles[pair[1]])
    return Tree(singles, tree)


def _spanning(
    pairs: Sequence[Pair], scores: Counts, columns: int, rho: float, random: np.random.Generator
) -> Iterator[Pair]:
    """Yield the pairs of a spanning tree, each chosen among those that join two parts, at the cost of rho each."""
    part = np.arange(columns)
    ends = np.array(pairs)
    for _ in range(columns - 1):
        open_pairs = np.flatnonzero(part[ends[:, 0]] != part[ends[:, 1]])
        first, second = pairs[open_pairs[chosen(scores[open_pairs], _SENSITIVITY, rho, random)]]
        part[part == part[second]] = part[first]
        yield first, second


def _fitted(pair: Counts, first: Counts, second: Counts) -> Counts:
    """Return a pair whose sums are those of its columns (iterative proportional fitting)."""
    pair = pair + 1e-3 * np.outer(first, second) / first.sum()
    for _ in range(_ROUNDS):
        pair = pair * (first / pair.sum(axis=1))[:, None]
        pair = pair * (second / pair.sum(axis=0))
    return pair
