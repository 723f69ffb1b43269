"""The end of a command: the only place where errors become text, JSON and an exit status."""

from __future__ import annotations

import os
import platform
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click
from click.shell_completion import shell_complete

from cleanroom_algo.cli.output import emit_json, say
from cleanroom_algo.contract.sizes import DISK_FULL
from cleanroom_algo.errors import OutputUnwritableError
from cleanroom_algo.errors.exit_codes import ExitCode

if TYPE_CHECKING:
    from cleanroom_algo.errors import CleanroomError

COMPLETE_VARIABLE = "_CLEANROOM_ALGO_COMPLETE"
"""The shell sets it when it requests completions."""


class Terminated(BaseException):
    """SIGTERM arrived: unwind as after Ctrl-C, so that jobs are stopped and nothing outlives the command."""


def run(argv: list[str]) -> int:
    """Run the command line and return its exit status, which is 0 only for success."""
    from cleanroom_algo.cli.verbs import root

    if instruction := os.environ.get(COMPLETE_VARIABLE):
        return shell_complete(root, {}, "cleanroom-algo", COMPLETE_VARIABLE, instruction)
    as_json = "--json" in argv
    try:
        with _terminable():
            # Not `root.main`, which would choose its own exit statuses for a closed stdout and for Ctrl-C.
            with root.make_context("cleanroom-algo", list(argv)) as context:
                root.invoke(context)
            sys.stdout.flush()
    except click.exceptions.Exit as end:
        return end.exit_code
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else ExitCode.OK if end.code is None else ExitCode.USAGE
    except (KeyboardInterrupt, click.Abort):
        say("interrupted")
        return ExitCode.INTERRUPTED
    except Terminated:
        say("stopped")
        return ExitCode.STOPPED
    except BrokenPipeError:
        # The reader of the output has closed the pipe; Python would report it again when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.BROKEN_PIPE
    except Exception as error:  # every other exception becomes an error with a code
        coded = _coded(error, argv)
        is_stdout = isinstance(coded, OutputUnwritableError) and coded is not error  # which takes no JSON either
        return report(coded, as_json and not is_stdout)
    return ExitCode.OK


@contextmanager
def _terminable() -> Iterator[None]:
    def terminate(_signal: int, _frame: FrameType | None) -> None:
        raise Terminated

    try:
        before = signal.signal(signal.SIGTERM, terminate)
    except ValueError:  # not in the main thread: the caller of main() keeps its own handlers
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def report(error: CleanroomError, as_json: bool, beside: Mapping[str, object] | None = None) -> int:
    """Show an error, as text on stderr or as JSON on stdout, and return its exit status.

    Args:
        error: the error.
        as_json: whether --json was given.
        beside: what the JSON document contains beside the error.
    """
    if as_json:
        emit_json({"error": error.to_dict(), **(beside or {})})
    else:
        say(str(error))
        say(f"  more      cleanroom-algo explain {error.code}")
    return error.exit_code


def _coded(error: Exception, argv: Sequence[str]) -> CleanroomError:
    from cleanroom_algo import errors

    if isinstance(error, errors.CleanroomError):
        return error
    if isinstance(error, click.ClickException):
        return _usage(error)
    if isinstance(error, ModuleNotFoundError) and (missing := errors.ExtraMissingError.of(error)) is not None:
        return missing
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return OutputUnwritableError(
            f"the output cannot be written: {error.strerror}",
            expected="space on the disk",
            fix="free disk space, or write to another disk",
        )
    path = _write_report(error, argv)
    last = traceback.extract_tb(error.__traceback__)[-1]
    return errors.InternalError(
        f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno}",
        expected="a result, or an error that explains itself, for every input",
        fix=f"please report it with {path} (read it first, because it contains the traceback)",
    )


def _usage(error: click.ClickException) -> CleanroomError:
    from cleanroom_algo.contract.suggestions import did_you_mean
    from cleanroom_algo.errors import UsageError

    context = error.ctx if isinstance(error, click.UsageError) else None
    command = context.command_path if context else "cleanroom-algo"
    what = error.format_message().rstrip(".")
    if context and isinstance(context.command, click.Group) and "No such command" in what and "did you" not in what:
        what += did_you_mean(what.split("'")[1], context.command.list_commands(context))
    usage = context.get_usage().removeprefix("Usage: ") if context else f"{command} VERB [OPTIONS]"
    return UsageError(what, expected=usage, fix=f"{command} --help")


def _write_report(error: Exception, argv: Sequence[str]) -> Path:
    names = [word.partition("=")[0] for word in argv if word.startswith("-")]  # values may be secrets
    lines = [
        f"cleanroom-algo {_version()}, Python {platform.python_version()}, {platform.platform()}",
        f"verb {argv[0] if argv and not argv[0].startswith('-') else '(none)'}, options {' '.join(names) or '(none)'}",
        "",
        *traceback.format_exception(error),
    ]
    handle, name = tempfile.mkstemp(prefix="cleanroom-algo-report-", suffix=".txt")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write("\n".join(lines))
    return Path(name)


def _version() -> str:
    try:
        return version("cleanroom-algo")
    except PackageNotFoundError:
        return "(not installed)"
