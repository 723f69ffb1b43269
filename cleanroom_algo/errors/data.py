"""CR-DAT: data."""

from __future__ import annotations

from cleanroom_algo.errors.base import CleanroomError
from cleanroom_algo.errors.exit_codes import ExitCode


class DataError(CleanroomError):
    """Dividing a channel among ranks."""

    exit_code = ExitCode.CONTRACT


class PipeReaderLostError(DataError):
    """A rank that shares a pipe with others of its host ended in the middle of an epoch.

    The first rank of a host reads the pipe and hands the rows to the others; none can go on without the others.
    """

    code = "CR-DAT-003"
    title = "a rank that shared the pipe is gone"


class ForeignLoaderError(DataError):
    """A DataLoader's own processes iterate the dataset where they cannot.

    Ranks take equal steps because they agree on them, which loader processes cannot do for their ranks; and a pipe has
    one reader. A forked process has none of the threads that decode, and would wait for them forever.
    `ChannelDataset(workers=...)` starts loader processes anew, and the rank does the agreeing.
    """

    code = "CR-DAT-004"
    title = "loader processes that cannot read"


class ObjectsDifferError(DataError):
    """Ranks that divide the objects of a channel among them have listed different ones.

    Who reads which rows follows from the list, so that with two lists some rows would be read twice and others never.
    An object that was removed, added or cut short while the ranks were starting is the usual cause.
    """

    code = "CR-DAT-005"
    title = "ranks see different objects"


class PipeCutShortError(DataError):
    """The pipes of a channel did not deliver as many rows as they should have.

    A pipe tells the end of an epoch by its end. Where what feeds it dies between two rows, that looks the same, and
    the rest of the epoch would be missing without a word. So the rows are counted: with FullyReplicated every host
    gets all of them, and each epoch has as many as the one before it.
    """

    code = "CR-DAT-007"
    title = "a pipe ended early"


class LoaderLostError(DataError):
    """A loader process of a rank ended in the middle of an epoch.

    A kernel that is short of memory kills processes without a word, and each loader process holds the libraries and
    the blocks that it decodes. What it was about to deliver is lost, so the rank cannot go on.
    """

    code = "CR-DAT-006"
    title = "a loader process is gone"
    exit_code = ExitCode.ALGORITHM_FAILED
