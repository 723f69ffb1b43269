"""`infer`: an inference job, from a literal request or from a few options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cleanroom_algo.cli.options import channel_sources, home_option, json_option, pairs, request_file
from cleanroom_algo.cli.output import emit_json, fields, next_commands, say
from cleanroom_algo.cli.rooms import follow, open_room
from cleanroom_algo.cli.run import report
from cleanroom_algo.contract.sizes import format_bytes
from cleanroom_algo.errors import UsageError
from cleanroom_algo.local.resources import records

if TYPE_CHECKING:
    from cleanroom_algo.local.objects.listing import Source
    from cleanroom_algo.local.room import Room
    from cleanroom_algo.local.setup.calls import JobCall


@click.command()
@click.argument("model", required=False)
@click.option("--request", type=click.Path(path_type=Path), help="A file with the literal request, as JSON.")
@click.option("--channel", metavar="PATH", help="The folder, file or s3:// URI to predict from; NAME=PATH works, too.")
@click.option(
    "--algorithm", metavar="PATH", help="Predict with this file, folder or image; the training one's if left."
)
@click.option("--name", help="The job's name; after the model unless given.")
@click.option("--instances", type=click.IntRange(1, 10), default=1, show_default=True, help="How many hosts predict.")
@click.option("--instance-type", default="ml.m5.2xlarge", show_default=True, help="As in the request.")
@click.option("--accept", help="Content type of the predictions; the algorithm's choice unless given.")
@click.option("--max-payload-mb", type=click.IntRange(1, 100), help="The largest request to a container.")
@click.option("--environment", multiple=True, metavar="NAME=VALUE", help="A variable of the containers.")
@click.option("--quiet", is_flag=True, help="Do not show what the containers write; it is in `logs` in any case.")
@json_option
@home_option
@click.pass_context
def command(context: click.Context, /, as_json: bool, home: Path | None, quiet: bool, **words: Any) -> None:
    r"""Predict with MODEL (a name or ARN, `:VERSION` behind it for one version), or as a request file asks.

    \b
    Examples:
      cleanroom-algo infer my-algorithm --channel data/
      cleanroom-algo infer my-algorithm:1f0c --channel data/ --instances 2
      cleanroom-algo infer --request inference.json
    """
    from cleanroom_algo.local.client import start
    from cleanroom_algo.local.results import InferenceJob, JobFailed, check_ended_well

    with open_room(home) as room:
        record = follow(room, start(room, _call(room, words)), verbose=not quiet, as_json=as_json)
        job = InferenceJob(record, room.workspace)
    if not as_json:
        for each in job.warnings:
            say(f"warning: {each}")
    outputs = job.outputs
    try:
        check_ended_well(record)
    except JobFailed as failed:
        beside = {"trainedModelInferenceJob": records.document(record), "outputs": outputs, "warnings": job.warnings}
        report(failed.error, as_json, beside)
        if not as_json:
            say(f"  log       cleanroom-algo logs {record.name}")
        if outputs and not as_json:
            say("\n            ".join(["\n  outputs   of the objects that were answered whole:", *outputs]))
        context.exit(failed.exit_code)
    result = job.document()
    if as_json:
        emit_json(result)
        return
    fields(
        {
            "job": result["name"],
            "status": result["status"],
            "rows": result["rows"],
            "size": format_bytes(result["bytes"] or 0),
            "outputs": "\n         ".join(outputs) or None,
        }
    )
    next_commands(f"head {outputs[0]}" if outputs else f"cleanroom-algo logs {record.name}")


def _call(room: Room, words: dict[str, Any]) -> JobCall:
    from cleanroom_algo.local.setup.calls import INFER, inference_call, literal_call

    channels = _channel(words["channel"])
    if words["request"] is not None:
        return literal_call(room.caller, INFER, request_file(words["request"]), words["algorithm"], channels)
    if words["model"] is None or not channels:
        raise UsageError(
            f"nothing says what to predict: {'a channel' if words['model'] else 'a model'} is missing",
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


def _channel(text: str | None) -> dict[str, Source]:
    if text is None:
        return {}
    is_pair = "=" in text and not text.startswith("s3://") and not Path(text).exists()
    return channel_sources([text if is_pair else f"inference={text}"])
