"""SIGTERM and SIGINT, handled from the start of the process.

The platform stops a job with SIGTERM and kills it 120 s later (SageMaker developer guide, "How Amazon SageMaker runs
your training image"; StopTrainingJob). Before there is something to save, the first signal ends the process. From the
first step on, it asks the loop to end after the current step. The second signal ends the process immediately.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from enum import Enum, auto
from pathlib import Path
from types import FrameType
from typing import NoReturn, TypeVar

from cleanroom_algo.errors import PipeReaderLostError
from cleanroom_algo.errors.exit_codes import ExitCode
from cleanroom_algo.training.temporary import temporary_folder

GRACE_SECONDS = 120.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_STUCK_SECONDS = (5.0, 1.0)  # after the first and the second signal: Python code runs its handler within this time
_PEER_SECONDS = 2.0  # within which all ranks of a host get a signal
_END = object()

T = TypeVar("T")


class TrainingStopped(BaseException):
    """A stopped job has nothing to save: raised before the first step, and in an algorithm's own `fit`."""


class Phase(Enum):
    """What a process is doing, which determines the effect of the first signal."""

    WAITING = auto()
    """It waits for its ranks, or has not begun."""
    STARTING = auto()
    """There is nothing to save yet."""
    COOPERATING = auto()
    """The running code checks for the request itself, or saves."""
    READING = auto()
    """It reads from a source that may deliver nothing for longer than the grace period."""
    INTERRUPTED = auto()
    """`TrainingStopped` was raised, in code that may catch it or raise another exception instead."""
    ENDING = auto()
    """The process is about to end: signals have no effect any more."""

    @property
    def interrupts(self) -> bool:
        """Whether the first signal raises `TrainingStopped` in the main thread; else it is only recorded."""
        return self in {Phase.STARTING, Phase.READING}

    @property
    def expendable(self) -> bool:
        """Whether the process may be ended while its main thread does not react.

        The main thread may be in a call of a library that waits for other hosts, which does not run signal handlers.
        """
        return self in {Phase.WAITING, Phase.STARTING, Phase.INTERRUPTED}


class StopRequest:
    """Whether, and since when, this process has been asked to end.

    Attributes:
        number: the signal, or None.
        since: `time.monotonic()` of its arrival.
        phase: what the process is doing; `enter` changes it.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.since = 0.0
        self.phase = Phase.WAITING
        self._listeners: list[Callable[[int], None]] = []
        self._handled = 0
        self._folders: list[Path] = []

    def __bool__(self) -> bool:
        return self.number is not None

    @property
    def grace_left(self) -> float:
        """Seconds until the platform kills the process; the full grace period if it was not asked to end."""
        return GRACE_SECONDS - (time.monotonic() - self.since if self else 0.0)

    @property
    def exit_code(self) -> ExitCode:
        """143 after SIGTERM, 130 after SIGINT."""
        return ExitCode.INTERRUPTED if self.number == signal.SIGINT else ExitCode.STOPPED

    def install(self) -> None:
        """Handle SIGTERM and SIGINT from now on; only the main thread can do this."""
        for number in _SIGNALS:
            signal.signal(number, self._handle)
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(reader,), name="signals", daemon=True).start()

    def listen(self, listener: Callable[[int], None]) -> None:
        """Call back with the signal's number, also if the signal has already come."""
        self._listeners.append(listener)
        if self.number is not None:
            listener(self.number)

    def request(self, number: int = signal.SIGTERM) -> None:
        """Act as if the signal had come."""
        if self.number is None:
            self.number = number
            self.since = time.monotonic()

    @property
    def interrupted(self) -> bool:
        """Whether `TrainingStopped` was raised and no other phase has begun since."""
        return self.phase is Phase.INTERRUPTED

    def enter(self, phase: Phase) -> None:
        """Begin another phase.

        Raises:
            TrainingStopped: there is a request, and it interrupts the phase.
        """
        self.phase = phase
        if self and phase.interrupts:
            self._interrupt()

    def until_stopped(self, source: Iterator[T]) -> Iterator[T]:
        """Yield from a source up to its end or the stop: waiting for it must not use up the grace period."""
        while True:
            interrupted = False
            try:
                self.enter(Phase.READING)
                item = next(source, _END)
            except PipeReaderLostError:
                # The rank that reads a pipe for its host may have got the signal some milliseconds earlier.
                if not self.interrupted and not self._comes_within(_PEER_SECONDS):
                    raise
                item = _END
            except (TrainingStopped, Exception):
                if not self.interrupted:
                    raise
                item = _END
            finally:
                interrupted = self.interrupted
                self.phase = Phase.COOPERATING
            if item is _END or interrupted:  # an item that came nevertheless was read by interrupted code
                return
            yield item  # type: ignore[misc]

    @contextlib.contextmanager
    def temporary_folder(self, prefix: str) -> Iterator[Path]:
        """Yield a new folder that is removed with the block, and also when a signal ends the process immediately.

        Folders with the prefix that killed processes have left are removed, too.
        """
        with temporary_folder(prefix) as path:
            self._folders.append(path)
            try:
                yield path
            finally:
                self._folders.remove(path)

    def _comes_within(self, seconds: float) -> bool:
        self.phase = Phase.COOPERATING
        deadline = time.monotonic() + seconds
        while not self and time.monotonic() < deadline:
            time.sleep(0.05)
        return bool(self)

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self._handled += 1
        if self.phase is Phase.ENDING:
            return
        again = self.number is not None
        self.request(number)
        for listener in self._listeners:
            listener(number)
        if again:
            self._leave()
        if self.phase.interrupts:
            self._interrupt()

    def _interrupt(self) -> NoReturn:
        self.phase = Phase.INTERRUPTED
        raise TrainingStopped

    def _watch(self, reader: int) -> None:
        """End the process if a signal came and the main thread is in a call that never returns to its handler."""
        came = 0
        deadline: float | None = None
        while True:
            wait = None if deadline is None else max(0.0, deadline - time.monotonic())
            if select.select([reader], [], [], wait)[0]:
                number = os.read(reader, 1)[0]
                if number in _SIGNALS:
                    came += 1
                    deadline = time.monotonic() + _STUCK_SECONDS[came > 1]
                continue
            deadline = None
            stuck = came > self._handled and (came > 1 or self.phase.expendable)
            if self.phase is not Phase.ENDING and stuck:
                self.request(number)
                for listener in self._listeners:
                    with contextlib.suppress(Exception):
                        listener(number)
                self._leave()

    def _leave(self) -> NoReturn:
        for path in self._folders:
            shutil.rmtree(path, ignore_errors=True)
        os._exit(self.exit_code)
