"""`logs`: prints the output of the containers of a job."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from cleanroom_algo.cli.job_logs import account_option, read_job_log
from cleanroom_algo.cli.options import home_option, json_option
from cleanroom_algo.cli.output import emit, emit_json, say
from cleanroom_algo.cli.rooms import open_room
from cleanroom_algo.errors import UsageError
from cleanroom_algo.local.plans.run_files import LOG_FILE
from cleanroom_algo.local.resources import records
from cleanroom_algo.local.resources.job_log import follow_lines
from cleanroom_algo.local.resources.states import ENDED


@click.command()
@click.argument("job")
@click.option("--host", help="Show only the output of this host, such as algo-1.")
@click.option("--follow", is_flag=True, help="Continue printing until the job ends. Cannot be combined with --as.")
@account_option
@json_option
@home_option
def command(job: str, host: str | None, follow: bool, account: str | None, as_json: bool, home: Path | None) -> None:
    r"""Print the output of the containers of JOB, a trained model (add `:VERSION` for one version) or an inference job.

    Without --as, it shows the complete output, which AWS does not show to any member.

    \b
    Examples:
      cleanroom-algo logs my-algorithm
      cleanroom-algo logs my-algorithm --host algo-2
      cleanroom-algo logs my-algorithm --follow
      cleanroom-algo logs my-algorithm --as 111122223333
    """
    if follow:
        if account is not None:
            raise UsageError(
                "members receive logs only when a job has ended", expected="--follow or --as", fix="omit one of them"
            )
        _follow(home, job, host, as_json=as_json)
        return
    log = read_job_log(home, job, account)
    seen = log.seen_by(account)
    chosen = [line for line in seen.lines if host in {None, line["host"]}]
    if as_json:
        emit_json(chosen)
    else:
        for line in chosen:
            emit(_shown(line))
    for note in seen.notes:
        say(f"note: {note}")


def _follow(home: Path | None, job: str, host: str | None, *, as_json: bool) -> None:
    """Print lines when they are written; with --json, one object per line."""
    with open_room(home) as room:
        record = records.find(room.store, job, (records.MODEL, records.INFERENCE), newest=True)
        log = room.workspace.files.run(record) / LOG_FILE

        def is_over() -> bool:
            now = room.store.get(record.kind, record.key, record.version)
            return now is None or now.status in ENDED

        for line in follow_lines(log, is_over):
            if host in {None, line["host"]}:
                emit(json.dumps(line) if as_json else _shown(line))


def _shown(line: Mapping[str, Any]) -> str:
    return f"{line['time'][:19]} {line['host']} | {line['text']}"
