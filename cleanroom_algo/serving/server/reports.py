"""What the processes of a server say to the one above them, and how a failure is told."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import logging
import os
import signal
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Literal

from cleanroom_algo.contract.environment import InferenceEnvironment
from cleanroom_algo.contract.failure import write_failure
from cleanroom_algo.contract.processes import signal_name
from cleanroom_algo.errors import CleanroomError, ServerStartError
from cleanroom_algo.errors.exit_codes import ExitCode

log = logging.getLogger("cleanroom_algo.serving")

STACKS_SIGNAL = signal.SIGUSR1
"""Makes a process that loads or warms up write the stacks of its threads, even out of native code."""

_TEXT_CHARACTERS = 600  # of one report: with all else less than what a pipe takes in one piece (POSIX: 512 to 4096)


class Phase(StrEnum):
    """What a process of a server is doing."""

    LOADING = "loading the model"
    STARTING = "starting the serving processes"
    WARMING_UP = "warming up"
    SERVING = "serving"

    @property
    def can_hang(self) -> bool:
        """Whether it runs the algorithm's code before anything is served."""
        return self in {Phase.LOADING, Phase.WARMING_UP}


@dataclass(frozen=True, slots=True)
class Report:
    """One thing said.

    Attributes:
        pid: of the process that it is about.
        kind: the process is in another phase; it cannot serve; it has ended; the server wants to be started anew,
            without a model that is loaded before the fork.
        text: the phase, the reason, or how it ended.
        exit_code: that says the reason.
    """

    pid: int
    kind: Literal["phase", "failed", "ended", "anew"]
    text: str = ""
    exit_code: int = 0


class Reports:
    """The writing end; processes that are forked have it, too.

    Args:
        environment: of the container.
        pipe: a file descriptor.
    """

    def __init__(self, environment: InferenceEnvironment, pipe: int) -> None:
        self._environment = environment
        self._pipe = pipe

    def phase(self, phase: Phase) -> None:
        """Say what this process does from now on."""
        if phase.can_hang:
            faulthandler.unregister(STACKS_SIGNAL)  # what a fork inherited, gunicorn has replaced
            faulthandler.register(STACKS_SIGNAL)
        self._send(Report(os.getpid(), "phase", phase))

    def failed(self, error: BaseException) -> None:
        """Say why this process cannot serve: here, in the log, and in the failure file."""
        told = error if isinstance(error, CleanroomError) else _cannot_load(error)
        log.error("the model cannot be served\n%s", told)
        log.debug("the traceback", exc_info=error)
        leave_failure(self._environment, error)
        code = error.exit_code if isinstance(error, CleanroomError) else ExitCode.ALGORITHM_FAILED
        self._send(Report(os.getpid(), "failed", f"{told.code}  {told.what}", int(code)))

    def ended(self, pid: int, how: str) -> None:
        """Say that a process has ended.

        Args:
            pid: of the process.
            how: as a part of a sentence: "was ended by SIGKILL".
        """
        self._send(Report(pid, "ended", how))

    def anew(self) -> None:
        """Ask for a fresh start."""
        self._send(Report(os.getpid(), "anew"))

    def _send(self, report: Report) -> None:
        members = asdict(report) | {"text": report.text[:_TEXT_CHARACTERS]}
        with contextlib.suppress(BrokenPipeError):  # nobody is left to tell
            os.write(self._pipe, json.dumps(members).encode() + b"\n")


def parse(lines: bytes) -> Iterator[Report]:
    """Yield the reports of whole lines."""
    for line in lines.splitlines():
        yield Report(**json.loads(line))


def leave_failure(environment: InferenceEnvironment, error: BaseException) -> None:
    """Write the failure file, where the container can have one."""
    try:
        write_failure(environment.paths, error)
    except OSError:
        log.debug("no failure file: %s is not writable", environment.paths.output)


def how_ended(exit_code: int) -> str:
    """Return how a process ended, as a part of a sentence; the exit code is negative after a signal."""
    return f"ended with exit status {exit_code}" if exit_code >= 0 else f"was ended by {signal_name(-exit_code)}"


def _cannot_load(error: BaseException) -> ServerStartError:
    from cleanroom_algo.serving.scoring.scorer import (
        place_of,  # it imports polars, which the process above has no need of
    )

    return ServerStartError(
        f"the algorithm raised {type(error).__name__} at {place_of(error)}",
        expected="a file that can be imported, and a `load` and `sample` that end",
        fix="the reason of the failure has the message; CLEANROOM_ALGO_LOG_LEVEL=DEBUG shows the whole traceback",
    )
