"""`check`: finds what would fail in the clean room before an image is pushed there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cleanroom_algo.cli.options import (
    RoomChannel,
    channel_sources,
    environment_option,
    home_option,
    in_room,
    json_option,
    named_channel,
    pairs,
)
from cleanroom_algo.cli.output import emit, emit_json, say
from cleanroom_algo.cli.rooms import open_room, undone
from cleanroom_algo.cli.visible import visible
from cleanroom_algo.errors.exit_codes import ExitCode

if TYPE_CHECKING:
    from cleanroom_algo.local.hosts.protocol import Verb
    from cleanroom_algo.local.objects.reference import ObjectRef


@click.command()
@click.argument("algorithm")
@click.option("--only", type=click.Choice(["train", "serve"]), help="Check only training or only serving.")
@click.option(
    "--channel",
    multiple=True,
    metavar="NAME=PATH",
    help="A channel whose first rows are read, a folder, a file or room:CHANNEL; can be given several times.",
)
@click.option(
    "--hyperparameter",
    multiple=True,
    metavar="NAME=VALUE",
    help="A hyperparameter of the request; can be given several times.",
)
@environment_option
@click.option("--no-start", is_flag=True, help="Only read files; do not run the algorithm.")
@json_option
@home_option
@click.pass_context
def command(
    context: click.Context,
    algorithm: str,
    only: Verb | None,
    channel: tuple[str, ...],
    hyperparameter: tuple[str, ...],
    environment: tuple[str, ...],
    no_start: bool,
    as_json: bool,
    home: Path | None,
) -> None:
    r"""Check whether ALGORITHM, a file, a folder or an image, would fail in the clean room.

    The command reads the Python files, imports the algorithm, and checks its schema, its hyperparameters and the first
    rows of the channels. For an image, it checks the configuration. Then it starts `train` and `serve` with an empty
    /opt/ml and without a network. The exit status is 3 if there are errors.

    \b
    Examples:
      cleanroom-algo check my_algorithm.py --channel train=data/
      cleanroom-algo check my_algorithm.py --channel train=room:all
      cleanroom-algo check flight-delay:latest --only serve --json
    """
    from cleanroom_algo.local.images.check import Asked, check

    asked = Asked(
        start=not no_start,
        only=only,
        channels=_channels(channel, algorithm, home),
        hyperparameters=pairs(hyperparameter, "--hyperparameter"),
        environment=pairs(environment, "--environment"),
    )
    findings = check(algorithm, asked)
    errors = [finding for finding in findings if finding.severity == "error"]
    if as_json:
        emit_json({"findings": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            color = "red" if finding.severity == "error" else "yellow"
            severity = click.style(finding.severity, fg=color, bold=True)
            click.echo(f"{severity}  {finding.name}  {visible(finding.where)}")
            what, *more = finding.what.splitlines()
            emit("\n".join([f"  what  {what}", *(f"        {line}" for line in more), f"  fix   {finding.fix}"]))
        say(f"{len(errors)} error(s), {len(findings) - len(errors)} warning(s)")
    if errors:
        context.exit(ExitCode.CONTRACT)


def _channels(words: Sequence[str], algorithm: str, home: Path | None) -> dict[str, tuple[ObjectRef, ...]]:
    """Return the objects of channels; of those of the room as `train` would use them with the algorithm."""
    from cleanroom_algo.local.client import start
    from cleanroom_algo.local.objects.listing import objects_of
    from cleanroom_algo.local.planning.inputs import channel_objects, source_objects
    from cleanroom_algo.local.resources.store import Record
    from cleanroom_algo.local.setup.calls import training_call

    named = channel_sources(pairs([named_channel(word, "train") for word in words], "--channel"))
    files = {name: each for name, each in named.items() if not isinstance(each, RoomChannel)}
    if len(files) == len(named):
        return {name: objects_of(each) for name, each in files.items()}
    with open_room(home) as room:
        channels = in_room(room, named)
        with undone(room):
            start(room, training_call(room.caller, algorithm, channels))
        return {
            name: channel_objects(room.workspace, each)
            if isinstance(each, Record)
            else source_objects(room.workspace.settings, each)
            for name, each in channels.items()
        }
