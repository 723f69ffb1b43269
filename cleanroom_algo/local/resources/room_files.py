"""The paths of a room's files in its state folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cleanroom_algo.contract.settings import variable
from cleanroom_algo.local.resources.arns import Arn
from cleanroom_algo.local.resources.store import Record


def state_folder(home: str | Path | None = None) -> Path:
    """Return the state folder: the given one, or that of CLEANROOM_ALGO_HOME, or one in the user's data folder."""
    named = home or os.environ.get(variable("home"))
    if named:
        return Path(named).absolute()
    import platformdirs

    return Path(platformdirs.user_data_dir("cleanroom-algo"))


@dataclass(frozen=True, slots=True)
class RoomFiles:
    """The folders of a room's jobs, models and channels.

    Attributes:
        home: the state folder, absolute.
    """

    home: Path

    def run(self, record: Record) -> Path:
        """Return the folder for the files of a job's run; its log and its hosts' usage remain there."""
        return self.home / "jobs" / _folder(record.key, record.version)

    def artifacts(self, arn: str, version: str | None) -> Path:
        """Return the folder with model.tar.gz and output.tar.gz of a version."""
        return self.home / "models" / _folder(arn, version)

    @property
    def frames(self) -> Path:
        """The folder for the objects of channels that were given as frames or texts."""
        return self.home / "channels" / "frames"

    def channel(self, record: Record) -> Path:
        """Return the folder for the objects of an ML input channel whose query runs here."""
        return self.home / "channels" / _folder(record.key, None)


def _folder(arn: str, version: str | None) -> str:
    identifier = Arn.parse(arn).identifier.replace("/", "_")
    return identifier if version is None else f"{identifier}-{version}"
