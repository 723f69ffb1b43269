"""One object in S3 as a file that is read front to back: in large ranges, with the next ones already requested."""

from __future__ import annotations

import functools
import io
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from cleanroom_algo.local.objects.s3 import CONNECTIONS, S3Object, get_range

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

FIRST_BYTES: Final = 1 << 20
"""Size of the first range: enough for a header."""
RANGE_BYTES: Final = 8 << 20
"""Size of the largest ranges: each is twice as large as the one before. Smaller ones would often wait for S3."""
AHEAD: Final = 4
"""Ranges that are requested ahead of the one that is read."""
_BUDGET_BYTES = 512 << 20  # of all streams of a process, if there are at most 100

Get = Callable[[S3Object, int, int], bytes]


class _OpenStreams:
    """The number of streams that share the memory of a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def add(self, count: int) -> None:
        with self._lock:
            self._count += count

    @property
    def largest_range(self) -> int:
        return max(FIRST_BYTES, min(RANGE_BYTES, _BUDGET_BYTES // (max(1, self._count) * (AHEAD + 1))))


_streams = _OpenStreams()


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="s3")


class S3Stream(io.RawIOBase):
    """An object as a readable file; closing it cancels requested ranges.

    Reading raises what `get_range` raises: CR-ROM-004 or CR-ROM-008.

    Args:
        place: of the object.
        size: its bytes.
        get: returns the bytes of a range.
    """

    def __init__(self, place: S3Object, size: int, get: Get = get_range) -> None:
        self._place, self._size, self._get = place, size, get
        self._ranges: deque[Future[bytes]] = deque()
        self._current = memoryview(b"")
        self._length = FIRST_BYTES  # size of the next range
        self._asked = self._position = 0
        _streams.add(1)

    def prepare(self) -> None:
        """Request the beginning, which will be read soon."""
        if not self._asked:
            self._ask()

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill a buffer with the next bytes; return how many: 0 at the end."""
        view = memoryview(buffer).cast("B")
        if not self._current:
            if not self._ranges:
                self._ask()
            if not self._ranges:
                return 0
            self._current = memoryview(self._ranges.popleft().result())
        count = min(len(view), len(self._current))
        view[:count] = self._current[:count]
        self._current = self._current[count:]
        self._position += count
        self._ask_ahead()
        return count

    def close(self) -> None:
        """Cancel requested ranges."""
        if not self.closed:
            _streams.add(-1)
        for each in self._ranges:
            each.cancel()
        self._ranges.clear()
        super().close()

    def _ask_ahead(self) -> None:
        """Request about as many bytes as have been read, because some readers only need a header."""
        likely = max(FIRST_BYTES // 2, self._position)
        while len(self._ranges) < AHEAD and self._asked < self._size and self._asked - self._position <= likely:
            self._ask()

    def _ask(self) -> None:
        end = min(self._asked + self._length, self._size)
        if end > self._asked:
            self._ranges.append(_pool().submit(self._get, self._place, self._asked, end))
        self._asked, self._length = end, min(2 * self._length, _streams.largest_range)
