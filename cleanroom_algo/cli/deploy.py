"""`deploy`: brings a rehearsed algorithm to AWS; each of its commands is a module of `deployment`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import click

from cleanroom_algo.cli.verbs import Verbs

LINES: Final[Mapping[str, str]] = {
    "template": "Write CloudFormation templates, and the boto3 calls that CloudFormation lacks.",
    "push": "Check an image, tag it by digest and version, and push it to a repository.",
    "request": "Print the boto3 and aws CLI requests that repeat a local job on AWS.",
    "compare": "Show what differed between a job on AWS and its rehearsal.",
    "iam": "Write the IAM policies that each member needs, or check a given policy.",
}


@click.group(cls=Verbs, lines=LINES, package="cleanroom_algo.cli.deployment", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    r"""Bring an algorithm that was rehearsed here to AWS.

    Only `push --yes` and `compare ARN` call another service. The others write files or text.

    \b
    Examples:
      cleanroom-algo deploy template my_algorithm.py
      cleanroom-algo deploy push my-algorithm --repository 111122223333.dkr.ecr.us-east-1.amazonaws.com/my-algorithm
      cleanroom-algo deploy request my-algorithm
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
