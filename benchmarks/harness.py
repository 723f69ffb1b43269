"""What benchmarks share: one row of the result, and timing in pairs."""

from __future__ import annotations

import time
from collections.abc import Callable
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

    @property
    def ratio(self) -> float:
        """Ours to the other; above 1 ours is better."""
        return self.other / self.ours if self.lower_is_better else self.ours / self.other

    @property
    def met(self) -> bool:
        """Whether the goal is reached."""
        return self.ratio >= self.goal

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        return {**asdict(self), "ratio": round(self.ratio, 3), "met": self.met}


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
        repeats: pairs that count; one more runs first to warm caches.
    """
    ours(), other()
    times = [(seconds_of(ours), seconds_of(other)) for _ in range(repeats)]
    return median(pair[0] for pair in times), median(pair[1] for pair in times)
