"""Where a container runs: the one small protocol that all kinds of hosts speak."""

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
    """What an instance has.

    Attributes:
        memory_bytes: of the instance type; None where it is not known.
        disk_bytes: for everything that the container writes; None: as much as this machine has.
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


class SelectableKind(Protocol):
    """A row of the registry: a kind of hosts that settings can choose."""

    chosen_by_itself: ClassVar[bool]
    """Whether `auto` may take it."""

    @classmethod
    def runs(cls, source: AlgorithmSource) -> bool:
        """Whether it runs this: a file or folder, or an image."""

    @classmethod
    def missing(cls, settings: RoomSettings) -> str | None:
        """Return why it cannot run here; None: it can, or trying will tell."""

    @classmethod
    def of(cls, settings: RoomSettings) -> HostKind | RunsWholeJobs:
        """Return it as the settings of a room want it.

        Raises:
            HostError: the settings do not fit.
        """


@runtime_checkable
class RunsWholeJobs(Protocol):
    """Something that takes a whole job and returns its outcome, instead of hosts on which jobs are run here."""

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
    """What its containers lack of the platform's isolation, behind a comma; "" where nothing is known of."""
    isolates_files: bool
    """Whether a container sees nothing of this machine but what it is given, and cannot write to `HostSpec.shared`."""

    def open(self, host_names: Sequence[str]) -> AbstractContextManager[JobHosts]:
        """Make what the hosts of one job share, a network above all; leaving the context removes it.

        Raises:
            HostError: it cannot be made here.
        """
