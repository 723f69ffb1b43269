"""Finds a job's log for `logs` and `metrics`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cleanroom_algo.cli.rooms import open_room
from cleanroom_algo.local.resources import records

if TYPE_CHECKING:
    from cleanroom_algo.local.written_log import WrittenLog

account_option = click.option(
    "--as",
    "account",
    metavar="ACCOUNT",
    help="Show only what this member receives by policy. Reasons for missing lines go to stderr.",
)


def read_job_log(home: Path | None, job: str, account: str | None) -> WrittenLog:
    """Return the log of a trained model or an inference job.

    Args:
        home: the state folder.
        job: a name or an ARN; `:VERSION` after it selects a version.
        account: of the member whose view is shown; None for the complete log.

    Raises:
        NoSuchRecordError: CR-CLI-007, there is no such job, it has no log, or the account is not a member.
    """
    from cleanroom_algo.local.written_log import WrittenLog

    with open_room(home) as room:
        record = records.find(room.store, job, (records.MODEL, records.INFERENCE), newest=True)
        return WrittenLog.read(room.workspace, record, account)
