"""Where a container runs: the one small protocol that all kinds of hosts speak."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from cleanroom_algo.errors import CleanroomError
from cleanroom_algo.local.plans.training_plan import AlgorithmSource

Verb = Literal["train", "serve"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What an instance has.

    Attributes:
        memory_bytes: of the instance type; None where it is not known.
        disk_bytes: for everything that the container writes; None: as much as this machine has.
    """

    memory_bytes: int | None = None
    disk_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class HostSpec:
    """One container to start.

    Attributes:
        name: of the host, `algo-1`, ...
        root: the folder that the container sees as /opt/ml, laid out.
        source: what runs.
        verb: the default argument of the platform.
        environment: what the platform sets, the request's map included.
        shared: folders that the container reads and may not write, by their path below /opt/ml.
        limits: what the instance has.
        usage: a file to which each host appends what it takes of CPU and memory: a JSON object a line, `time`, `host`,
            `name` (CPUUtilization: percent, 100 for each core; MemoryUtilization: percent of the instance's memory)
            and `value`; None: nobody wants to know.
    """

    name: str
    root: Path
    source: AlgorithmSource
    verb: Verb
    environment: Mapping[str, str] = field(default_factory=dict)
    shared: Mapping[str, Path] = field(default_factory=dict)
    limits: Limits = Limits()
    usage: Path | None = None


class RunningHost(Protocol):
    """A started container.

    Attributes:
        address: where its server is expected, in words.
    """

    address: str

    @property
    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield ("stdout" or "stderr", line) until the container and all it started have ended; nothing is lost."""

    def connect(self, timeout: float | None) -> socket.socket:
        """Return a connection to the port on which a serving container answers.

        Raises:
            OSError: nobody answers there (yet).
        """

    def wait(self, timeout: float | None = None) -> int | None:
        """Return the exit status once the container has ended (128 + number for a signal), None after the timeout."""

    def terminate(self) -> None:
        """Send SIGTERM to the container's main process; without effect once it has ended."""

    def kill(self) -> None:
        """End everything in the container at once; without effect once it has ended."""


class JobHosts(Protocol):
    """The hosts of one job, and what they share."""

    @property
    def fault(self) -> CleanroomError | None:
        """Why what they share was lost while they ran; None: it was not."""

    def launch(self, spec: HostSpec) -> RunningHost:
        """Start a container.

        Raises:
            HostError: the container cannot be started here.
        """


class HostKind(Protocol):
    """A way to run containers."""

    name: str
    lacks: str
    """What its containers lack of the platform's isolation, behind a comma; "" where nothing is known of."""
    isolates_files: bool
    """Whether a container sees nothing of this machine but what it is given, and cannot write to `HostSpec.shared`."""

    def open(self, host_names: Sequence[str]) -> AbstractContextManager[JobHosts]:
        """Make what the hosts of one job share, a network above all; leaving the context removes it.

        Raises:
            HostError: it cannot be made here.
        """
