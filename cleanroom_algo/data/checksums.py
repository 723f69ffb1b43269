"""Whether a resumed run passes over the very batches of a pipe that were taken before.

A position in a pipe is a number of batches. It means something only where the next pipe delivers the same ones, in the
same order, which the platform does not promise: objects may be shuffled anew in each epoch.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterator
from itertools import islice

import numpy as np

from cleanroom_algo.data.batch import Batch


class Checksums:
    """The running checksum of what one rank takes of one epoch.

    Args:
        steps: batches that were taken before.
        value: their checksum; None where this rank does not know it.

    Attributes:
        differs: whether other batches were passed over than those taken before; known with the first batch after them.
    """

    def __init__(self, steps: int = 0, value: int | None = 0) -> None:
        self.differs = False
        self._steps = steps
        self._value = value
        self._read: deque[int] = deque()  # of batches read ahead, each with all before it
        self._latest: dict[int, int | None] = {steps: value}

    def follow(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Yield the batches of the epoch that come after those taken before, also where these differ.

        The source stays open then: other ranks may still get from it what they pass over.
        """
        value = 0
        for batch in islice(batches, self._steps):
            value = _added(value, batch)
        self.differs = self._value not in (None, value)
        self._value = self._latest[self._steps] = value
        for batch in batches:
            value = _added(value, batch)
            self._read.append(value)
            yield batch

    def step(self, steps: int) -> None:
        """Note that a batch is taken, which makes it so many; a rank that has run out of rows takes none of its own."""
        if self._read:
            self._value = self._read.popleft()
        self._latest = {steps - 1: self._latest.get(steps - 1), steps: self._value}

    def at(self, steps: int) -> int | None:
        """Return the checksum of so many batches: as many as were taken, or one less; None where it is not known."""
        return self._latest.get(steps)


def _added(value: int, batch: Batch) -> int:
    for tensor in (batch.numeric, batch.categorical, batch.target):
        if tensor is not None:
            value = zlib.crc32(np.ascontiguousarray(tensor.numpy()).data, value)
    return value
