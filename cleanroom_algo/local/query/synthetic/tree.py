"""A model of codes: each column depends on one other along a spanning tree, and on the column to predict.

The tree contains the most important pairs. The column to predict is also paired with all others, because models learn
relations with it, and most of these would be lost along a tree. Given its own value, a column's two neighbors are
assumed to be independent of each other, so that only pairs must be measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np

from cleanroom_algo.local.query.synthetic.budget import Counts, chosen, measured, on_simplex
from cleanroom_algo.local.query.synthetic.columns import Codes

_SENSITIVITY: Final = 2.0  # of the distance between counts and constants: one row changes two counts by 1
_ROUNDS: Final = 20  # rounds of fitting a pair to its columns

Pair = tuple[int, int]


@dataclass(frozen=True)
class Tree:
    """A model to sample from.

    Attributes:
        singles: the counts of each column by code.
        pairs: the counts of pairs of columns, whose sums are those of `singles`.
        target: the column to predict, which is paired with all others; None if there is none.
    """

    singles: Sequence[Counts]
    pairs: Mapping[Pair, Counts]
    target: int | None

    def sample(self, rows: int, random: np.random.Generator) -> list[Codes]:
        """Return codes of new rows, by column."""
        found: dict[int, Codes] = {}
        for child, parents in self._order():
            found[child] = self._drawn(child, {each: found[each] for each in parents}, rows, random)
        return [found[each] for each in range(len(self.singles))]

    def _drawn(self, child: int, given: Mapping[int, Codes], rows: int, random: np.random.Generator) -> Codes:
        """Return codes of a column, given those of others."""
        key = np.zeros(rows, np.int64)
        for other, codes in given.items():
            key = key * len(self.singles[other]) + codes
        order = np.argsort(key, kind="stable")
        drawn = np.zeros(rows, np.int64)
        for alike in np.split(order, np.flatnonzero(np.diff(key[order])) + 1):
            shares = self.singles[child]
            for other, codes in given.items():
                shares = shares * self._beside(other, child)[codes[alike[0]]] / self.singles[child]
            drawn[alike] = random.choice(len(shares), len(alike), p=shares / shares.sum())
        return drawn

    def _beside(self, other: int, child: int) -> Counts:
        """Return the counts of a column for each code of another column."""
        return self.pairs[other, child] if (other, child) in self.pairs else self.pairs[child, other].T

    def _order(self) -> Iterator[tuple[int, list[int]]]:
        """Yield each column after those that it depends on."""
        always = [] if self.target is None else [self.target]
        yield from ((each, []) for each in always)
        first = next(each for each in range(len(self.singles)) if each != self.target)
        waiting, seen = [(first, always)], {first, *always}
        for child, parents in waiting:
            yield child, parents
            for pair in self.pairs:
                if child in pair and (other := sum(pair) - child) not in seen:
                    seen.add(other)
                    waiting.append((other, [child, *always]))


def fit(
    codes: Sequence[Codes], sizes: Sequence[int], target: int | None, rho: float, random: np.random.Generator
) -> Tree:
    """Return a model of codes; this costs rho: a third each for columns, the choice of pairs, and pairs.

    Args:
        codes: of each column.
        sizes: the number of codes of each column.
        target: the column to predict, if there is one.
        rho: the budget.
        random: for noise.
    """
    rows = float(len(codes[0]))
    share = rho / 3
    singles = [
        on_simplex(measured(np.bincount(each, minlength=size), share / len(codes), random), rows)
        for each, size in zip(codes, sizes, strict=True)
    ]
    # Each code gets a small count, because one that the noise has hidden may still occur together with others.
    singles = [(each + 1e-6) * rows / (each.sum() + 1e-6 * len(each)) for each in singles]

    def counted(pair: Pair) -> Codes:
        first, second = pair
        shape = sizes[first], sizes[second]
        return np.bincount(codes[first] * shape[1] + codes[second], minlength=shape[0] * shape[1]).reshape(shape)

    def matters(pair: Pair) -> float:
        independent = np.outer(singles[pair[0]], singles[pair[1]]) / rows
        return float(np.abs(counted(pair) - independent).sum())

    others = [each for each in range(len(codes)) if each != target]
    pairs = list(combinations(others, 2))
    scores = np.array([matters(each) for each in pairs])
    chosen_pairs = list(_spanning(pairs, scores, len(codes), share / (len(others) - 1), random))
    if target is not None:
        chosen_pairs += [(target, each) for each in others]
    fitted = {}
    for pair in chosen_pairs:
        noisy = on_simplex(measured(counted(pair), share / len(chosen_pairs), random), rows)
        fitted[pair] = _fitted(noisy, singles[pair[0]], singles[pair[1]])
    return Tree(singles, fitted, target)


def _spanning(
    pairs: Sequence[Pair], scores: Counts, columns: int, rho: float, random: np.random.Generator
) -> Iterator[Pair]:
    """Yield the pairs of a spanning tree; each is chosen among those that join two parts, and costs rho."""
    part = np.arange(columns)
    ends = np.array(pairs)
    while len(open_pairs := np.flatnonzero(part[ends[:, 0]] != part[ends[:, 1]])):
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
