"""A job's log and who may see what of it, as `logs` and `metrics` need them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cleanroom_algo.cli import records
from cleanroom_algo.cli.rooms import open_room
from cleanroom_algo.errors import NoSuchRecordError

if TYPE_CHECKING:
    from cleanroom_algo.local.policies.recipients import Recipients
    from cleanroom_algo.local.resources.settings import Switches
    from cleanroom_algo.local.resources.store import Record

account_option = click.option(
    "--as",
    "account",
    metavar="ACCOUNT",
    help="Only what this member gets by the policies of the association; why it gets no more goes to stderr.",
)


@dataclass(frozen=True)
class JobLog:
    """A job's log.

    Attributes:
        record: of the job.
        lines: all that its containers have written so far.
        usage: what its hosts took of CPU and memory so far; empty where that was not taken.
        recipients: who gets what.
        switches: the room's readings of what is not documented.
    """

    record: Record
    lines: list[dict[str, Any]]
    usage: list[dict[str, Any]]
    recipients: Recipients
    switches: Switches


def read_job_log(home: Path | None, job: str, kinds: tuple[str, ...], account: str | None) -> JobLog:
    """Return the log of a job.

    Args:
        home: the state folder.
        job: a name or an ARN, with `:VERSION` behind it for one version.
        kinds: of records that may be meant.
        account: of the member through whose eyes it is looked at; None for all that there is.

    Raises:
        NoSuchRecordError: CR-CLI-007, there is no such job, it has no log, or the account is no member.
    """
    from cleanroom_algo.local.plans.run_files import LOG_FILE, USAGE_FILE
    from cleanroom_algo.local.policies.recipients import Recipients
    from cleanroom_algo.local.resources.job_log import read_lines

    with open_room(home) as room:
        record = records.find(room.store, job, kinds)
        directory = room.workspace.files.run(record)
        recipients = Recipients.of(room.store, record)
        switches = room.workspace.settings.switches
    if account is not None and account not in recipients.members:
        raise NoSuchRecordError(
            f"account {account} is no active member of the collaboration of {record.name}",
            expected=f"--as with one of {', '.join(sorted(recipients.members))}",
            fix="name the account of a member",
        )
    log, usage = directory / LOG_FILE, directory / USAGE_FILE
    if not log.is_file():
        raise NoSuchRecordError(
            f"{record.name} ({record.status}) has no log",
            expected="a job that has been started",
            fix=f"see `cleanroom-algo show {record.name}`",
        )
    return JobLog(record, read_lines(log), read_lines(usage) if usage.is_file() else [], recipients, switches)
