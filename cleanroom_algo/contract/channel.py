"""The channels of a job, as inputdataconfig.json describes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from cleanroom_algo.contract.paths import Paths


class InputMode(StrEnum):
    """How the data of a channel arrives (SageMaker API, Channel.InputMode)."""

    FILE = "File"
    """All objects of the channel are on disk before the container starts."""
    FAST_FILE = "FastFile"
    """The same files, read-only; their content is streamed on demand."""
    PIPE = "Pipe"
    """One named pipe per epoch."""

    @property
    def has_files(self) -> bool:
        """Whether the channel is a directory of files; the container sees no difference between File and FastFile."""
        return self is not InputMode.PIPE


class Distribution(StrEnum):
    """How the objects of a channel are spread over the hosts (SageMaker API, S3DataDistributionType)."""

    FULLY_REPLICATED = "FullyReplicated"
    """Each host has every object."""
    SHARDED_BY_S3_KEY = "ShardedByS3Key"
    """Each host has about 1/n of the objects; an object is never split, and a host may have none."""


class ChannelConfig(BaseModel):
    """One entry of inputdataconfig.json; absent keys take the documented defaults, unknown ones are ignored.

    The current SageMaker developer guide says that FastFile is written as "File" here; both are accepted.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    input_mode: InputMode = Field(InputMode.FILE, alias="TrainingInputMode")
    distribution: Distribution = Field(Distribution.FULLY_REPLICATED, alias="S3DistributionType")
    content_type: str | None = Field(None, alias="ContentType")
    record_wrapper: Literal["None", "RecordIO"] = Field("None", alias="RecordWrapperType")
    compression: Literal["None", "Gzip"] = Field("None", alias="CompressionType")


@dataclass(frozen=True, slots=True)
class Channel:
    """A named input of a job.

    Attributes:
        name: 1 to 64 characters of letters, digits, `.`, `-` and `_`.
        paths: the tree it lies in.
        input_mode: how its data arrives.
        distribution: how its objects are spread over the hosts.
        content_type: the MIME type that the request declared, if any; Clean Rooms ML declares none.
        record_wrapper: "RecordIO" when Pipe mode wraps each object as one record.
        compression: "Gzip" when Pipe mode decompresses while streaming.
    """

    name: str
    paths: Paths
    input_mode: InputMode = InputMode.FILE
    distribution: Distribution = Distribution.FULLY_REPLICATED
    content_type: str | None = None
    record_wrapper: Literal["None", "RecordIO"] = "None"
    compression: Literal["None", "Gzip"] = "None"

    @property
    def path(self) -> Path:
        """The directory of the channel; in Pipe mode it does not exist."""
        return self.paths.channel(self.name)

    def fifo(self, epoch: int) -> Path:
        """Return the named pipe of an epoch (0, 1, ...) in Pipe mode; it may not exist yet."""
        return self.paths.fifo(self.name, epoch)


def read_channels(entries: Mapping[str, ChannelConfig], paths: Paths) -> dict[str, Channel]:
    """Return the channels by name, sorted by it."""
    return {name: Channel(name=name, paths=paths, **dict(config)) for name, config in sorted(entries.items())}
