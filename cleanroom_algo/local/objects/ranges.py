"""One object of S3 as a file: read in large ranges, the next ones under way while one is read, memory bounded."""

from __future__ import annotations

import functools
import io
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from cleanroom_algo.local.objects.s3 import CONNECTIONS, S3Object, get_range

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

FIRST_BYTES: Final = 1 << 20
"""Of the range that a reader begins with, at the start of an object or where it jumps to: enough for a header."""
RANGE_BYTES: Final = 8 << 20
"""Of the largest ranges: each is twice the one before it. Smaller ones would wait for S3's first byte too often."""
AHEAD: Final = 4
"""Ranges that are under way behind the one that is read."""
BUDGET_BYTES: Final = 512 << 20
"""Of all readers of a process together."""
_BEHIND_BYTES = 1 << 20  # what the kernel may ask for a second time, as it reads ahead with several requests at once
_RUNS = 4  # places at which one open file is read by turns, as readers of columns do

Get = Callable[[S3Object, int, int], bytes]


@dataclass(slots=True)
class _Segment:
    start: int
    end: int
    future: Future[bytes]


@dataclass(slots=True)
class _Run:
    """Ranges that follow each other, from `start` on."""

    start: int
    segments: deque[_Segment] = field(default_factory=deque)

    @property
    def end(self) -> int:
        return self.segments[-1].end


class Ranges:
    """The readers of a process, which share its connections and its memory.

    Of n readers, each holds at most `(AHEAD + 2) * min(RANGE_BYTES, BUDGET_BYTES / (n * (AHEAD + 2)))` bytes for each
    place at which it is read, 48 MiB for one that is read front to back; with many readers all of them together hold
    512 MiB, as long as there are no more than 85 (ranges do not become smaller than 1 MiB).
    """

    def __init__(self, get: Get = get_range) -> None:
        self._get = get
        self._pool = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="s3")
        self._lock = threading.Lock()
        self._readers = 0

    def open(self, place: S3Object, size: int) -> RangeReader:
        """Return a reader of an object; nothing is asked for before it is read."""
        with self._lock:
            self._readers += 1
        return RangeReader(self, place, size)

    def submit(self, place: S3Object, start: int, end: int) -> Future[bytes]:
        """Ask for a range."""
        return self._pool.submit(self._get, place, start, end)

    def largest(self, runs: int) -> int:
        """Return how many bytes a range may have, for a reader that is read at `runs` places."""
        return max(FIRST_BYTES, min(RANGE_BYTES, BUDGET_BYTES // (max(1, self._readers) * runs * (AHEAD + 2))))

    def closed(self) -> None:
        """Take note that a reader has ended."""
        with self._lock:
            self._readers -= 1


@functools.cache
def shared() -> Ranges:
    """Return the readers of this process."""
    return Ranges()


class RangeReader:
    """Reads one object at any place, fast where one read follows the other; several threads may read at once.

    Args:
        ranges: who makes it.
        place: of the object.
        size: its bytes.
    """

    def __init__(self, ranges: Ranges, place: S3Object, size: int) -> None:
        self._ranges = ranges
        self._place = place
        self.size = size
        self._lock = threading.Lock()
        self._runs: list[_Run] = []  # the one read last comes last
        self._closed: Future[None] = Future()

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes from `offset` on: `length` of them, fewer at the end of the object.

        Raises:
            CleanroomError: CR-ROM-004 or CR-ROM-008, as `get_range`. ValueError: the reader is closed.
        """
        end = min(offset + length, self.size)
        parts = []
        while offset < end:
            segment = self._segment(offset)
            data = self._result(segment.future)
            stop = min(end, segment.end)
            parts.append(data[offset - segment.start : stop - segment.start])
            offset = stop
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def prepare(self) -> None:
        """Ask for the beginning of the object, which will be read soon."""
        with self._lock:
            if self.size and not self._runs and not self._closed.done():
                self._run_at(0)

    def close(self) -> None:
        """Give up what is under way; who waits for it gets a ValueError."""
        with self._lock:
            if self._closed.done():
                return
            self._closed.set_result(None)
            for run in self._runs:
                _cancel(run)
            self._runs.clear()
        self._ranges.closed()

    def _result(self, future: Future[bytes]) -> bytes:
        if not future.done():
            either: list[Future[Any]] = [future, self._closed]
            wait(either, return_when=FIRST_COMPLETED)
        if not future.done() or future.cancelled():
            raise ValueError("the reader is closed")
        return future.result()

    def _segment(self, offset: int) -> _Segment:
        """Return the range that holds an offset; the next ones are under way then."""
        with self._lock:
            if self._closed.done():
                raise ValueError("the reader is closed")
            run, segment = self._run_at(offset)
            self._extend(run, segment, offset)
            while run.segments[0].end <= offset - _BEHIND_BYTES and run.segments[0] is not segment:
                run.segments.popleft()
            return segment

    def _run_at(self, offset: int) -> tuple[_Run, _Segment]:
        for number, run in enumerate(self._runs):
            if run.end == offset:
                self._ask(run)
            found = next((each for each in run.segments if each.start <= offset < each.end), None)
            if found is not None:
                self._runs.append(self._runs.pop(number))
                return run, found
        if len(self._runs) == _RUNS:
            _cancel(self._runs.pop(0))
        run = _Run(offset)
        end = min(offset + FIRST_BYTES, self.size)
        run.segments.append(_Segment(offset, end, self._ranges.submit(self._place, offset, end)))
        self._runs.append(run)
        return run, run.segments[0]

    def _extend(self, run: _Run, segment: _Segment, offset: int) -> None:
        """Ask for what comes next: about as much as has been read, as some want a header or a column alone."""
        ahead = len(run.segments) - 1 - run.segments.index(segment)
        likely = max(FIRST_BYTES // 2, offset - run.start)
        while ahead < AHEAD and run.end < self.size and run.end - offset <= likely:
            self._ask(run)
            ahead += 1

    def _ask(self, run: _Run) -> None:
        last = run.segments[-1]
        length = min(2 * (last.end - last.start), self._ranges.largest(len(self._runs)))
        end = min(last.end + length, self.size)
        run.segments.append(_Segment(last.end, end, self._ranges.submit(self._place, last.end, end)))


class RangeStream(io.RawIOBase):
    """An object of S3 as a readable file; closing it gives up what is under way."""

    def __init__(self, reader: RangeReader) -> None:
        self._reader = reader
        self._position = 0

    def prepare(self) -> None:
        """Ask for the beginning, which will be read soon."""
        self._reader.prepare()

    def readable(self) -> bool:
        """Whether it can be read: always."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill a buffer with the next bytes; return how many: 0 at the end."""
        view = memoryview(buffer).cast("B")
        data = self._reader.read(self._position, len(view))
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        """Give up what is under way."""
        self._reader.close()
        super().close()


def _cancel(run: _Run) -> None:
    for segment in run.segments:
        segment.future.cancel()
