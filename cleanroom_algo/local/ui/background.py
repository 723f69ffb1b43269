"""Work that takes too long for a request: meanwhile, a page shows that it is running, and asks again."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_KEPT: Final = 64  # results, each of some kilobytes
FRESH_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Found(Generic[T]):
    """The state of a piece of work.

    Attributes:
        result: the last result; None if there is none yet.
        running: whether a newer result is being computed.
    """

    result: T | None
    running: bool


@dataclass
class _Entry(Generic[T]):
    """The last result, and the work on the next one."""

    future: Future[T]
    result: T | None = None
    at: float = 0.0


class Background(Generic[T]):
    """Does one piece of work after another, in one thread, and keeps the latest results."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="page")
        self._entries: OrderedDict[Hashable, _Entry[T]] = OrderedDict()
        self._lock = threading.Lock()

    def ask(self, key: Hashable, work: Callable[[T | None], T]) -> Found[T]:
        """Return the state, and start the work if the result is old.

        Args:
            key: identifies the result.
            work: takes the last result, and returns the next one, which may be the same.

        Raises:
            The exceptions of the work; it runs again when it is requested later.
        """
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                entry = self._entries[key] = _Entry(self._pool.submit(work, None))
                if len(self._entries) > _KEPT:
                    self._entries.popitem(last=False)
            self._entries.move_to_end(key)
            if entry.future.done() and not entry.at:
                if entry.future.exception() is not None:
                    del self._entries[key]
                entry.result, entry.at = entry.future.result(), time.monotonic()
            elif entry.at and time.monotonic() - entry.at > FRESH_SECONDS:
                entry.future, entry.at = self._pool.submit(work, entry.result), 0.0
            return Found(entry.result, running=not entry.at)
