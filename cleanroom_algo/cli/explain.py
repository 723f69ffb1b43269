"""`explain`: explains an error code, the settings or the exit statuses."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import click

from cleanroom_algo.cli.options import json_option
from cleanroom_algo.cli.output import emit, emit_json, table
from cleanroom_algo.contract.suggestions import did_you_mean
from cleanroom_algo.errors import CleanroomError, UnknownTopicError, all_errors
from cleanroom_algo.errors.exit_codes import ExitCode
from cleanroom_algo.errors.status_codes import STATUS_CODES

EXIT_STATUSES: dict[ExitCode, str] = {
    ExitCode.OK: "success",
    ExitCode.ALGORITHM_FAILED: "the algorithm or its job failed",
    ExitCode.USAGE: "wrong command-line usage",
    ExitCode.CONTRACT: "the input breaks the contract: a request, a schema, a hyperparameter, the data",
    ExitCode.NOT_EMULATED: "the request is valid, but the local clean room does not emulate it",
    ExitCode.INTERNAL: "a bug in cleanroom-algo; a report is written",
    ExitCode.INTERRUPTED: "interrupted with Ctrl-C",
    ExitCode.BROKEN_PIPE: "the reader of the output closed the pipe",
    ExitCode.STOPPED: "stopped by SIGTERM",
}
TOPICS = ("settings", "exit-status", "codes", *STATUS_CODES)


@click.command()
@click.argument("topic", default="codes")
@json_option
def command(topic: str, as_json: bool) -> None:
    r"""Explain a code (CR-CHN-005, AlgorithmError), the `settings`, the `exit-status` table, or list all `codes`.

    \b
    Examples:
      cleanroom-algo explain CR-CON-002
      cleanroom-algo explain settings
    """
    if topic == "codes":
        _table(as_json, ("code", "title", "exit status"), [(k.code, k.title, int(k.exit_code)) for k in _errors()])
    elif topic == "settings":
        _table(as_json, ("variable", "default", "meaning"), setting_rows())
    elif topic == "exit-status":
        _table(as_json, ("status", "meaning"), [(int(code), text) for code, text in EXIT_STATUSES.items()])
    elif topic in STATUS_CODES:
        _explain_status(topic, as_json)
    else:
        _explain(topic, as_json)


def setting_rows() -> list[tuple[str, str, str]]:
    """Return variable, default and meaning of every setting."""
    from cleanroom_algo.contract.settings import Settings, variable

    return [
        (variable(name), "" if field.default is None else str(field.default), field.description or "")
        for name, field in Settings.model_fields.items()
    ]


def explanation(kind: type[CleanroomError]) -> str:
    """Return the explanation of an error: the docstring of its class."""
    return inspect.cleandoc(kind.__doc__ or "")


def _explain(topic: str, as_json: bool) -> None:
    known = all_errors()
    kind = known.get(topic.upper())
    if kind is None:
        raise UnknownTopicError(
            f"there is no error code or topic {topic!r}{did_you_mean(topic, [*known, *TOPICS])}",
            expected=f"an error code (CR-AREA-NNN) or one of {', '.join(TOPICS)}",
            fix="cleanroom-algo explain codes",
        )
    if as_json:
        exit_status = int(kind.exit_code)
        emit_json(
            {"code": kind.code, "title": kind.title, "exit_status": exit_status, "explanation": explanation(kind)}
        )
        return
    emit(f"{kind.code}  {kind.title}\n")
    emit(explanation(kind))
    emit(f"\nExit status {int(kind.exit_code)}: {EXIT_STATUSES[kind.exit_code]}.")


def _explain_status(code: str, as_json: bool) -> None:
    if as_json:
        emit_json({"code": code, "explanation": STATUS_CODES[code]})
    else:
        emit(f"{code}  status code of a failed job\n\n{STATUS_CODES[code]}")


def _errors() -> list[type[CleanroomError]]:
    return list(all_errors().values())


def _table(as_json: bool, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    if as_json:
        emit_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        table(columns, rows)
