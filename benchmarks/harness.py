"""What benchmarks share: one row of the result, and timing in pairs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement.

    Attributes:
        benchmark: the module's name.
        what: what was measured.
        unit: of the values, such as "MB/s".
        ours: this library's value.
        other: the value measured beside it: a peer's or the raw limit's.
        other_name: whose it is.
        kind: "peer" or "limit".
        goal: the ratio of ours to the other that is wanted.
        lower_is_better: for times and sizes; the ratio is turned round, so that more is always better.
        paired_ratio: the median of the ratios of the single turns, where they were measured in turns.
        failure: why nothing was measured; then the values are 0.
    """

    benchmark: str
    what: str
    unit: str
    ours: float
    other: float
    other_name: str
    kind: str
    goal: float
    lower_is_better: bool = False
    paired_ratio: float | None = None
    failure: str = ""

    @classmethod
    def not_measured(cls, benchmark: str, what: str, other_name: str, failure: str) -> Row:
        """Return the row of a peer that did not do the work."""
        return cls(benchmark, what, "", 0, 0, other_name, "peer", 0, failure=failure)

    @property
    def ratio(self) -> float:
        """Ours to the other; above 1 ours is better; 0 where nothing was measured."""
        if self.failure:
            return 0.0
        if self.paired_ratio is not None:
            return self.paired_ratio
        return self.other / self.ours if self.lower_is_better else self.ours / self.other

    @property
    def met(self) -> bool:
        """Whether the goal is reached."""
        return not self.failure and self.ratio >= self.goal

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        return {**asdict(self), "ratio": round(self.ratio, 3), "met": self.met}


@dataclass(frozen=True, slots=True)
class Other:
    """What ours is measured beside: the same work done by a peer, or the least work there is ("limit").

    Attributes:
        name: whose it is.
        work: does it once.
        goal: the ratio of ours to it, in rate, that is wanted.
        kind: "peer" or "limit".
    """

    name: str
    work: Callable[[], object]
    goal: float
    kind: str = "peer"


def compare(
    benchmark: str,
    what: str,
    amount: float,
    ours: Callable[[], object],
    others: Sequence[Other],
    *,
    repeats: int = 5,
    unit: str = "MB/s",
) -> Iterator[Row]:
    """Measure ours beside several others in one run, in turns; yield one row for each of them, as rates.

    Args:
        benchmark: the module's name.
        what: what is measured.
        amount: megabytes, or whatever the unit counts, that one call works through.
        ours: this library's work.
        others: the same work, done otherwise.
        repeats: turns that count; one more runs first to warm caches. It counts where there is no other.
        unit: of the rates.
    """
    works = [ours, *(other.work for other in others)]
    seconds: list[list[float]] = [[] for _ in works]
    for turn in range(repeats + 1):
        order = [(position + turn) % len(works) for position in range(len(works))]
        # In every second turn, the order is reversed, so that no work always follows the same other one.
        for chosen in order if turn % 2 else reversed(order):
            seconds[chosen].append(seconds_of(works[chosen]))
    seconds = [each[1:] or each for each in seconds]
    our_rate = amount / median(seconds[0])
    for other, taken_by_other in zip(others, seconds[1:], strict=True):
        yield Row(
            benchmark,
            what,
            unit,
            our_rate,
            amount / median(taken_by_other),
            other.name,
            other.kind,
            other.goal,
            paired_ratio=median(theirs / mine for theirs, mine in zip(taken_by_other, seconds[0], strict=True)),
        )


def seconds_of(work: Callable[[], object]) -> float:
    """Return how long a call takes, in seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def pairs(ours: Callable[[], object], other: Callable[[], object], repeats: int = 5) -> tuple[float, float]:
    """Return the median seconds of both, measured in turns, so that a busy moment slows both.

    Args:
        ours: this library's work.
        other: the same work, done otherwise.
        repeats: pairs that count; one more runs first to warm caches. It counts where there is no other.
    """
    times = [(seconds_of(ours), seconds_of(other)) for _ in range(repeats + 1)]
    times = times[1:] or times
    return median(pair[0] for pair in times), median(pair[1] for pair in times)
