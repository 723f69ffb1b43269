"""Limits how many requests one process computes and holds; it refuses further ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from cleanroom_algo.contract.sizes import format_bytes
from cleanroom_algo.errors import OverloadedError


class Admission:
    """Limits the predictions that run at once, the requests that wait, and the memory of their bodies.

    Args:
        predictions: the most that run at once, at least 1.
        queue: the most requests that wait for them, at least 0.
        buffer_bytes: the most bytes of bodies that are kept as a whole, all together.
    """

    def __init__(self, *, predictions: int, queue: int, buffer_bytes: int) -> None:
        self.capacity = predictions + queue
        self.buffer_bytes = buffer_bytes
        self._slots = threading.BoundedSemaphore(predictions)
        self._lock = threading.Lock()
        self._admitted = 0
        self._buffered = 0
        self._running: dict[int, float] = {}

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Hold a place for a request.

        Raises:
            OverloadedError: no place is free.
        """
        with self._lock:
            if self._admitted >= self.capacity:
                raise _busy(f"{self._admitted} requests are in progress or waiting", f"at most {self.capacity} of them")
            self._admitted += 1
        try:
            yield
        finally:
            with self._lock:
                self._admitted -= 1

    @contextmanager
    def buffer(self, size: int) -> Iterator[None]:
        """Hold memory for a body of `size` bytes.

        A single body is always accepted, whatever its size: the limit of one request is checked elsewhere.

        Raises:
            OverloadedError: other bodies use the memory.
        """
        with self._lock:
            if self._buffered and self._buffered + size > self.buffer_bytes:
                raise _busy(
                    f"bodies of {format_bytes(self._buffered)} are being read",
                    f"at most {format_bytes(self.buffer_bytes)} together",
                )
            self._buffered += size
        try:
            yield
        finally:
            with self._lock:
                self._buffered -= size

    @contextmanager
    def predicting(self) -> Iterator[None]:
        """Wait for a turn to compute, and hold it."""
        with self._slots:
            me = threading.get_ident()
            self._running[me] = time.monotonic()
            try:
                yield
            finally:
                del self._running[me]

    def longest_running(self) -> float:
        """Return since how many seconds the oldest running prediction has been running; 0 if none runs."""
        started = min(self._running.copy().values(), default=None)
        return 0.0 if started is None else time.monotonic() - started


def _busy(what: str, expected: str) -> OverloadedError:
    return OverloadedError(what, expected=expected, fix="send the request again after the seconds of Retry-After")
