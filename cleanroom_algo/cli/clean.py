"""`clean`: remove everything of the local clean room."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cleanroom_algo.cli.options import home_option, json_option
from cleanroom_algo.cli.output import emit_json, say
from cleanroom_algo.errors import UsageError


@click.command()
@click.option("--yes", is_flag=True, help="Do it without asking.")
@json_option
@home_option
def command(yes: bool, as_json: bool, home: Path | None) -> None:
    r"""Remove all records, artifacts, outputs and logs from the state folder. Your own data and settings.toml stay.

    \b
    Examples:
      cleanroom-algo clean --yes
    """
    from cleanroom_algo.local.resources.room_files import state_folder
    from cleanroom_algo.local.scheduling.cleanup import clean

    folder = state_folder(home)
    if not yes and not _confirmed(folder):
        raise UsageError(
            f"everything in {folder} would be removed, and nobody said so",
            expected="cleanroom-algo clean --yes, or an answer on a terminal",
            fix="add --yes",
        )
    removed = clean(folder)
    if as_json:
        emit_json({"removed": removed})
    else:
        say(f"removed {len(removed)} file(s) and folder(s) of {folder}" if removed else f"nothing is in {folder}")


def _confirmed(folder: Path) -> bool:
    return sys.stdin.isatty() and click.confirm(f"Remove everything in {folder}?", err=True)
