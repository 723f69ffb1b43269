"""`audit`: what models and logs reveal about rows; each of its commands is a module of `auditing`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import click

from cleanroom_algo.cli.verbs import Verbs

LINES: Final[Mapping[str, str]] = {
    "model": "Try to recognize the rows on which a model was trained.",
    "canaries": "Measure whether a model has memorized texts that you planted.",
    "logs": "Search the log of a job for values of its channels.",
}


class _Audits(Verbs):
    """A group in which a word that is not a command is the name of a model."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert the command `model` before a word that is not a command."""
        if args and args[0] not in {*LINES, *ctx.help_option_names}:
            args = ["model", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Audits, lines=LINES, package="cleanroom_algo.cli.auditing", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    r"""Measure what a trained model, or the log of a job, reveals about rows.

    `audit MODEL` is short for `audit model MODEL`.

    \b
    Examples:
      cleanroom-algo audit my-algorithm --members data/train --non-members data/other
      cleanroom-algo audit canaries my-algorithm --planted planted.csv --format "my pin is {digits:6}"
      cleanroom-algo audit logs my-algorithm
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
