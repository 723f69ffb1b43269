"""CR-CHN: channels."""

from __future__ import annotations

from cleanroom_algo.errors.base import CleanroomError
from cleanroom_algo.errors.exit_codes import ExitCode


class ChannelError(CleanroomError):
    """Bytes, formats and streams of a channel."""

    exit_code = ExitCode.CONTRACT


class ChannelMissingError(ChannelError):
    """A channel that the algorithm asks for is not among the job's channels, or has no directory."""

    code = "CR-CHN-001"
    title = "no such channel"


class NotFilesError(ChannelError):
    """Files were asked of a channel that is delivered as a stream, or the other way round."""

    code = "CR-CHN-002"
    title = "wrong input mode for this reader"


class ObjectUnreadableError(ChannelError):
    """An object cannot be opened or read: it vanished after it was listed, changed its size, or is not readable."""

    code = "CR-CHN-003"
    title = "object unreadable"


class UnknownFormatError(ChannelError):
    """The bytes of an object are in none of the formats that are read: CSV, Parquet, JSON Lines, RecordIO, gzip."""

    code = "CR-CHN-004"
    title = "unknown format"


class CorruptObjectError(ChannelError):
    """An object or stream is cut short or damaged: a truncated gzip, half a record, a Parquet file without footer."""

    code = "CR-CHN-005"
    title = "object damaged or cut short"


class RowTooLongError(ChannelError):
    """No end of a row was found within the bound that keeps memory flat; often a quote that is never closed."""

    code = "CR-CHN-006"
    title = "row too long"


class PipeTimeoutError(ChannelError):
    """A pipe did not appear, nobody began to write into it, or it stayed silent longer than the limit.

    The limit is the setting CLEANROOM_ALGO_PIPE_TIMEOUT_SECONDS. The usual cause is an epoch that the platform does not
    serve because the one before was not read to its end or closed.
    """

    code = "CR-CHN-007"
    title = "no data in the pipe"


class PipeInUseError(ChannelError):
    """A second reader asked for a pipe that another one of this container is reading.

    Two readers of one pipe each get about half of the bytes, cut anywhere, and no error. One process reads the channel
    and hands whole batches to the others.
    """

    code = "CR-CHN-008"
    title = "pipe already being read"


class JoinedRowsError(ChannelError):
    """Two objects of a stream ran together: one has no final line break, and where its row ends cannot be proven."""

    code = "CR-CHN-009"
    title = "rows of two objects ran together"


class SpoolLimitError(ChannelError):
    """An object that must be spooled (Parquet in a stream) does not fit into the bound or onto the disk."""

    code = "CR-CHN-010"
    title = "object too large to spool"
