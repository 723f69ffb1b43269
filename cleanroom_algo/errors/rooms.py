"""CR-ROM: the local clean room."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from cleanroom_algo.errors.base import CleanroomError
from cleanroom_algo.errors.exit_codes import ExitCode


class RoomError(CleanroomError):
    """The local clean room and its state."""

    exit_code = ExitCode.CONTRACT


class RoomInUseError(RoomError):
    """Another `cleanroom-algo up` serves this state folder: two of them would run each job twice."""

    code = "CR-ROM-001"
    title = "state folder in use"
    exit_code = ExitCode.USAGE


class RoomStateError(RoomError):
    """The records in the state folder cannot be used: unreadable, damaged, of a later version, or on a full disk.

    Where the disk is full, the record of a job that has just ended waits until there is room; a command does not
    wait with it. Opening the room later finds the job lost with its process.
    """

    code = "CR-ROM-002"
    title = "state folder not usable"

    @classmethod
    def refused(cls, path: Path, error: Exception) -> Self:
        """Return the error of a disk that does not let a file of the state folder be written or removed."""
        return cls(
            f"{path}: {(isinstance(error, OSError) and error.strerror) or error}",
            expected="a folder on a disk with room, in which this user may write",
            fix="make room (`cleanroom-algo clean` removes all of a room), or choose another folder with --home",
        )


class BindingError(RoomError):
    """The resources that a request file names cannot be bound to local files.

    `train --request FILE --algorithm PATH --channel NAME=PATH` stands an algorithm and folders in for the association
    and the ML input channels whose ARNs the request holds. Each channel of the request needs one, unless the room has
    a channel of that ARN already.
    """

    code = "CR-ROM-003"
    title = "request cannot be bound"


class ObjectStoreError(RoomError):
    """Objects cannot be read or written.

    The location is no s3:// URI, escapes its folder, or the store refuses. In a folder that stands for a channel there
    is something that is neither file nor folder, that a link does not lead to, or that this user may not read.
    """

    code = "CR-ROM-004"
    title = "objects not usable"


class RoomSettingsError(RoomError):
    """The file settings.toml of the state folder cannot be read, or names a quota or switch that does not exist."""

    code = "CR-ROM-005"
    title = "room settings not usable"


class DeclarationError(RoomError):
    """A cleanroom.toml does not declare a room.

    The file declares a collaboration, its members, their tables, algorithms and ML input channels; paths in it are
    relative to its folder. Names that refer to each other must be declared.
    """

    code = "CR-ROM-006"
    title = "room not declared"


class NoObjectsError(RoomError):
    """There are no objects where a channel is to find them, or none that a folder could hold.

    An s3:// URI of a channel names one object, or a prefix that ends where a name between two `/` ends. Below the
    channel's folder each object lies under the rest of its key.
    """

    code = "CR-ROM-007"
    title = "no objects for the channel"


class ObjectLostError(RoomError):
    """An object of a channel was removed, replaced or cut short after the job had been planned.

    A job lists its objects once. Those in S3 are read under the ETag of that listing, so that no other content can take
    its place unseen.
    """

    code = "CR-ROM-008"
    title = "object gone or changed"


class PortTakenError(RoomError):
    """`cleanroom-algo up` cannot listen on the port that it was told to, or on its usual one."""

    code = "CR-ROM-009"
    title = "port taken"
    exit_code = ExitCode.USAGE
