"""`logs`: what the containers of a job wrote."""

from __future__ import annotations

from pathlib import Path

import click

from cleanroom_algo.cli.job_logs import account_option, read_job_log
from cleanroom_algo.cli.options import home_option, json_option
from cleanroom_algo.cli.output import emit, emit_json, say


@click.command()
@click.argument("job")
@click.option("--host", help="Only what this host wrote, such as algo-1.")
@account_option
@json_option
@home_option
def command(job: str, host: str | None, account: str | None, as_json: bool, home: Path | None) -> None:
    r"""Print what the containers of JOB wrote: a trained model (`:VERSION` behind it for one version) or inference job.

    Without --as it shows everything, which in AWS nobody sees.

    \b
    Examples:
      cleanroom-algo logs my-algorithm
      cleanroom-algo logs my-algorithm --host algo-2
      cleanroom-algo logs my-algorithm --as 111122223333
    """
    log = read_job_log(home, job, account)
    seen = log.seen_by(account)
    chosen = [line for line in seen.lines if host in {None, line["host"]}]
    if as_json:
        emit_json(chosen)
    else:
        for line in chosen:
            emit(f"{line['time'][:19]} {line['host']} | {line['text']}")
    for note in seen.notes:
        say(f"note: {note}")
