"""CR-CLI: commands."""

from __future__ import annotations

from typing import Final, Self

from cleanroom_algo.errors.base import CleanroomError
from cleanroom_algo.errors.exit_codes import ExitCode

_LOCAL: Final = ("boto3", "botocore", "duckdb", "platformdirs", "psutil", "rich", "sqlglot", "waitress")
_EXTRAS: Final = {**dict.fromkeys(_LOCAL, "local"), "prometheus_client": "metrics"}
"""The extra that installs a module."""


class CliError(CleanroomError):
    """The command line."""

    exit_code = ExitCode.USAGE


class UsageError(CliError):
    """A command, option or argument is unknown, missing or not valid."""

    code = "CR-CLI-001"
    title = "invalid command line"


class UnknownTopicError(CliError):
    """`cleanroom-algo explain` does not know this topic.

    It explains the codes of errors and of failed jobs, `settings` and `exit-status`.
    """

    code = "CR-CLI-002"
    title = "unknown topic"


class InputFileError(CliError):
    """A file or folder on the command line cannot be used: it is missing, unreadable or not a JSON object.

    A request file contains the parameters of one API operation as JSON, as for `aws cleanroomsml ... --cli-input-json`
    and boto3.
    """

    code = "CR-CLI-003"
    title = "input file not usable"


class OutputUnwritableError(CliError):
    """Standard output, or a file or folder that was named for output, cannot be written.

    The disk is full, the folder does not exist, or you may not write there.
    """

    code = "CR-CLI-008"
    title = "output cannot be written"


class AlgorithmImportError(CliError):
    """The algorithm's own file raised an exception while it was imported.

    Its classes cannot be read until the import succeeds. Correct the code that the error names.
    """

    code = "CR-CLI-004"
    title = "algorithm cannot be imported"
    exit_code = ExitCode.ALGORITHM_FAILED


class ExtraMissingError(CliError):
    """A command needs a package that is not installed.

    The base installation contains only what an image needs. `pip install 'cleanroom-algo[local]'` adds the local clean
    room.
    """

    code = "CR-CLI-005"
    title = "extra not installed"

    @classmethod
    def of(cls, error: ModuleNotFoundError) -> Self | None:
        """Return the error that names the extra of a missing module; None if no extra installs it."""
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            return None
        return cls(
            f"{error.name} is not installed",
            expected=f"cleanroom-algo with its extra {extra!r}",
            fix=f"pip install 'cleanroom-algo[{extra}]'",
        )


class NoSuchRecordError(CliError):
    """The local clean room has no model, version, channel or job with this name or ARN."""

    code = "CR-CLI-007"
    title = "not found in the clean room"


class InternalError(CliError):
    """This is a bug in cleanroom-algo. A report with the traceback was written to the file that the error names."""

    code = "CR-CLI-006"
    title = "bug in cleanroom-algo"
    exit_code = ExitCode.INTERNAL


class AuditError(CliError):
    """A model or a job cannot be audited on the given rows.

    An attack needs rows that the model was trained on and rows of the same kind that it was not trained on, and
    predictions that say how well each row is predicted. Planted canaries need one column with a text of their format
    in each row.
    """

    exit_code = ExitCode.CONTRACT
    code = "CR-CLI-009"
    title = "audit not possible"
