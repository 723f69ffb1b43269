"""`logs`: what the containers of a job wrote."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from cleanroom_algo.cli import records
from cleanroom_algo.cli.job_logs import JobLog, account_option, read_job_log
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
    log = read_job_log(home, job, (records.MODEL, records.INFERENCE), account)
    lines, notes = (log.lines, ()) if account is None else _seen_by(account, log)
    chosen = [line for line in lines if host in {None, line["host"]}]
    if as_json:
        emit_json(chosen)
    else:
        for line in chosen:
            emit(f"{line['time'][:19]} {line['host']} | {line['text']}")
    for note in notes:
        say(f"note: {note}")


def _seen_by(account: str, log: JobLog) -> tuple[Iterable[Mapping[str, Any]], Iterable[str]]:
    from cleanroom_algo.local.policies.logs import SUMMARY_STREAM, LogReading, member_logs

    why = records.reason(log.record)
    moment = records.moment(log.record.updated)
    summary = None if why is None else {"time": moment, "host": "-", "stream": SUMMARY_STREAM, "text": why}
    reading = LogReading(log.switches.log_filter, log.switches.redaction_placeholder)
    seen = member_logs(log.lines, summary, log.recipients, account, reading)
    return seen.lines, seen.notes
