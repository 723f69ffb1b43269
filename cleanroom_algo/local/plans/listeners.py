"""Listeners to what happens while a job runs."""

from __future__ import annotations

from typing import Any, Protocol


class JobListener(Protocol):
    """Told what happens while a job runs, from several threads."""

    def line(self, host: str, stream: str, text: str) -> None:
        """Take a line: of a container (`stdout`, `stderr`), or about a host's share of the job (`job`)."""

    def progress(self, progress: Any) -> None:
        """Take how far the job is; what that is depends on the kind of job."""


class Listeners:
    """Everyone who listens to one job."""

    def __init__(self) -> None:
        self._all: list[JobListener] = []

    def add(self, listener: JobListener) -> None:
        """Add a listener; it hears what comes from now on."""
        self._all.append(listener)

    def line(self, host: str, stream: str, text: str) -> None:
        """Pass on a line."""
        for each in tuple(self._all):
            each.line(host, stream, text)

    def progress(self, progress: Any) -> None:
        """Pass on how far the job is."""
        for each in tuple(self._all):
            each.progress(progress)
