"""The objects of a channel in File and FastFile mode: listed once, sorted by key."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cleanroom_algo.contract.channel import Channel
from cleanroom_algo.errors import ChannelMissingError, NotFilesError, ObjectUnreadableError


@dataclass(frozen=True, slots=True, order=True)
class Object:
    """One file of a channel.

    Attributes:
        key: the path below the channel's directory with `/` between its parts; unique, and the sort key.
        path: where the bytes lie.
        size: bytes.
        channel: the name of its channel, which messages begin with; "" for a file that is in none.
    """

    key: str
    path: Path
    size: int
    channel: str = ""

    @property
    def name(self) -> str:
        """What messages call the object: `<channel>/<key>`."""
        return f"{self.channel}/{self.key}" if self.channel else self.key


def list_objects(channel: Channel) -> tuple[Object, ...]:
    """Return the objects of a channel sorted by key (by code point).

    Sub-directories are walked: the key tree is kept below the channel's directory. The platform's `<channel>-manifest`
    lies beside the directory in File mode and is therefore never seen. An empty directory has no objects: with
    ShardedByS3Key and more hosts than objects that is legal.

    Raises:
        ChannelMissingError: CR-CHN-001, the directory is not there.
        NotFilesError: CR-CHN-002, the channel is delivered by a pipe.
        ObjectUnreadableError: CR-CHN-003, the directory cannot be listed.
    """
    if not channel.input_mode.has_files:
        raise NotFilesError(
            f"channel {channel.name!r} is delivered in Pipe mode and has no files",
            expected="File or FastFile mode",
            fix="read it with channels.modes.pipe, or ask for trainingInputMode File or FastFile",
        )
    if not channel.path.is_dir():
        raise ChannelMissingError(
            f"channel {channel.name!r} has no directory {channel.path}",
            expected="a directory per channel of inputdataconfig.json",
            fix="check the channel's name against the request's dataChannels",
        )
    found: list[Object] = []
    try:
        _walk(channel, channel.path, "", found)
    except OSError as error:
        raise ObjectUnreadableError(
            f"channel {channel.name!r}: its directory cannot be listed ({error.strerror})",
            expected="a readable directory tree",
            fix="check permissions, and that nothing removes files while the job runs",
        ) from error
    return tuple(sorted(found, key=lambda item: item.key))


def _walk(channel: Channel, directory: Path, prefix: str, found: list[Object]) -> None:
    with os.scandir(directory) as entries:
        for entry in entries:
            key = prefix + entry.name
            if entry.is_dir():
                _walk(channel, Path(entry.path), key + "/", found)
            elif entry.is_file():
                found.append(Object(key, Path(entry.path), entry.stat().st_size, channel.name))
