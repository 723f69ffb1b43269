"""A job's log, and the parts of it that each member sees."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any, Self

from cleanroom_algo.errors import NoSuchRecordError
from cleanroom_algo.local.plans.run_files import LOG_FILE, USAGE_FILE
from cleanroom_algo.local.policies.logs import SUMMARY_STREAM, LogReading, MemberLogs, member_logs
from cleanroom_algo.local.policies.recipients import Recipients
from cleanroom_algo.local.resources import records
from cleanroom_algo.local.resources.job_log import read_lines
from cleanroom_algo.local.resources.settings import Switches
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.resources.workspace import Workspace


@dataclass(frozen=True)
class WrittenLog:
    """A job's log.

    Attributes:
        record: of the job.
        lines: all lines that its containers have written so far.
        usage: the use of CPU and memory by its hosts so far; empty if it was not measured.
        recipients: which member gets what.
        switches: the room's choices where AWS does not document its behavior.
    """

    record: Record
    lines: list[dict[str, Any]]
    usage: list[dict[str, Any]]
    recipients: Recipients
    switches: Switches

    @classmethod
    def read(
        cls, workspace: Workspace, record: Record, account: str | None = None, *, last_bytes: int | None = None
    ) -> Self:
        """Return the log of a job.

        Args:
            workspace: of the room.
            record: of the job.
            account: of the member whose view is wanted; None for the complete log.
            last_bytes: read at most this many bytes, and only the lines that begin within them.

        Raises:
            NoSuchRecordError: CR-CLI-007, the job has no log, or the account is not a member.
        """
        directory, recipients = workspace.files.run(record), Recipients.of(workspace.store, record)
        if account is not None and account not in recipients.members:
            raise NoSuchRecordError(
                f"account {account} is not an active member of the collaboration of {record.name}",
                expected=f"one of {', '.join(sorted(recipients.members))}",
                fix="name the account of a member",
            )
        log, usage = directory / LOG_FILE, directory / USAGE_FILE
        if not log.is_file():
            raise NoSuchRecordError(
                f"{record.name} ({record.status}) has no log",
                expected="a job that has been started",
                fix=f"see `cleanroom-algo show {shlex.quote(record.name)}`",
            )
        taken = read_lines(usage) if usage.is_file() else []
        return cls(record, read_lines(log, last_bytes=last_bytes), taken, recipients, workspace.settings.switches)

    def seen_by(self, account: str | None) -> MemberLogs:
        """Return what a member gets by the policies of the association, and why not more; None gets everything."""
        if account is None:
            return MemberLogs(tuple(self.lines), ())
        why, moment = records.reason(self.record), records.moment(self.record.updated)
        summary = None if why is None else {"time": moment, "host": "-", "stream": SUMMARY_STREAM, "text": why}
        reading = LogReading.of(self.switches)
        return member_logs(self.lines, summary, self.recipients, account, reading)
