"""The objects of a channel in File and FastFile mode: listed once, sorted by key, read front to back."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cleanroom_algo.contract.channel import Channel
from cleanroom_algo.errors import ChannelMissingError, NotFilesError, ObjectUnreadableError

BLOCK_BYTES: Final = 4 << 20
"""Bytes read and parsed at a time: so many that a call has no noticeable cost, and few enough for the cache."""
PROBE_BYTES: Final = 4096
"""Bytes that are read to recognize a format; Parquet is detected before more is read in vain."""


@dataclass(frozen=True, slots=True, order=True)
class Object:
    """One file of a channel.

    Attributes:
        key: the path below the channel's directory with `/` between its parts; unique, and objects are sorted by it.
        path: the path of the file.
        size: bytes.
        channel: the name of its channel, with which messages begin; "" for a file outside of a channel.
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

    Subdirectories are included. In File mode, the platform's `<channel>-manifest` is beside the directory, so it is not
    listed. An empty directory has no objects, which is legal: with ShardedByS3Key, there can be more hosts than
    objects.

    Raises:
        ChannelMissingError: CR-CHN-001, the directory does not exist.
        NotFilesError: CR-CHN-002, the channel is delivered by a pipe.
        ObjectUnreadableError: CR-CHN-003, the directory cannot be listed.
    """
    if not channel.input_mode.has_files:
        raise NotFilesError(
            f"channel {channel.name!r} is delivered in Pipe mode and has no files",
            expected="File or FastFile mode",
            fix="read it with channels.modes.pipe, or set trainingInputMode to File or FastFile",
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


def probe(obj: Object) -> bytes:
    """Return the first bytes of an object, enough for its format and a header."""
    with obj.path.open("rb", buffering=0) as file:
        head = file.read(PROBE_BYTES)
        if b"\n" not in head:
            head += file.read(BLOCK_BYTES)
    return head


def lines_before(obj: Object, offset: int) -> int:
    """Return the number of line breaks before an offset; only called when an error needs a line number."""
    return sum(chunk.count(b"\n") for chunk in file_chunks(obj, 0, offset))


def file_chunks(obj: Object, start: int = 0, end: int | None = None, *, first: int = BLOCK_BYTES) -> Generator[bytes]:
    """Yield the bytes of an object from `start` to `end`, front to back in blocks of 4 MiB, the first one of `first`.

    Raises:
        ObjectUnreadableError: CR-CHN-003, it has fewer bytes than when it was listed.
    """
    left = (obj.size if end is None else end) - start
    with obj.path.open("rb", buffering=0) as file:
        if start:
            file.seek(start)
        while left > 0:
            chunk = file.read(min(left, first))
            first = BLOCK_BYTES
            if not chunk:
                raise ObjectUnreadableError(
                    f"{obj.name}: ends {left} bytes before the {obj.size} it had when it was listed",
                    expected="objects that do not change while the job runs",
                    fix="do not write to a channel; list the objects again in a new job",
                )
            left -= len(chunk)
            yield chunk


@contextlib.contextmanager
def readable(obj: Object) -> Iterator[None]:
    """Convert errors of the operating system about an object to this package's errors.

    Raises:
        ObjectUnreadableError: CR-CHN-003, the object cannot be opened or read.
    """
    try:
        yield
    except OSError as error:
        raise ObjectUnreadableError(
            f"{obj.name}: cannot be read ({error.strerror or type(error).__name__})",
            expected="an object that stays readable until the job ends",
            fix="check that nothing removes or replaces files of a channel while the job runs",
        ) from error
