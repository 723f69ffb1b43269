"""A log, with what each member gets of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from cleanroom_algo.local.policies.logs import Line
from cleanroom_algo.local.written_log import WrittenLog


class LogRow(NamedTuple):
    """A line of a log.

    Attributes:
        line: as it was written, or the summary of why a job failed.
        seen: the text that each member gets, in the order of the accounts; None if the member does not get it.
    """

    line: Mapping[str, Any]
    seen: tuple[str | None, ...]


class LogTable(NamedTuple):
    """A log, line by line.

    Attributes:
        rows: in the order written.
        notes: why each member does not get more, in the order of the accounts.
    """

    rows: list[LogRow]
    notes: list[tuple[str, ...]]


def log_table(log: WrittenLog, accounts: Sequence[str]) -> LogTable:
    """Return a log, with what some members get of it.

    Args:
        log: of a job.
        accounts: of active members.
    """
    gets = [log.seen_by(account) for account in accounts]
    columns = [[*_texts(log.lines, iter(each.lines))] for each in gets]
    rows = [LogRow(line, tuple(column[number] for column in columns)) for number, line in enumerate(log.lines)]
    for place, each in enumerate(gets):
        own = sum(text is not None for text in columns[place])
        summary = each.lines[own:]  # why the job failed, which is not output of a container
        rows += [
            LogRow(line, tuple(line["text"] if place == n else None for n in range(len(gets)))) for line in summary
        ]
    return LogTable(rows, [each.notes for each in gets])


def _texts(lines: Sequence[Line], seen: Iterator[Line]) -> Iterator[str | None]:
    """Yield for each line its redacted text in `seen`, which contains some of the lines in their order; else None."""
    following = next(seen, None)
    for line in lines:
        if following is not None and all(line[name] == following[name] for name in ("time", "host", "stream")):
            yield following["text"]
            following = next(seen, None)
        else:
            yield None
