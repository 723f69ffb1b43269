"""`train`: runs a training job, from a literal request or from a few options."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cleanroom_algo.cli.debugging import debugged
from cleanroom_algo.cli.options import home_option, json_option
from cleanroom_algo.cli.output import command_line, emit_json, fields, next_commands, say
from cleanroom_algo.cli.quick import refuse_others, say_few_objects, training_call, training_options, training_words
from cleanroom_algo.cli.rooms import follow, open_room, resuming_command
from cleanroom_algo.cli.run import Terminated, report
from cleanroom_algo.contract.sizes import format_bytes
from cleanroom_algo.local.resources import records

if TYPE_CHECKING:
    from cleanroom_algo.local.resources.store import Record
    from cleanroom_algo.local.resources.workspace import Workspace
    from cleanroom_algo.local.room import Room


@click.command()
@training_options
@click.option(
    "--resume",
    metavar="NAME[:VERSION]",
    help="Continue a job that was interrupted, cancelled or failed, after its last complete epoch.",
)
@click.option(
    "--debug",
    is_flag=True,
    help="Train in this process and terminal, so that breakpoint() works and tracebacks are complete. Keeps no model.",
)
@click.option("--print-request", is_flag=True, help="Print the create_trained_model request, and start nothing.")
@click.option("--quiet", is_flag=True, help="Do not show the output of the containers; `logs` still has it.")
@json_option
@home_option
@click.pass_context
def command(
    context: click.Context,
    /,
    as_json: bool,
    home: Path | None,
    quiet: bool,
    resume: str | None,
    debug: bool,
    print_request: bool,
    **_: Any,
) -> None:
    r"""Train ALGORITHM (a Python file, a folder with algorithm.py, or an image), or run a request from a file.

    Defaults of the options come from the table [tool.cleanroom-algo] in the nearest pyproject.toml that has one.

    \b
    Examples:
      cleanroom-algo train my_algorithm.py --channel train=data/ --hosts 2
      cleanroom-algo train my_algorithm.py --channel train=data/ --hyperparameter epochs=5
      cleanroom-algo train my_algorithm.py --channel train=more/ --base-model my-algorithm
      cleanroom-algo train --request request.json --algorithm my_algorithm.py --channel train=data/
      cleanroom-algo train --resume my-algorithm
      cleanroom-algo train my_algorithm.py --channel train=data/ --debug
    """
    from cleanroom_algo.local.client import start
    from cleanroom_algo.local.results import JobFailed, TrainedModel, check_ended_well
    from cleanroom_algo.local.setup.calls import resuming_call

    words = training_words(context) if resume is None else None
    if resume is not None:
        refuse_others(context, "resume")
    if debug:
        context.exit(debugged(home, words, beside={"--resume": resume, "--json": as_json, "--quiet": quiet}))
    followed: list[tuple[Workspace, Record]] = []
    with _hint_at_resuming(followed), open_room(home) as room:
        if words is None:
            call = resuming_call(room.caller, records.find(room.store, resume or "", (records.MODEL,), newest=True))
        else:
            call = training_call(room, words)
        if print_request:
            emit_json(call.params)
            return
        started = start(room, call)
        if words is not None and words.notes:
            say_few_objects(room, started)
        followed.append((room.workspace, started))
        record = follow(room, started, verbose=not quiet, as_json=as_json)
        again = f"{record.name}:{record.version[:8]}" if record.version else record.name
        try:
            check_ended_well(record, room.workspace)
        except JobFailed as failed:
            report(failed.error, as_json, {"trainedModel": records.document(record)})
            if not as_json:
                _say_more(room, record, again)
            room.forget_unstarted(record)
            context.exit(failed.exit_code)
        result = TrainedModel(record, room.workspace).document()
    if as_json:
        emit_json(result)
        return
    _show(result)
    next_commands(
        command_line("show", again),
        command_line("infer", again, "NEW_ROWS.csv", "--beside"),
        command_line("ui"),
    )


def _say_more(room: Room, record: Record, name: str) -> None:
    """Name the commands for the log of a failed job and for resuming it; a job that did not start is not kept."""
    if record.private.get("started", True):
        say(f"  log       {command_line('logs', name)}")
        if (command := resuming_command(room.workspace, record)) is not None:
            say(f"  resume    {command}")


@contextmanager
def _hint_at_resuming(followed: Sequence[tuple[Workspace, Record]]) -> Iterator[None]:
    """Say how to continue a job that was interrupted; only when it has ended it is known whether it left a checkpoint.

    Args:
        followed: the job, once it has started.
    """
    try:
        yield
    except (KeyboardInterrupt, Terminated):
        for workspace, record in followed:
            if (command := resuming_command(workspace, record)) is not None:
                say(f"To continue after the last complete epoch: {command}")
        raise


def _show(result: dict[str, Any]) -> None:
    cap = result.get("maxArtifactBytes")
    size = f"{format_bytes(result['rawBytes'])}, packed {format_bytes(result['packedBytes'])}"
    fields(
        {
            "model": result["name"],
            "version": result.get("versionIdentifier", "base"),
            "status": result["status"],
            **({"rows": result["rows"]} if result.get("rows") else {}),
            **({"steps": result["steps"]} if result.get("steps") else {}),
            **{name: f"{value:.6g}" for name, value in result.get("metrics", {}).items()},
            "size": f"{size}, cap {format_bytes(cap) if cap else 'none'}",
            "artifacts": result["artifacts"],
        }
    )
