"""The plan of a training job, computed before it runs: plain values that can be printed, compared and tested."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cleanroom_algo.contract.channel import Distribution, InputMode
from cleanroom_algo.local.objects.reference import ObjectRef

DEFAULT_MAX_RUNTIME_SECONDS = 86_400  # SageMaker API, StoppingCondition: one day; Clean Rooms ML states no default


@dataclass(frozen=True, slots=True)
class AlgorithmSource:
    """The source to run.

    Attributes:
        image_uri: of the algorithm's configuration: an image, or the path of an algorithm's file or folder.
        entrypoint: replaces the image's; None keeps it.
        arguments: replace the default argument; None keeps it.
    """

    image_uri: str
    entrypoint: tuple[str, ...] | None = None
    arguments: tuple[str, ...] | None = None

    @property
    def path(self) -> Path | None:
        """The algorithm's file or folder, if `image_uri` is a path (absolute, relative, or a `file:` URI)."""
        text = self.image_uri.removeprefix("file://").removeprefix("file:")
        path = Path(text)
        return path.absolute() if path.exists() else None


@dataclass(frozen=True, slots=True)
class ChannelPlan:
    """One data channel of a job.

    Attributes:
        name: unique in the job.
        distribution: how its objects are spread over the hosts.
        objects: all objects, by key.
    """

    name: str
    distribution: Distribution
    objects: tuple[ObjectRef, ...]


@dataclass(frozen=True, slots=True)
class HostPlan:
    """One host and its objects.

    Attributes:
        name: `algo-1`, ...
        objects: of each channel, in the order of their keys.
    """

    name: str
    objects: Mapping[str, tuple[ObjectRef, ...]]


@dataclass(frozen=True, slots=True)
class BaseModel:
    """The base model of incremental training.

    Attributes:
        channel: the incremental channel's name.
        archive: the model.tar.gz of the version to start from.
        packed: whether this archive is delivered; SageMaker delivers objects unchanged, so this is the default.
    """

    channel: str
    archive: Path
    packed: bool = True


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """A training job, as a plain value.

    Attributes:
        job_name: 1 to 63 characters.
        job_arn: of the training job, as TRAINING_JOB_ARN shows it.
        run_directory: for the hosts' files, the log and the archives; a new folder.
        source: what to run.
        hosts: 1 to 5.
        channels: the data channels.
        input_mode: of the whole job.
        hyperparameters: as the request has them.
        environment: of the request.
        instance_type: of the hosts.
        base_model: for incremental training.
        max_artifact_bytes: maximum size of all files that the job writes; None: no maximum.
        max_runtime_seconds: time after which the job is stopped.
        volume_gb: of each host's disk.
        shuffle_pipes: whether the objects of a pipe have another order in each epoch.
        leave_out: whether files that are too large are left out; else they fail the job.
        checkpoints: of an earlier job that this one continues: a folder for each host; None: from the beginning.
        file_format: of the data channels, csv or parquet, if SM_* variables pass it to the container; else None.
    """

    job_name: str
    job_arn: str
    run_directory: Path
    source: AlgorithmSource
    hosts: tuple[HostPlan, ...]
    channels: tuple[ChannelPlan, ...]
    input_mode: InputMode = InputMode.FILE
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    instance_type: str = "ml.m5.2xlarge"
    base_model: BaseModel | None = None
    max_artifact_bytes: int | None = None
    max_runtime_seconds: int = DEFAULT_MAX_RUNTIME_SECONDS
    volume_gb: int = 30
    shuffle_pipes: bool = False
    leave_out: bool = False
    file_format: str | None = None
    checkpoints: Path | None = None

    @property
    def host_names(self) -> tuple[str, ...]:
        """The names of all hosts."""
        return tuple(host.name for host in self.hosts)


def deal(objects: Sequence[ObjectRef], shares: int) -> tuple[tuple[ObjectRef, ...], ...]:
    """Divide objects into shares: by key, in turn. Objects are never divided, and a share may be empty.

    SageMaker documents that each host gets about 1/n of the objects, but not which ones (SageMaker API, S3DataSource).
    """
    ordered = sorted(objects, key=lambda each: each.key)
    return tuple(tuple(ordered[number::shares]) for number in range(shares))


def plan_hosts(channels: Sequence[ChannelPlan], count: int) -> tuple[HostPlan, ...]:
    """Return the hosts of a job with their objects.

    Args:
        channels: the data channels.
        count: 1 to 5.
    """
    shares = {channel.name: _shares(channel, count) for channel in channels}
    return tuple(
        HostPlan(f"algo-{number + 1}", {name: share[number] for name, share in shares.items()})
        for number in range(count)
    )


def epoch_objects(plan: TrainingPlan, host: HostPlan, channel: str, epoch: int) -> tuple[ObjectRef, ...]:
    """Return the objects in a host's pipe of a channel in one epoch.

    If pipes are shuffled, each epoch has another order, which is the same for all hosts; with ShardedByS3Key, objects
    may then move to another host (SageMaker API, ShuffleConfig).

    Args:
        plan: of the job.
        host: of the plan.
        channel: of the host.
        epoch: from 0.
    """
    shuffled = next((each for each in plan.channels if each.name == channel), None)
    if not plan.shuffle_pipes or shuffled is None:
        return host.objects.get(channel, ())
    order = sorted(shuffled.objects, key=lambda each: each.key)
    random.Random(f"{plan.job_name}/{channel}/{epoch}").shuffle(order)  # noqa: S311 (an order, not a secret)
    if shuffled.distribution is Distribution.SHARDED_BY_S3_KEY:
        return tuple(order[plan.host_names.index(host.name) :: len(plan.hosts)])
    return tuple(order)


def _shares(channel: ChannelPlan, count: int) -> tuple[tuple[ObjectRef, ...], ...]:
    if channel.distribution is Distribution.SHARDED_BY_S3_KEY:
        return deal(channel.objects, count)
    return deal(channel.objects, 1) * count
