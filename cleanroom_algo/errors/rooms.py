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
    """Another `cleanroom-algo up` is using this state folder.

    Two servers on one folder would run each job twice. Stop the other server, or choose another folder with `--home`.
    """

    code = "CR-ROM-001"
    title = "state folder in use"
    exit_code = ExitCode.USAGE


class RoomStateError(RoomError):
    """The records in the state folder are unreadable, damaged or from a later version, or the disk is full.

    If the disk is full, a server keeps the result of a finished job until there is space. A command does not wait: the
    job is reported as lost when the local clean room is opened the next time.
    """

    code = "CR-ROM-002"
    title = "state folder not usable"

    @classmethod
    def refused(cls, path: Path, error: Exception) -> Self:
        """Return the error for a file of the state folder that cannot be written or removed."""
        return cls(
            f"{path}: {(isinstance(error, OSError) and error.strerror) or error}",
            expected="a folder with free disk space to which this user can write",
            fix="free disk space (`cleanroom-algo clean` removes everything from a room), or choose another folder "
            "with --home",
        )


class BindingError(RoomError):
    """The resources that a request file names cannot be bound to local files.

    `train --request FILE --algorithm PATH --channel NAME=PATH` uses a local algorithm and local folders in place of
    the association and the ML input channels that the request names. Give a folder for each channel of the request,
    unless the room already has a channel with that ARN.
    """

    code = "CR-ROM-003"
    title = "request cannot be bound"


class ObjectStoreError(RoomError):
    """Objects cannot be read or written.

    The location is not an s3:// URI, points outside its folder, or the object store refused access. A folder used as
    a channel may hold only files and folders that this user can read, and links to them.
    """

    code = "CR-ROM-004"
    title = "objects not usable"


class RoomSettingsError(RoomError):
    """The file settings.toml in the state folder cannot be read, or contains an unknown name or an invalid value.

    Correct the file, or remove it to use the default values.
    """

    code = "CR-ROM-005"
    title = "settings.toml not usable"


class DeclarationError(RoomError):
    """A cleanroom.toml does not declare a valid clean room.

    The file declares a collaboration with its members, tables, algorithms and ML input channels. Paths are relative to
    the file, and every name that is used must also be declared.
    """

    code = "CR-ROM-006"
    title = "cleanroom.toml not valid"


class NoObjectsError(RoomError):
    """A channel's location contains no objects, or objects whose keys cannot be file names.

    The s3:// URI of a channel is either one object or a prefix that ends at a `/`. Each object becomes a file in the
    channel's folder, named by the rest of its key.
    """

    code = "CR-ROM-007"
    title = "no objects for the channel"


class ObjectLostError(RoomError):
    """An object of a channel was deleted, replaced or truncated after the job was planned.

    A job lists its objects once, before it starts. An object in S3 is read only if its ETag has not changed since.
    """

    code = "CR-ROM-008"
    title = "object deleted or changed"


class PortTakenError(RoomError):
    """`cleanroom-algo up` cannot listen on its port.

    Another process uses the port, or this user is not allowed to use it. Choose another port with `--port`.
    """

    code = "CR-ROM-009"
    title = "port in use"
    exit_code = ExitCode.USAGE


class ChannelDataError(RoomError):
    """The data of a channel given in Python is neither a DataFrame nor files.

    A channel can be a polars or pandas DataFrame, a dictionary from file names to texts, a folder, a file, or an s3://
    URI.
    """

    code = "CR-ROM-010"
    title = "no data for a channel"
    exit_code = ExitCode.USAGE
