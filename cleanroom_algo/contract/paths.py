"""Where everything lies in a container: the tree below /opt/ml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DEFAULT_ROOT = Path("/opt/ml")
ROOT_VARIABLE = "SAGEMAKER_BASE_DIR"
"""Moves the whole tree; the sagemaker-training toolkit reads the same variable, so its scripts move along."""


@dataclass(frozen=True, slots=True)
class Paths:
    """The tree that the platform lays out for a container.

    Attributes:
        root: what is /opt/ml on the platform (SageMaker developer guide, "How Amazon SageMaker runs your training
            image").
    """

    root: Path = DEFAULT_ROOT

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Paths:
        """Return the tree at /opt/ml, or at SAGEMAKER_BASE_DIR where that is set."""
        override = environ.get(ROOT_VARIABLE)
        return cls(Path(override).absolute() if override else DEFAULT_ROOT)

    @property
    def input(self) -> Path:
        """Everything the platform gives the container."""
        return self.root / "input"

    @property
    def config(self) -> Path:
        """The configuration files."""
        return self.input / "config"

    @property
    def data(self) -> Path:
        """The channels. They are listed in inputdataconfig.json; this directory also holds manifests and FIFOs."""
        return self.input / "data"

    @property
    def hyperparameters(self) -> Path:
        """A flat JSON object whose values are strings."""
        return self.config / "hyperparameters.json"

    @property
    def input_data_config(self) -> Path:
        """A JSON object keyed by channel name."""
        return self.config / "inputdataconfig.json"

    @property
    def resource_config(self) -> Path:
        """The hosts of the job and this host's name."""
        return self.config / "resourceconfig.json"

    @property
    def model(self) -> Path:
        """What a training job writes here is packed as model.tar.gz; in serving, the same files, read-only."""
        return self.root / "model"

    @property
    def output(self) -> Path:
        """The parent of the failure file and of the output data."""
        return self.root / "output"

    @property
    def output_data(self) -> Path:
        """What a training job writes here is packed as output.tar.gz."""
        return self.output / "data"

    @property
    def failure(self) -> Path:
        """Why the job failed, in at most 1024 characters."""
        return self.output / "failure"

    @property
    def checkpoints(self) -> Path:
        """A Trainer's checkpoints, one folder for each host; a new process that finds them continues from the last.

        Local disk only: CreateTrainedModel has no checkpoint configuration (botocore model of cleanroomsml).
        """
        return self.root / "checkpoints"

    @property
    def code(self) -> Path:
        """Where the sagemaker-training toolkit looks for a user's script."""
        return self.root / "code"

    def channel(self, name: str) -> Path:
        """Return the directory of a channel in File and FastFile mode."""
        return self.data / name

    def fifo(self, name: str, epoch: int) -> Path:
        """Return the named pipe of a channel in Pipe mode; a new one for every epoch, counted from 0."""
        return self.data / f"{name}_{epoch}"

    def manifest(self, name: str) -> Path:
        """Return the plain file that the platform puts beside a channel's directory in File mode."""
        return self.data / f"{name}-manifest"
