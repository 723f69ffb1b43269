"""CR-CLI: commands."""

from __future__ import annotations

from typing import Final, Self

from cleanroom_algo.errors.base import CleanroomError
from cleanroom_algo.errors.exit_codes import ExitCode

_LOCAL: Final = ("boto3", "botocore", "duckdb", "platformdirs", "psutil", "rich", "sqlglot", "waitress")
_EXTRAS: Final = {**dict.fromkeys(_LOCAL, "local"), "prometheus_client": "metrics"}
"""The extra that brings a module."""


class CliError(CleanroomError):
    """Calling the commands."""

    exit_code = ExitCode.USAGE


class UsageError(CliError):
    """A command was called with words that it does not know, or without ones that it needs."""

    code = "CR-CLI-001"
    title = "command not understood"


class UnknownTopicError(CliError):
    """`cleanroom-algo explain` knows the codes of errors and of failed jobs, `settings` and `exit-status`."""

    code = "CR-CLI-002"
    title = "nothing to explain"


class InputFileError(CliError):
    """A file or folder that the command line names cannot be used: it is missing, unreadable or no JSON object.

    A request file holds the parameters of one API operation as JSON, as `aws cleanroomsml ... --cli-input-json` and
    boto3 take them.
    """

    code = "CR-CLI-003"
    title = "file not usable"


class OutputUnwritableError(CliError):
    """Standard output takes no more: the disk behind it is full, or the device refuses it."""

    code = "CR-CLI-008"
    title = "output cannot be written"


class AlgorithmImportError(CliError):
    """The algorithm's own file raised while it was imported, so nothing can be read from its classes."""

    code = "CR-CLI-004"
    title = "algorithm does not import"
    exit_code = ExitCode.ALGORITHM_FAILED


class ExtraMissingError(CliError):
    """A command needs a part that is not installed: the base installation is only what an image needs.

    `pip install 'cleanroom-algo[local]'` adds the local clean room.
    """

    code = "CR-CLI-005"
    title = "extra not installed"

    @classmethod
    def of(cls, error: ModuleNotFoundError) -> Self | None:
        """Return the error that names the extra in which a missing module comes; None if it comes in none."""
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            return None
        return cls(
            f"{error.name} is not installed",
            expected=f"cleanroom-algo with its extra {extra!r}",
            fix=f"pip install 'cleanroom-algo[{extra}]'",
        )


class NoSuchRecordError(CliError):
    """No model, version, channel or job of the room has the name or ARN that the command line gives."""

    code = "CR-CLI-007"
    title = "not in the room"


class InternalError(CliError):
    """A bug in cleanroom-algo itself. A report with the traceback was written to the named file."""

    code = "CR-CLI-006"
    title = "bug in cleanroom-algo"
    exit_code = ExitCode.INTERNAL
