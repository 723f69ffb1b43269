"""`check`: finds what would fail in the clean room before an image is pushed there."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from cleanroom_algo.cli.options import file_sources, json_option, named_channel, pairs
from cleanroom_algo.cli.output import emit, emit_json, say
from cleanroom_algo.cli.visible import visible
from cleanroom_algo.errors.exit_codes import ExitCode

if TYPE_CHECKING:
    from cleanroom_algo.local.hosts.protocol import Verb


@click.command()
@click.argument("algorithm")
@click.option("--only", type=click.Choice(["train", "serve"]), help="Check only training or only serving.")
@click.option(
    "--channel",
    multiple=True,
    metavar="NAME=PATH",
    help="A channel whose first rows are read; can be given several times.",
)
@click.option(
    "--hyperparameter",
    multiple=True,
    metavar="NAME=VALUE",
    help="A hyperparameter of the request; can be given several times.",
)
@click.option("--environment", multiple=True, metavar="NAME=VALUE", help="An environment variable of the containers.")
@click.option("--no-start", is_flag=True, help="Only read files; do not run the algorithm.")
@json_option
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
) -> None:
    r"""Check whether ALGORITHM, a file, a folder or an image, would fail in the clean room.

    The command reads the Python files, imports the algorithm, and checks its schema, its hyperparameters and the first
    rows of the channels. For an image, it checks the configuration. Then it starts `train` and `serve` with an empty
    /opt/ml and without a network. The exit status is 3 if there are errors.

    \b
    Examples:
      cleanroom-algo check my_algorithm.py --channel train=data/
      cleanroom-algo check flight-delay:latest --only serve --json
    """
    from cleanroom_algo.local.images.check import Asked, check

    asked = Asked(
        start=not no_start,
        only=only,
        channels=file_sources([named_channel(word, "train") for word in channel]),
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
