"""`clean`: removes everything of the local clean room, or some of its jobs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from cleanroom_algo.cli.options import home_option, json_option
from cleanroom_algo.cli.output import emit_json, say
from cleanroom_algo.cli.rooms import open_room
from cleanroom_algo.errors import UsageError
from cleanroom_algo.local.resources import records
from cleanroom_algo.local.resources.states import ACTIVE, ENDED


@click.command()
@click.argument("names", nargs=-1)
@click.option("--failed", is_flag=True, help="Remove only the jobs that failed or were stopped.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@json_option
@home_option
def command(names: tuple[str, ...], failed: bool, yes: bool, as_json: bool, home: Path | None) -> None:
    r"""Remove all records, artifacts, outputs and logs from the state folder. Your own data and settings.toml are kept.

    With NAMES or --failed, remove only these models and inference jobs. NAME means all versions, NAME:VERSION one.

    \b
    Examples:
      cleanroom-algo clean --yes
      cleanroom-algo clean --failed
      cleanroom-algo clean my-algorithm my-algorithm-0f12ab34
    """
    if names or failed:
        jobs = _remove(home, names)
        if as_json:
            emit_json({"removed": jobs})
        else:
            say(f"removed {len(jobs)} job(s)" + (f": {', '.join(jobs)}" if jobs else ""))
        return
    from cleanroom_algo.local.resources.room_files import state_folder
    from cleanroom_algo.local.scheduling.cleanup import clean

    folder = state_folder(home)
    if not yes and not _confirmed(folder):
        raise UsageError(
            f"refusing to delete everything in {folder} without --yes",
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


def _remove(home: Path | None, names: Sequence[str]) -> list[str]:
    """Remove the jobs with the given names, or those that failed or were stopped; return their names."""
    with open_room(home) as room:
        kinds = (records.MODEL, records.INFERENCE)
        for name in names:
            records.find(room.store, name, kinds)
        removed = []
        for record in (record for kind in kinds for record in room.store.find(kind)):
            chosen = any(records.is_named(record, name) for name in names)
            if record.status in ENDED and (chosen or (not names and record.status != ACTIVE)):
                room.forget(record)
                removed.append(f"{record.name}:{record.version[:8]}" if record.version else record.name)
    return removed
