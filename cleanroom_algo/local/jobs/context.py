"""What the runner of a job gets and gives."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from cleanroom_algo.errors import CleanroomError
from cleanroom_algo.local.resources.store import Record

if TYPE_CHECKING:
    from cleanroom_algo.local.room import Room


class Listener(Protocol):
    """Told what happens while a job runs, from several threads."""

    def line(self, host: str, stream: str, text: str) -> None:
        """Take a line that a container wrote to `stdout` or `stderr`."""

    def progress(self, progress: Any) -> None:
        """Take how far the job is; what that is depends on the kind of job."""


class Listeners:
    """Everyone who listens to one job; a listener that raises is heard of once and dropped."""

    def __init__(self) -> None:
        self._all: list[Listener] = []

    def add(self, listener: Listener) -> None:
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


@dataclass(frozen=True)
class JobContext:
    """A job that is being run.

    Attributes:
        room: the clean room.
        record: of the job, CREATE_IN_PROGRESS.
        directory: for the files of the run; new and empty, kept for its logs.
        stopped: set when the job is to end early.
        listener: told what happens.
    """

    room: Room
    record: Record
    directory: Path
    stopped: threading.Event
    listener: Listeners


@dataclass(frozen=True)
class JobResult:
    """How a job ended.

    Attributes:
        code: `statusDetails.statusCode` of a failure; "" for success.
        message: `statusDetails.message`.
        document: members to set in the record, whatever the end.
        private: the same for what is not shown.
        left_out: why a part of what it made is missing, although it succeeded.
    """

    code: str = ""
    message: str = ""
    document: Mapping[str, Any] = field(default_factory=dict)
    private: Mapping[str, Any] = field(default_factory=dict)
    left_out: CleanroomError | None = None


Runner = Callable[[JobContext], JobResult]
"""Runs a job to its end. It raises CleanroomError for what goes wrong, and leaves nothing running."""
