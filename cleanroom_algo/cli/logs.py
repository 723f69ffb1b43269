"""`logs`: what the containers of a job wrote."""

from __future__ import annotations

import json
from pathlib import Path

import click

from cleanroom_algo.cli import records
from cleanroom_algo.cli.options import home_option, json_option
from cleanroom_algo.cli.output import emit, emit_json
from cleanroom_algo.cli.rooms import open_room
from cleanroom_algo.errors import NoSuchRecordError


@click.command()
@click.argument("job")
@click.option("--host", help="Only what this host wrote, such as algo-1.")
@json_option
@home_option
def command(job: str, host: str | None, as_json: bool, home: Path | None) -> None:
    r"""Print what the containers of JOB wrote: a trained model (`:VERSION` behind it for one version) or inference job.

    \b
    Examples:
      cleanroom-algo logs my-algorithm
      cleanroom-algo logs my-algorithm --host algo-2
    """
    with open_room(home) as room:
        record = records.find(room.store, job, (records.MODEL, records.INFERENCE))
        path = room.run_directory(record) / "log.jsonl"
    if not path.is_file():
        raise NoSuchRecordError(
            f"{record.name} ({record.status}) has no log",
            expected="a job that has been started",
            fix=f"see `cleanroom-algo show {record.name}`",
        )
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    chosen = [line for line in lines if host in {None, line["host"]}]
    if as_json:
        emit_json(chosen)
        return
    for line in chosen:
        emit(f"{line['time'][:19]} {line['host']} | {line['text']}")
