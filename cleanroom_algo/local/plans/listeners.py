"""Listeners for the events of a job."""

from __future__ import annotations

from typing import Any, Protocol


class JobListener(Protocol):
    """Gets the events of a running job, from several threads."""

    def line(self, host: str, stream: str, text: str) -> None:
        """Handle a line: of a container (`stdout`, `stderr`), or about a host's part of the job (`job`)."""

    def progress(self, progress: Any) -> None:
        """Handle the progress of the job, which depends on its kind."""


class Listeners:
    """All listeners of one job."""

    def __init__(self) -> None:
        self._all: list[JobListener] = []

    def add(self, listener: JobListener) -> None:
        """Add a listener; it gets the events from now on."""
        self._all.append(listener)

    def line(self, host: str, stream: str, text: str) -> None:
        """Pass on a line."""
        for each in tuple(self._all):
            each.line(host, stream, text)

    def progress(self, progress: Any) -> None:
        """Pass on the progress of the job."""
        for each in tuple(self._all):
            each.progress(progress)
