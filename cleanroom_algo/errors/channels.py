"""CR-CHN: channels."""

from __future__ import annotations

from cleanroom_algo.errors.base import CleanroomError
from cleanroom_algo.errors.exit_codes import ExitCode


class ChannelError(CleanroomError):
    """Channels: their bytes, formats and streams."""

    exit_code = ExitCode.CONTRACT


class ChannelMissingError(ChannelError):
    """The algorithm uses a channel that the job does not have, or that has no directory."""

    code = "CR-CHN-001"
    title = "no such channel"


class NotFilesError(ChannelError):
    """The algorithm reads a channel in another input mode than that of the job.

    It opens files in a channel that is delivered as a stream, or reads a stream from a channel that is delivered as
    files.
    """

    code = "CR-CHN-002"
    title = "wrong input mode for this reader"


class ObjectUnreadableError(ChannelError):
    """An object cannot be opened or read.

    It was deleted or its size changed after the objects were listed, or the permissions do not allow reading it.
    """

    code = "CR-CHN-003"
    title = "object unreadable"


class UnknownFormatError(ChannelError):
    """An object has none of the supported formats: CSV, Parquet, JSON Lines, RecordIO and gzip."""

    code = "CR-CHN-004"
    title = "unknown format"


class CorruptObjectError(ChannelError):
    """An object or stream is damaged or truncated.

    Examples are a truncated gzip file, an incomplete record, and a Parquet file without a footer. Create the object
    again.
    """

    code = "CR-CHN-005"
    title = "object damaged or truncated"


class RowTooLongError(ChannelError):
    """No end of a row was found within the limit that bounds the use of memory.

    The most frequent cause is a quote that is never closed.
    """

    code = "CR-CHN-006"
    title = "row too long"


class PipeTimeoutError(ChannelError):
    """A pipe does not exist, has no writer, or delivered no data for longer than the limit.

    The limit is the setting CLEANROOM_ALGO_PIPE_TIMEOUT_SECONDS. The usual cause is that the previous epoch was not
    read to its end or not closed. The platform delivers the next epoch only after that.
    """

    code = "CR-CHN-007"
    title = "no data in the pipe"


class PipeInUseError(ChannelError):
    """Another reader in this container is already reading the pipe.

    If two readers read one pipe, each gets about half of the bytes, cut at any place, without an error. Read the
    channel in one process, and pass complete batches to the others.
    """

    code = "CR-CHN-008"
    title = "pipe already being read"


class JoinedRowsError(ChannelError):
    """The last row of an object and the first row of the next one arrived as one row.

    The object has no final line break, and the end of its last row cannot be determined. End each object with a line
    break.
    """

    code = "CR-CHN-009"
    title = "rows of two objects joined"


class SpoolLimitError(ChannelError):
    """An object that must be stored temporarily, such as Parquet in a stream, is too large.

    It exceeds the limit, or does not fit on the disk.
    """

    code = "CR-CHN-010"
    title = "object too large to spool"
