"""The progress of a job in a notebook: a line below the cell, updated until the job has ended."""

from __future__ import annotations

import html
import sys
import threading
import time
from typing import Any, Final

from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.room import Room

_SECONDS: Final = 0.5  # between two updates; each is a message to the browser
_METRIC_MARK: Final = "[metric] "


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook: IPython is then imported and runs as one."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return hasattr(shell, "kernel")


def follow(room: Room, started: Record) -> Record:
    """Show a job below the cell until it has ended, and return its record."""
    line = _Line(started.name)
    record = room.wait(started.key, started.version, listener=line)
    line.end(record.status)
    return record


class _Line:
    """Shows the progress of a job."""

    def __init__(self, title: str) -> None:
        from IPython.display import HTML, display

        self._html, self._title = HTML, title
        self._started = time.monotonic()
        self._due = self._started + _SECONDS
        self._lock = threading.Lock()
        self._handle = display(self._text("starting"), display_id=True)

    def line(self, host: str, stream: str, text: str) -> None:  # noqa: ARG002 (a listener's signature)
        """Show the values of a metric line."""
        if text.startswith(_METRIC_MARK):
            self.progress(text.removeprefix(_METRIC_MARK))

    def progress(self, progress: Any) -> None:
        """Show the progress that the job reports."""
        with self._lock:
            if time.monotonic() >= self._due:
                self._due = time.monotonic() + _SECONDS
                self._handle.update(self._text(str(progress)))

    def end(self, status: str) -> None:
        """Show how it ended."""
        with self._lock:
            self._handle.update(self._text(status))

    def _text(self, state: str) -> Any:
        seconds = time.monotonic() - self._started
        return self._html(f"<code>{html.escape(f'{self._title}  {state}  {seconds:.0f} s')}</code>")
