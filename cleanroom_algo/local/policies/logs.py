"""The logs of a job in the view of one member."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from cleanroom_algo.contract.redaction import error_summary
from cleanroom_algo.local.policies.filters import Matcher, Reading, matcher, readings
from cleanroom_algo.local.policies.recipients import Recipients
from cleanroom_algo.local.policies.redaction import redactor
from cleanroom_algo.local.resources.settings import Switches

Line = Mapping[str, str]
"""A line of a job's log: `time` (ISO 8601, UTC), `host`, `stream`, `text`."""

SUMMARY_STREAM: Final = "error-summary"


@dataclass(frozen=True)
class MemberLogs:
    """The part of a log that a member gets.

    Attributes:
        lines: in the order in which they were written, redacted.
        notes: why lines are missing, and where the documentation is ambiguous; one sentence each.
    """

    lines: tuple[Line, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class LogReading:
    """The room's choices where the documentation is not complete.

    Attributes:
        filter: the syntax of filterPattern.
        placeholder: the text that replaces redacted parts.
    """

    filter: Reading = "regex"
    placeholder: str = "[REDACTED]"

    @classmethod
    def of(cls, switches: Switches) -> Self:
        """Return the choices in a room's settings."""
        return cls(switches.log_filter, switches.redaction_placeholder)


def member_logs(
    lines: Sequence[Line], summary: Line | None, recipients: Recipients, account: str, reading: LogReading
) -> MemberLogs:
    """Return the part of a job's log that a member sees.

    A line that several policies select is returned once, redacted by all of them.

    Args:
        lines: the complete output of the containers.
        summary: why the job failed; None if it did not fail.
        recipients: of the job.
        account: of an active member.
        reading: the room's choices.
    """
    named = [
        (f"containerLogs[{index}]", each)
        for index, each in enumerate(recipients.logs)
        if account in each["allowedAccountIds"]
    ]
    if not named:
        return MemberLogs((), (_why_nothing(recipients, account),))
    if not recipients.members[account]:
        note = (
            f"account {account} has no ML configuration, so nothing is published to it; call PutMLConfiguration first, "
            "or name an output for the member in cleanroom.toml and run `cleanroom-algo declare`"
        )
        return MemberLogs((), (note,))
    policies = [_Policy(name, each, reading) for name, each in named]
    full = [policy for policy in policies if not policy.summary_only]
    seen = _seen(lines, full)
    if summary is not None:
        harmless = {**summary, "text": error_summary(summary["text"])}
        seen += _seen([harmless], [policy for policy in policies if policy.summary_only])
    notes = [note for policy in policies for note in policy.notes(lines)]
    if full and len(seen) < len(lines):
        notes.append(f"{len(lines) - len(seen)} of {len(lines)} lines do not pass the filter")
    if not full:
        notes.append("logType is ERROR_SUMMARY: the member sees why a job failed, but no lines of its containers")
    return MemberLogs(tuple(seen), tuple(notes))


class _Policy:
    """One LogsConfigurationPolicy, read."""

    def __init__(self, name: str, policy: Mapping[str, Any], reading: LogReading) -> None:
        self.name = name
        self.summary_only = policy.get("logType") == "ERROR_SUMMARY"
        self.redact: Callable[[str], str] = redactor(policy.get("logRedactionConfiguration"), reading.placeholder)
        self._pattern: str = policy.get("filterPattern", "")
        self._chosen = reading.filter
        self._unreadable = ""
        try:
            self.passes: Matcher = matcher(self._pattern, reading.filter)
        except ValueError as error:
            self._unreadable = str(error)
            self.passes = _nothing

    def notes(self, lines: Sequence[Line]) -> list[str]:
        """Return what is doubtful about the pattern, given its lines."""
        if self._unreadable:
            return [f"{self.name}: filterPattern, read as {self._chosen}, selects nothing: {self._unreadable}"]
        notes = []
        for other, passes in readings(self._pattern).items():
            differing = sum(passes(line["text"]) != self.passes(line["text"]) for line in lines)
            if differing:
                notes.append(
                    f"{self.name}: filterPattern is read as {self._chosen}; read as {other} it gives a different "
                    f"result for {differing} of {len(lines)} lines; the documentation of AWS uses both; a plain "
                    "word means the same in all"
                )
        return notes


def _seen(lines: Sequence[Line], policies: Sequence[_Policy]) -> list[Line]:
    found: list[Line] = []
    for line in lines:
        passing = [policy for policy in policies if policy.passes(line["text"])]
        if not passing:
            continue
        text = line["text"]
        for policy in passing:
            text = policy.redact(text)
        found.append({**line, "text": text})
    return found


def _why_nothing(recipients: Recipients, account: str) -> str:
    if not recipients.logs:
        return (
            "the association has no containerLogs policy, so no member gets logs; associations cannot be changed: "
            "declare one in [algorithms.NAME.privacy] of cleanroom.toml, run `cleanroom-algo declare`, and train again"
        )
    named = sorted({each for policy in recipients.logs for each in policy["allowedAccountIds"]})
    return (
        f"no containerLogs policy names account {account}; they name {', '.join(named)}; "
        "`cleanroom-algo declare` creates an association with the policies of cleanroom.toml"
    )


def _nothing(_line: str) -> bool:
    return False
