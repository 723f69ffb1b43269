"""`deploy request`: prints a local job as requests for AWS."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Literal

import click

from cleanroom_algo.cli.options import home_option, json_option
from cleanroom_algo.cli.output import emit, emit_json
from cleanroom_algo.cli.rooms import open_room
from cleanroom_algo.local.resources import records


@click.command()
@click.argument("name")
@click.option("--form", type=click.Choice(["boto3", "cli"]), help="Print only this form. Defaults to both.")
@json_option
@home_option
def command(name: str, form: Literal["boto3", "cli"] | None, as_json: bool, home: Path | None) -> None:
    r"""Print the requests that repeat a local job on AWS, with boto3 and with the aws CLI.

    NAME is a name or ARN of a trained model, an inference job or an export job, with `:VERSION` behind it for one
    version. What only AWS knows, such as ARNs, is read from environment variables, which the output names.

    \b
    Examples:
      cleanroom-algo deploy request my-algorithm
      cleanroom-algo deploy request my-algorithm --form boto3 > train_on_aws.py
    """
    from cleanroom_algo.local.deploy.api_calls import job_call
    from cleanroom_algo.local.deploy.placeholders import resolved
    from cleanroom_algo.local.deploy.scripts import python_script, shell_script, unknown_values

    with open_room(home) as room:
        found = records.find(room.store, name, (records.MODEL, records.INFERENCE, records.EXPORT))
        call = job_call(room.store, found)
    if as_json:
        params = resolved(call.params, lambda each: f"<{each.name}>", "".join)
        values = [asdict(each) for each in unknown_values([call])]
        emit_json({"operation": call.operation, "parameters": params, "placeholders": values})
        return
    about = f"Repeats {call.about} of the local clean room on AWS."
    texts = {"boto3": python_script([call], about, outputs={}), "cli": shell_script([call])}
    emit("\n".join(text for each, text in texts.items() if form in (None, each)).removesuffix("\n"))
