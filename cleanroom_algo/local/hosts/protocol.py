"""Where a container runs: the one small protocol that all kinds of hosts speak."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from cleanroom_algo.local.jobs.plan import AlgorithmSource

Verb = Literal["train", "serve"]


@dataclass(frozen=True, slots=True)
class HostSpec:
    """One container to start.

    Attributes:
        name: of the host, `algo-1`, ...
        root: the folder that the container sees as /opt/ml, laid out.
        source: what runs.
        verb: the default argument of the platform.
        environment: what the platform sets, the request's map included.
        job_environment: what `HostKind.prepare` returned for the job.
    """

    name: str
    root: Path
    source: AlgorithmSource
    verb: Verb
    environment: Mapping[str, str] = field(default_factory=dict)
    job_environment: Mapping[str, str] = field(default_factory=dict)


class RunningHost(Protocol):
    """A started container."""

    @property
    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield ("stdout" or "stderr", line) until the container and all it started have ended; nothing is lost."""

    @property
    def address(self) -> tuple[str, int]:
        """Return host and port on which a serving container answers."""

    def wait(self, timeout: float | None = None) -> int | None:
        """Return the exit status once the container has ended (128 + number for a signal), None after the timeout."""

    def terminate(self) -> None:
        """Send SIGTERM to the container's main process; without effect once it has ended."""

    def kill(self) -> None:
        """End everything in the container at once; without effect once it has ended."""


class HostKind(Protocol):
    """A way to run containers."""

    name: str

    def prepare(self, host_names: Sequence[str]) -> Mapping[str, str]:
        """Return environment variables by which the hosts of one job find each other here."""

    def launch(self, spec: HostSpec) -> RunningHost:
        """Start a container.

        Raises:
            HostError: the container cannot be started here.
        """
