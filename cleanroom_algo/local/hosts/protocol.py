"""The protocol of all kinds of hosts on which containers run."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

from cleanroom_algo.errors import CleanroomError
from cleanroom_algo.local.plans.training_plan import AlgorithmSource

if TYPE_CHECKING:
    import threading

    from cleanroom_algo.local.plans.inference_plan import InferencePlan
    from cleanroom_algo.local.plans.listeners import JobListener
    from cleanroom_algo.local.plans.outcomes import InferenceOutcome, TrainingOutcome
    from cleanroom_algo.local.plans.training_plan import TrainingPlan
    from cleanroom_algo.local.resources.settings import RoomSettings

Verb = Literal["train", "serve"]


@dataclass(frozen=True, slots=True)
class Limits:
    """The resources of an instance.

    Attributes:
        memory_bytes: of the instance type; None if it is not known.
        disk_bytes: for all files that the container writes; None: no limit except the disk of this machine.
        gpus: whether it has GPUs.
    """

    memory_bytes: int | None = None
    disk_bytes: int | None = None
    gpus: bool = False


@dataclass(frozen=True, slots=True)
class HostSpec:
    """One container to start.

    Attributes:
        name: of the host, `algo-1`, ...
        root: the folder that the container sees as /opt/ml, laid out.
        source: what to run.
        verb: the default argument of the platform.
        environment: the variables of the platform and of the request.
        shared: folders that the container may read but not write, by their path below /opt/ml.
        limits: the resources of the instance.
        usage: a file to which each host appends its use of CPU and memory, as a JSON object per line: `time`, `host`,
            `name` (CPUUtilization: percent, 100 for each core; MemoryUtilization: percent of the instance's memory) and
            `value`; None: no file.
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
        address: the address of its server, in words.
    """

    address: str

    @property
    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield ("stdout" or "stderr", line) until the container and all its processes have ended; no line is lost."""

    def connect(self, timeout: float | None) -> socket.socket:
        """Return a connection to the port on which a serving container answers.

        Raises:
            OSError: the container does not listen there (yet).
        """

    def wait(self, timeout: float | None = None) -> int | None:
        """Return the exit status once the container has ended (128 + number for a signal), None after the timeout."""

    def terminate(self) -> None:
        """Send SIGTERM to the container's main process; no effect after its end."""

    def kill(self) -> None:
        """End all processes of the container immediately; no effect after their end."""


class JobHosts(Protocol):
    """The hosts of one job, and their shared resources."""

    @property
    def fault(self) -> CleanroomError | None:
        """The error if shared resources were lost while the hosts ran, else None."""

    def launch(self, spec: HostSpec) -> RunningHost:
        """Start a container.

        Raises:
            HostError: the container cannot be started here.
        """


class SelectableKind(Protocol):
    """A row of the registry: a kind of hosts that settings can select."""

    chosen_by_itself: ClassVar[bool]
    """Whether `auto` may select it."""

    @classmethod
    def runs(cls, source: AlgorithmSource) -> bool:
        """Whether it can run this source: a file or folder, or an image."""

    @classmethod
    def missing(cls, settings: RoomSettings) -> str | None:
        """Return why it cannot run here; None: it can, or only trying shows it."""

    @classmethod
    def of(cls, settings: RoomSettings) -> HostKind | RunsWholeJobs:
        """Return an instance with the settings of a room.

        Raises:
            HostError: the settings are not sufficient.
        """


@runtime_checkable
class RunsWholeJobs(Protocol):
    """Runs complete jobs elsewhere and returns their outcome, instead of hosts on which jobs run here."""

    def train(self, plan: TrainingPlan, listener: JobListener, stopped: threading.Event) -> TrainingOutcome:
        """Run a training job to its end.

        Raises:
            HostError: it cannot be run there.
        """

    def infer(self, plan: InferencePlan, listener: JobListener, stopped: threading.Event) -> InferenceOutcome:
        """Run an inference job to its end.

        Raises:
            HostError: it cannot be run there.
        """


class HostKind(Protocol):
    """A way to run containers."""

    name: str
    lacks: str
    """What its containers lack of the platform's isolation, after a comma; "" if nothing is known."""
    isolates_files: bool
    """Whether a container sees only what it is given of this machine, and cannot write to `HostSpec.shared`."""

    def open(self, host_names: Sequence[str]) -> AbstractContextManager[JobHosts]:
        """Create what the hosts of one job share, such as a network; leaving the context removes it.

        Raises:
            HostError: it cannot be created here.
        """
