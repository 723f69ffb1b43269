"""The end of a job's log on a page: with what each member gets of it, or only what the viewing member gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cleanroom_algo.local.plans.run_files import LOG_FILE
from cleanroom_algo.local.policies.recipients import Recipients
from cleanroom_algo.local.resources.arns import MEMBERSHIP
from cleanroom_algo.local.resources.states import ENDED
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.summaries.log_table import LogRow, log_table
from cleanroom_algo.local.ui.page import viewer
from cleanroom_algo.local.ui.viewer import Person
from cleanroom_algo.local.written_log import WrittenLog

_TAIL: Final = 1 << 16  # bytes of a log that are shown


@dataclass(frozen=True)
class ShownLog:
    """The end of a log.

    Attributes:
        name: of the job.
        people: the members whose part of it is shown: all, or the viewing member.
        written: the log; None if there is none, or if the viewing member gets nothing of the job.
        rows: lines, with what each of these members gets of them.
        notes: which member does not get what, and why.
        shortened: whether there are earlier lines.
        ended: whether the job has ended.
    """

    name: str
    people: Sequence[Person] = ()
    written: WrittenLog | None = None
    rows: Sequence[LogRow] = ()
    notes: Sequence[tuple[str, str]] = ()
    shortened: bool = False
    ended: bool = False


def shown_log(kept: Record) -> ShownLog:
    """Return the end of a job's log in the current view.

    Args:
        kept: the stored record of the job, which the viewer must be allowed to see.
    """
    ended = kept.status in ENDED
    path = viewer().workspace.files.run(kept) / LOG_FILE
    if not path.exists():
        return ShownLog(kept.name, ended=ended)
    people = _people(kept)
    if not people and not viewer().whole:
        notes = [(viewer().name, "joined after the job had ended, and gets nothing of its log and metrics")]
        return ShownLog(kept.name, notes=notes, ended=ended)
    written = WrittenLog.read(viewer().workspace, kept, viewer().account, last_bytes=_TAIL)
    table = log_table(written, [each.account for each in people])
    return ShownLog(
        kept.name,
        people,
        written,
        [each for each in table.rows if viewer().whole or each.seen[0] is not None],
        [(each.name, note) for each, notes in zip(people, table.notes, strict=True) for note in notes],
        path.stat().st_size > _TAIL,
        ended,
    )


def _people(kept: Record) -> list[Person]:
    """Return the members who may get something of a job: all, or the viewing member."""
    recipients = Recipients.of(viewer().store, kept)
    found = viewer().store.find(MEMBERSHIP, collaboration=kept.collaboration, statuses=("ACTIVE",))
    return [
        Person(each.account, each.name)
        for each in reversed(found)
        if each.account in recipients.members and viewer().account in (None, each.account)
    ]
