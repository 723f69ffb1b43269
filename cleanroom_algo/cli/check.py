"""`check`: what would fail in the clean room, found before an image is pushed there."""

from __future__ import annotations

from dataclasses import asdict

import click

from cleanroom_algo.cli.options import json_option
from cleanroom_algo.cli.output import emit, emit_json, say
from cleanroom_algo.cli.visible import visible
from cleanroom_algo.errors.exit_codes import ExitCode


@click.command()
@click.argument("algorithm")
@click.option("--no-start", is_flag=True, help="Only look; do not start `train` and `serve`.")
@json_option
@click.pass_context
def command(context: click.Context, algorithm: str, no_start: bool, as_json: bool) -> None:
    r"""Check ALGORITHM, a file, a folder or an image, for what would fail in the clean room.

    Its Python files are read, its image is inspected, and `train` and `serve` are started with an empty /opt/ml and
    without a network. Ends with status 3 if there are errors.

    \b
    Examples:
      cleanroom-algo check my_algorithm.py
      cleanroom-algo check flight-delay:latest --json
    """
    from cleanroom_algo.local.images.check import check

    findings = check(algorithm, start=not no_start)
    errors = [finding for finding in findings if finding.severity == "error"]
    if as_json:
        emit_json({"findings": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            color = "red" if finding.severity == "error" else "yellow"
            severity = click.style(finding.severity, fg=color, bold=True)
            click.echo(f"{severity}  {finding.name}  {visible(finding.where)}")
            emit(f"  what  {finding.what}\n  fix   {finding.fix}")
        say(f"{len(errors)} error(s), {len(findings) - len(errors)} warning(s)")
    if errors:
        context.exit(ExitCode.CONTRACT)
