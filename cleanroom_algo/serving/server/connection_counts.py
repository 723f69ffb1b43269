"""The number of connections of each process of a server, in shared memory."""

from __future__ import annotations

import mmap
from dataclasses import dataclass

_NOBODY = -1
_PLACE_BYTES = 8


@dataclass(frozen=True, slots=True)
class Place:
    """The place of one process among those of its server.

    Attributes:
        counts: of all processes.
        number: of this one.
    """

    counts: memoryview
    number: int

    @property
    def serves(self) -> bool:
        """Whether the process has published its number of connections."""
        return bool(self.counts[self.number] != _NOBODY)

    def publish(self, connections: int) -> None:
        """Publish the number of this process's connections; after that, other processes may leave new ones to it."""
        self.counts[self.number] = connections

    def fewest_elsewhere(self) -> int | None:
        """Return the fewest connections of another process; None if there is no other one."""
        others = [count for number, count in enumerate(self.counts) if number != self.number and count != _NOBODY]
        return min(others, default=None)


class ConnectionCounts:
    """The places of all processes; created, assigned and released in the process that forks them.

    Args:
        places: the most processes at once.
    """

    def __init__(self, places: int) -> None:
        self._counts = memoryview(mmap.mmap(-1, places * _PLACE_BYTES)).cast("q")
        self._free = list(range(places))
        for number in self._free:
            self._counts[number] = _NOBODY

    @property
    def anybody_serves(self) -> bool:
        """Whether a process serves."""
        return any(count != _NOBODY for count in self._counts)

    def claim(self) -> Place:
        """Return the lowest free place for the next process: a replacement gets the place of its predecessor."""
        number = min(self._free)
        self._free.remove(number)
        return Place(self._counts, number)

    def take_back(self, place: Place) -> None:
        """Release the place of a process that has ended."""
        place.publish(_NOBODY)
        self._free.append(place.number)
