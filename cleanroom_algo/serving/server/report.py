"""What the processes of a server report to their parent: how far the start has come, and why it ended."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import time
from dataclasses import asdict, dataclass
from enum import IntEnum

from cleanroom_algo.contract.failure import failure_text
from cleanroom_algo.contract.redaction import Redactor
from cleanroom_algo.errors import CleanroomError


class Stage(IntEnum):
    """The stages of a server's start."""

    LOADING = 0
    WARMING_UP = 1
    SERVING = 2

    def __str__(self) -> str:
        return ("loading the model", "warming up", "serving")[self]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a server ended.

    Attributes:
        exit_code: the exit status for it.
        title: for the last line of the log if the log already has the complete text; else empty.
        text: for the failure file.
    """

    exit_code: int
    title: str
    text: str

    @classmethod
    def of(cls, told: CleanroomError, text: str | None = None) -> Failure:
        """Return the failure for an error; with another text if an exception of the algorithm caused it."""
        if text is None:
            return cls(int(told.exit_code), "", failure_text(told))
        return cls(int(told.exit_code), f"{told.code} {told.title}: {told.what}", text)


class Report:
    """Memory and a pipe that all processes of a server share; created in their parent, before it forks.

    Args:
        algorithm: the value of the setting.

    Attributes:
        began: the start, by `time.monotonic`.
        redact: describes the algorithm's exceptions without values.
    """

    def __init__(self, algorithm: str) -> None:
        self.redact = Redactor.of(algorithm)
        self.began = time.monotonic()
        self._memory = mmap.mmap(-1, 2)  # the stage; whether to restart
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._reading, False)

    @property
    def stage(self) -> Stage:
        """The latest stage that a process has reached."""
        return Stage(self._memory[0])

    def reach(self, stage: Stage) -> None:
        """Record that a process has reached a stage."""
        self._memory[0] = max(self._memory[0], stage)

    @property
    def anew(self) -> bool:
        """Whether the server requests a restart without loading the model before the fork."""
        return bool(self._memory[1])

    def want_anew(self) -> None:
        """Request a restart."""
        self._memory[1] = 1

    def tell(self, failure: Failure) -> None:
        """Report why the server ends."""
        with contextlib.suppress(OSError):  # the parent process has ended
            os.write(self._writing, json.dumps(asdict(failure)).encode() + b"\n")

    def failure(self) -> Failure | None:
        """Return the first reported failure."""
        with contextlib.suppress(BlockingIOError, ValueError):
            line, _, _ = os.read(self._reading, 1 << 16).partition(b"\n")
            return Failure(**json.loads(line))
        return None

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._reading)
        os.close(self._writing)
