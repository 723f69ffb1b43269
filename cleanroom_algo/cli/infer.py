"""`infer`: runs an inference job, from a literal request or from a few options."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cleanroom_algo.cli.display import SERVER_NOTES
from cleanroom_algo.cli.options import (
    channel_sources,
    environment_option,
    home_option,
    in_room,
    instance_type_option,
    json_option,
    named_channel,
    pairs,
    request_file,
    request_option,
)
from cleanroom_algo.cli.output import command_line, emit, emit_json, fields, next_commands, say, writing
from cleanroom_algo.cli.rooms import follow, open_room
from cleanroom_algo.cli.run import report
from cleanroom_algo.contract.sizes import format_bytes
from cleanroom_algo.errors import UsageError
from cleanroom_algo.local.resources import records

if TYPE_CHECKING:
    from cleanroom_algo.local.objects.listing import Source
    from cleanroom_algo.local.resources.store import Record
    from cleanroom_algo.local.results import InferenceJob
    from cleanroom_algo.local.room import Room
    from cleanroom_algo.local.setup.calls import JobCall


@click.command()
@click.argument("model", required=False)
@click.argument("data", required=False)
@request_option
@click.option(
    "--channel",
    metavar="PATH",
    help="The folder, file or s3:// URI to predict from; NAME=PATH and room:CHANNEL are also possible.",
)
@click.option(
    "--algorithm",
    metavar="PATH",
    help="Predict with this file, folder or image. Defaults to the one that trained the model.",
)
@click.option("--name", help="Name of the job. Defaults to a name based on the model's.")
@click.option("--instances", type=click.IntRange(1, 10), default=1, show_default=True, help="Number of hosts.")
@instance_type_option
@click.option("--accept", help="Content type of the predictions. Defaults to the algorithm's choice.")
@click.option("--max-payload-mb", type=click.IntRange(1, 100), help="Maximum size of a request to a container, in MB.")
@environment_option
@click.option(
    "--output", type=click.Path(path_type=Path), metavar="FOLDER", help="Copy the predictions to this folder."
)
@click.option(
    "--beside", is_flag=True, help="Print each row together with its prediction; with --output, write one table."
)
@click.option("--print-request", is_flag=True, help="Print the literal request, and start nothing.")
@click.option("--verbose", "shown", flag_value="all", help="Show the log of the server, too; `logs` always has it.")
@click.option("--quiet", "shown", flag_value="none", help="Do not show the output of the containers.")
@json_option
@home_option
@click.pass_context
def command(context: click.Context, /, as_json: bool, home: Path | None, shown: str | None, **words: Any) -> None:
    r"""Predict with MODEL, a name or an ARN; add `:VERSION` to select a version. Or run a request from a file.

    DATA is a folder, a file or an s3:// URI, as with --channel. With -, the command reads rows from standard input, and
    writes their predictions to standard output.

    \b
    Examples:
      head -5 data/part-0.csv | cleanroom-algo infer my-algorithm -
      cleanroom-algo infer my-algorithm --channel data/
      cleanroom-algo infer my-algorithm:1f0c --channel data/ --instances 2
      cleanroom-algo infer --request inference.json
    """
    from cleanroom_algo.local.client import start
    from cleanroom_algo.local.results import InferenceJob, JobFailed, check_ended_well

    with open_room(home) as room:
        call = _call(room, words)
        if words["print_request"]:
            emit_json(call.params)
            return
        hidden = SERVER_NOTES if shown is None else None
        record = follow(room, start(room, call), verbose=shown != "none", as_json=as_json, hidden=hidden)
        job = InferenceJob(record, room.workspace)
    if not as_json:
        for each in job.warnings:
            say(f"warning: {each}")
    try:
        check_ended_well(record, room.workspace)
    except JobFailed as failed:
        beside = {
            "trainedModelInferenceJob": records.document(record),
            "outputs": job.outputs,
            "warnings": job.warnings,
        }
        report(failed.error, as_json, beside)
        if not as_json:
            _say_more(job)
        context.exit(failed.exit_code)
    _deliver(job, words, as_json=as_json)


def _say_more(job: InferenceJob) -> None:
    """Name the command for the log of a failed job, and its outputs."""
    say(f"  log       {command_line('logs', job.name)}")
    if job.outputs:
        say("\n            ".join(["\n  outputs   of the objects that were completed:", *job.outputs]))


def _deliver(job: InferenceJob, words: dict[str, Any], *, as_json: bool) -> None:
    written = job.outputs
    if words["output"] is not None:
        written = _put(job, words["output"], beside=words["beside"])
    if as_json:
        emit_json(job.document())
    elif words["data"] == "-" or (words["beside"] and words["output"] is None):
        for content in _contents(job, beside=words["beside"]).values():
            emit(content.decode(errors="replace").removesuffix("\n"))
    else:
        _show(job, written)


def _show(job: InferenceJob, written: list[str]) -> None:
    result = job.document()
    fields(
        {
            "job": result["name"],
            "status": result["status"],
            "rows": result["rows"],
            "size": format_bytes(result["bytes"] or 0),
            "outputs": "\n         ".join(job.outputs) or None,
        }
    )
    next_commands(shlex.join(["head", written[0]]) if written else command_line("logs", job.name))


def _call(room: Room, words: dict[str, Any]) -> JobCall:
    from cleanroom_algo.local.resources.store import Record
    from cleanroom_algo.local.setup.calls import INFER, inference_call, literal_call

    channels = _channel(room, words["data"], words["channel"])
    if words["request"] is not None:
        if any(isinstance(each, Record) for each in channels.values()):
            raise UsageError(
                "--channel room:NAME cannot be combined with --request",
                expected="--request alone, or with a folder for its channel",
                fix="omit --channel",
            )
        files = {name: each for name, each in channels.items() if not isinstance(each, Record)}
        return literal_call(room.caller, INFER, request_file(words["request"]), words["algorithm"], files)
    if words["model"] is None or not channels:
        raise UsageError(
            f"{'a channel' if words['model'] else 'a model'} to predict with is missing",
            expected="cleanroom-algo infer MODEL --channel PATH, or cleanroom-algo infer --request FILE",
            fix="cleanroom-algo infer --help",
        )
    return inference_call(
        room.caller,
        records.find(room.store, words["model"], (records.MODEL,)),
        next(iter(channels.values())),
        algorithm=words["algorithm"],
        environment=pairs(words["environment"], "--environment"),
        **{name: words[name] for name in ("name", "instances", "instance_type", "accept", "max_payload_mb")},
    )


def _channel(room: Room, data: str | None, channel: str | None) -> dict[str, Source | Record]:
    from cleanroom_algo.local.setup.channel_data import channel_source

    if data is not None and channel is not None:
        raise UsageError("both DATA and --channel specify rows", expected="DATA or --channel", fix="omit one of them")
    if data == "-":
        content = sys.stdin.read()
        name = "stdin.jsonl" if content.lstrip().startswith("{") else "stdin.csv"
        return {"inference": channel_source({name: content}, room.workspace.files.frames)}
    text = data or channel
    return (
        {} if text is None else in_room(room, channel_sources(pairs([named_channel(text, "inference")], "--channel")))
    )


def _contents(job: InferenceJob, *, beside: bool) -> dict[str, bytes]:
    """Return the predictions by the names of their files; with `beside`, one table of rows and predictions."""
    if not beside:
        return job.contents()
    table = job.predictions
    if any(kind.is_nested() for kind in table.dtypes):
        return {"predictions.jsonl": table.write_ndjson().encode()}
    return {"predictions.csv": table.write_csv().encode()}


def _put(job: InferenceJob, folder: Path, *, beside: bool) -> list[str]:
    """Write the predictions into a folder; return the paths of the files."""
    paths = []
    for name, content in _contents(job, beside=beside).items():
        path = folder / name
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        say(f"written: {path}")
        paths.append(str(path))
    return paths
