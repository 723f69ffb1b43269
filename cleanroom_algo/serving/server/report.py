"""What the processes of a server leave for the one above them: how far the start has come, and why it ended."""

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
    """How far a server has come."""

    LOADING = 0
    WARMING_UP = 1
    SERVING = 2

    def __str__(self) -> str:
        return ("loading the model", "warming up", "serving")[self]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a server ended.

    Attributes:
        exit_code: that says it.
        title: for the last line of the log, where the log has the whole already; else empty.
        text: for the failure file.
    """

    exit_code: int
    title: str
    text: str

    @classmethod
    def of(cls, told: CleanroomError, text: str | None = None) -> Failure:
        """Return the failure for an error; with another text where an exception of the algorithm caused it."""
        if text is None:
            return cls(int(told.exit_code), "", failure_text(told))
        return cls(int(told.exit_code), f"{told.code} {told.title}: {told.what}", text)


class Report:
    """Memory and a pipe that all processes of a server share; made in the one above them, before it forks.

    Args:
        algorithm: as the setting has it.

    Attributes:
        began: when, of `time.monotonic`.
        redact: tells the algorithm's exceptions without values.
    """

    def __init__(self, algorithm: str) -> None:
        self.redact = Redactor.of(algorithm)
        self.began = time.monotonic()
        self._memory = mmap.mmap(-1, 2)  # the stage; whether to start anew
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._reading, False)

    @property
    def stage(self) -> Stage:
        """The furthest that any process has come."""
        return Stage(self._memory[0])

    def reach(self, stage: Stage) -> None:
        """Say that a process has come so far."""
        self._memory[0] = max(self._memory[0], stage)

    @property
    def anew(self) -> bool:
        """Whether the server wants to be started anew, without a model that is loaded before the fork."""
        return bool(self._memory[1])

    def want_anew(self) -> None:
        """Ask for a fresh start."""
        self._memory[1] = 1

    def tell(self, failure: Failure) -> None:
        """Say why the server ends."""
        with contextlib.suppress(OSError):  # nobody is left to tell
            os.write(self._writing, json.dumps(asdict(failure)).encode() + b"\n")

    def failure(self) -> Failure | None:
        """Return the first failure that was told."""
        with contextlib.suppress(BlockingIOError, ValueError):
            line, _, _ = os.read(self._reading, 1 << 16).partition(b"\n")
            return Failure(**json.loads(line))
        return None

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._reading)
        os.close(self._writing)
