"""`audit logs`: values of rows in the log of a job."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cleanroom_algo.cli.options import home_option, json_option
from cleanroom_algo.cli.output import emit_json, say, table
from cleanroom_algo.cli.rooms import open_room
from cleanroom_algo.errors.exit_codes import ExitCode
from cleanroom_algo.local.resources import records

if TYPE_CHECKING:
    from cleanroom_algo.local.audit.log_search import LogAudit


@click.command()
@click.argument("job")
@json_option
@home_option
@click.pass_context
def command(context: click.Context, job: str, as_json: bool, home: Path | None) -> None:
    r"""Search the log of JOB, a trained model or an inference job, for values of its channels.

    The command searches the complete log, and the log that each member gets under the policies of the association,
    including error summaries. It searches for strings, for sequences of five words of longer texts, and for numbers as
    they are printed. It ignores short numbers and values that many rows share, because they do not identify a person.

    The exit status is 3 if a member sees a value. If nothing is found, the log can still contain private data.

    \b
    Examples:
      cleanroom-algo audit logs my-algorithm
    """
    from cleanroom_algo.local.audit.log_search import search_log

    with open_room(home) as room:
        record = records.find(room.store, job, (records.MODEL, records.INFERENCE), newest=True)
        found = search_log(room.workspace, record)
    if as_json:
        emit_json(asdict(found))
    else:
        _show(found)
    if found.seen:
        context.exit(ExitCode.CONTRACT)


def _show(found: LogAudit) -> None:
    if found.sightings:
        rows = [
            (each.column, each.found, each.rows, each.times, ", ".join(each.accounts) or "no member", each.line)
            for each in found.sightings
        ]
        table(("COLUMN", "FOUND", "ROWS", "LINES", "SEEN BY", "FIRST LINE"), rows)
    received = ", ".join(f"{account} gets {count}" for account, count in found.received.items())
    say(f"{found.lines} lines were searched for values of {found.rows:,} rows; {received}")
    hidden = len(found.sightings) - len(found.seen)
    say(f"{len(found.seen)} value(s) are visible to members, {hidden} only in the complete log")
    if found.doubtful:
        say(
            f"note: numbers of the log that are close to values of {', '.join(found.doubtful)} were left out: these "
            "columns have so many values that some are close by chance"
        )
