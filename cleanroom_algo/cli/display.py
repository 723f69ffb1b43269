"""What a person sees while a job runs: its output by host, and on a terminal a line that moves."""

from __future__ import annotations

import re
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from cleanroom_algo.cli.output import is_terminal, say
from cleanroom_algo.cli.visible import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

PROGRESS_SECONDS = 10.0  # between two lines where none can move: a file of a long job stays readable

_METRICS = re.compile(r"^\[metric\] (.*)$")


class JobDisplay:
    """Shows a job on stderr: on a terminal its output above a moving line of state, elsewhere plain lines.

    Args:
        title: what the job is called.
        verbose: whether the containers' output is shown; metric lines move the line of state in any case.
    """

    def __init__(self, title: str, *, verbose: bool = True) -> None:
        self._title = title
        self._verbose = verbose
        self._started = time.monotonic()
        self._progress_due = self._started + PROGRESS_SECONDS
        self._state = "starting"
        self._metrics = ""
        self._console: Console | None = None
        self._status: Status | None = None

    def __enter__(self) -> Self:
        if is_terminal():
            from rich.console import Console
            from rich.status import Status

            self._console = Console(stderr=True, highlight=False, soft_wrap=True)
            self._status = Status(self._text(), console=self._console)
            self._status.start()
        else:
            say(f"{self._title}: {self._state}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()

    @property
    def seconds(self) -> float:
        """How long it has been shown."""
        return time.monotonic() - self._started

    def state(self, text: str) -> None:
        """Tell what the job is doing now."""
        if text == self._state:
            self.refresh()
            return
        self._state = text
        if self._status is None:
            say(f"{self._title}: {text}")
        self.refresh()

    def line(self, host: str, stream: str, text: str) -> None:  # noqa: ARG002 (both streams are shown alike)
        """Show a line of a container's output."""
        metrics = _METRICS.match(text)
        if metrics:
            self._metrics = metrics[1]
        if self._verbose:
            self._print(f"{host} | {text}")
        self.refresh()

    def progress(self, progress: object) -> None:
        """Show how far a job says it is: in the line of state, or now and then in a line of its own."""
        if self._status is not None:
            self._metrics = str(progress)
            self.refresh()
        elif time.monotonic() >= self._progress_due:
            self._progress_due = time.monotonic() + PROGRESS_SECONDS
            say(f"{self._title}: {progress}")

    def refresh(self) -> None:
        """Show the time that has passed."""
        if self._status is not None:
            self._status.update(self._text())

    def _print(self, text: str) -> None:
        text = visible(text)
        if self._console is not None:
            self._console.print(text, markup=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def _text(self) -> str:
        from rich.markup import escape

        parts = [self._title, self._state, f"{self.seconds:.0f} s", self._metrics]
        return escape(visible("  ".join(part for part in parts if part)))
