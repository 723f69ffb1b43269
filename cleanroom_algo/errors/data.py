"""CR-DAT: data."""

from __future__ import annotations

from cleanroom_algo.errors.base import CleanroomError
from cleanroom_algo.errors.exit_codes import ExitCode


class DataError(CleanroomError):
    """The division of a channel among ranks."""

    exit_code = ExitCode.CONTRACT


class PipeReaderLostError(DataError):
    """A rank that shares a pipe with other ranks of its host ended in the middle of an epoch.

    The first rank of a host reads the pipe and passes the rows to the others. None of them can continue without the
    others. Look for the cause in the log of the rank that ended.
    """

    code = "CR-DAT-003"
    title = "rank that shared the pipe ended"


class ForeignLoaderError(DataError):
    """The worker processes of a DataLoader cannot iterate over this dataset.

    All ranks must take the same number of steps, and worker processes cannot agree on it for their ranks. A pipe can
    have only one reader. A forked process has none of the decoding threads and would wait for them forever. Use
    `ChannelDataset(workers=...)` instead: it starts new worker processes, and the ranks agree on their steps.
    """

    code = "CR-DAT-004"
    title = "DataLoader workers not supported"


class ObjectsDifferError(DataError):
    """Ranks that divide the objects of a channel have listed different objects.

    The list decides which rank reads which rows. With different lists, some rows would be read twice and others never.
    The usual cause is that an object was deleted, added or truncated while the ranks were starting.
    """

    code = "CR-DAT-005"
    title = "ranks see different objects"


class PipeCutShortError(DataError):
    """The pipes of a channel delivered fewer rows than expected.

    The end of a pipe is the end of the epoch. If the writer of a pipe dies between two rows, the end looks the same,
    and the remaining rows would be missing without an error. Therefore, rows are counted: with FullyReplicated, every
    host must get the same number of rows, and every epoch must have as many rows as the previous one.
    """

    code = "CR-DAT-007"
    title = "pipe ended early"


class LoaderLostError(DataError):
    """A loader process of a rank ended in the middle of an epoch.

    The kernel kills processes without a message if memory runs out. Each loader process needs memory for the libraries
    and for the blocks that it decodes. The rows that it was decoding are lost, so the rank cannot continue. Use fewer
    loader workers, or an instance type with more memory.
    """

    code = "CR-DAT-006"
    title = "loader process ended"
    exit_code = ExitCode.ALGORITHM_FAILED
