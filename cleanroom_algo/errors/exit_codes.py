"""Exit statuses of every program of the project."""

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit statuses of the programs; a failure never exits with 0.

    The platform distinguishes two: zero is Completed, anything else is Failed (SageMaker developer guide, "How Amazon
    SageMaker signals algorithm success and failure"). The other distinctions are for people and scripts.
    """

    OK = 0
    ALGORITHM_FAILED = 1
    """The algorithm's own code raised, or the job that ran it failed."""
    USAGE = 2
    """Wrong command-line usage (the convention of click and argparse)."""
    CONTRACT = 3
    """The input breaks the contract: a request, a schema, a configuration file, the data."""
    NOT_EMULATED = 4
    """The request is valid, but this tool does not emulate it."""
    INTERNAL = 5
    """A defect of this project."""
    INTERRUPTED = 130
    """Ctrl-C: 128 + SIGINT."""
    BROKEN_PIPE = 141
    """The reader of the output closed the pipe, as `head` does: 128 + SIGPIPE."""
    STOPPED = 143
    """Stopped by SIGTERM: 128 + SIGTERM."""
