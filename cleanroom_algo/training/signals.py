"""SIGTERM and SIGINT, from the first instant of the process on.

The platform stops a job with SIGTERM and kills it 120 s later (SageMaker developer guide, "How Amazon SageMaker runs
your training image"; StopTrainingJob). The first signal asks the loop to end after the current step; the second ends
the process at once.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from types import FrameType

from cleanroom_algo.contract.exit_codes import ExitCode

GRACE_SECONDS = 120.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class TrainingStopped(BaseException):
    """Raised out of an algorithm's own `fit` when the job is stopped."""


class StopRequest:
    """Whether, and since when, this process has been asked to end.

    Attributes:
        number: the signal, or None.
        since: `time.monotonic()` of its arrival.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.since = 0.0
        self._listeners: list[Callable[[int], None]] = []
        self._finishing = False
        self._interrupt = False

    def __bool__(self) -> bool:
        return self.number is not None

    @property
    def grace_left(self) -> float:
        """Seconds until the platform kills the process; all of them while nobody asked it to end."""
        return GRACE_SECONDS - (time.monotonic() - self.since if self else 0.0)

    @property
    def exit_code(self) -> ExitCode:
        """143 after SIGTERM, 130 after SIGINT."""
        return ExitCode.INTERRUPTED if self.number == signal.SIGINT else ExitCode.STOPPED

    def install(self) -> None:
        """Handle SIGTERM and SIGINT from now on; only the main thread can do this."""
        for number in _SIGNALS:
            signal.signal(number, self._handle)

    def listen(self, listener: Callable[[int], None]) -> None:
        """Call back with the signal's number, also for one that has come already."""
        self._listeners.append(listener)
        if self.number is not None:
            listener(self.number)

    def request(self, number: int = signal.SIGTERM) -> None:
        """Ask as if the signal had come."""
        if self.number is None:
            self.number = number
            self.since = time.monotonic()

    def interrupt_code(self, *, interrupt: bool) -> None:
        """Raise `TrainingStopped` in the main thread at the first signal, for code that does not look at this."""
        self._interrupt = interrupt
        if interrupt and self:
            raise TrainingStopped

    def finish(self) -> None:
        """From now on nothing interrupts: only the way out is left."""
        self._finishing = True

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if self._finishing:
            return
        again = self.number is not None
        self.request(number)
        for listener in self._listeners:
            listener(number)
        if again:
            os._exit(self.exit_code)
        if self._interrupt:
            raise TrainingStopped
