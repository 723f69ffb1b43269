"""CR-DAT: data."""

from __future__ import annotations

from cleanroom_algo.contract.exit_codes import ExitCode
from cleanroom_algo.errors.base import CleanroomError


class DataError(CleanroomError):
    """Dividing a channel among ranks, and resuming."""

    exit_code = ExitCode.CONTRACT


class PipeRanksError(DataError):
    """Several ranks of one host would read the same named pipe.

    The platform writes each byte of a channel once per host; readers of one pipe would split its bytes at random.
    """

    code = "CR-DAT-001"
    title = "one pipe, several ranks"


class DataStateError(DataError):
    """A position in the data cannot be taken up.

    Which rows have been read follows from the seed, the epoch, the batch size and the layout; with another of them the
    rest of the epoch would repeat some rows and miss others.
    """

    code = "CR-DAT-002"
    title = "position of another run"
