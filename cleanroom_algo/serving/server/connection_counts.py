"""How many connections each process of a server has, in memory that all of them see."""

from __future__ import annotations

import mmap
from dataclasses import dataclass

_NOBODY = -1
_PLACE_BYTES = 8


@dataclass(frozen=True, slots=True)
class Share:
    """One process' place among those of its server.

    Attributes:
        counts: of all processes.
        place: of this one.
    """

    counts: memoryview
    place: int

    def publish(self, connections: int) -> None:
        """Say how many connections this process has; from the first time on, others may leave new ones to it."""
        self.counts[self.place] = connections

    def release(self) -> None:
        """Say that there is no such process."""
        self.counts[self.place] = _NOBODY

    def fewest_elsewhere(self) -> int | None:
        """Return the fewest connections that another process has; None where there is no other."""
        others = [count for place, count in enumerate(self.counts) if place != self.place and count != _NOBODY]
        return min(others, default=None)


class Shares:
    """The places of all processes; made, given and taken back in the process that forks them.

    Args:
        places: as many as there may be processes at once.
    """

    def __init__(self, places: int) -> None:
        self._counts = memoryview(mmap.mmap(-1, places * _PLACE_BYTES)).cast("q")
        self._free = list(range(places))
        for place in self._free:
            self._counts[place] = _NOBODY

    def claim(self) -> Share:
        """Return the lowest free place for the next process: one that replaces another has that one's."""
        place = min(self._free)
        self._free.remove(place)
        return Share(self._counts, place)

    def take_back(self, share: Share) -> None:
        """Free the place of a process that has ended."""
        share.release()
        self._free.append(share.place)
