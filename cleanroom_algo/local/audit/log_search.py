"""Finds values of a job's channels in its log, and the members that see them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from cleanroom_algo.errors import AuditError
from cleanroom_algo.local.audit.leaks import ChannelValues
from cleanroom_algo.local.audit.rows import tables
from cleanroom_algo.local.planning.inference import looks_like_header
from cleanroom_algo.local.planning.inputs import algorithm_source, association_of, channel_objects, record_of_job
from cleanroom_algo.local.policies.logs import Line
from cleanroom_algo.local.resources import records
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.resources.workspace import Workspace
from cleanroom_algo.local.summaries.curves import USAGE_METRICS
from cleanroom_algo.local.summaries.metrics import job_metrics
from cleanroom_algo.local.written_log import WrittenLog

_SOURCE_BYTES = 1 << 20


@dataclass(frozen=True)
class Sighting:
    """A value of a channel that a log contains.

    Attributes:
        column: the column that contains it.
        found: the text in the log.
        rows: the number of rows with the value.
        accounts: of the members who see it; empty if no policy lets it through.
        times: the number of lines with it.
        host: of the first of these lines.
        line: the first of these lines, as the first account sees it.
    """

    column: str
    found: str
    rows: int
    accounts: tuple[str, ...]
    times: int
    host: str
    line: str


@dataclass(frozen=True)
class LogAudit:
    """The result of a search in a log.

    Attributes:
        rows: the number of rows of the channels.
        lines: the number of lines of the complete log.
        received: how many lines of the log each member gets, with error summaries.
        sightings: those that members see come first.
        doubtful: columns of numbers whose matches are not meaningful.
    """

    rows: int
    lines: int
    received: dict[str, int]
    sightings: tuple[Sighting, ...]
    doubtful: tuple[str, ...]

    @property
    def seen(self) -> tuple[Sighting, ...]:
        """The values that at least one member sees."""
        return tuple(each for each in self.sightings if each.accounts)


def search_log(workspace: Workspace, record: Record) -> LogAudit:
    """Search the log and the metrics of a job for values of its channels, in the view of each member and completely.

    Args:
        workspace: of the room.
        record: of a trained model or an inference job.

    Raises:
        NoSuchRecordError: CR-CLI-007, the job has no log. AuditError: CR-CLI-009, a channel cannot be read.
    """
    log = WrittenLog.read(workspace, record)
    try:
        values = ChannelValues(_tables(workspace, record), _known(workspace, record))
    except (pl.exceptions.PolarsError, ValueError) as error:
        raise AuditError(
            f"a channel of {record.name} cannot be read as a table: {str(error).splitlines()[0]}",
            expected="CSV, Parquet or JSON Lines",
            fix="check the files of the channel",
        ) from error
    received = {account: log.seen_by(account).lines for account in sorted(log.recipients.members)}
    found: dict[tuple[str, str], Sighting] = {}
    for account, own in [*received.items(), (None, tuple(log.lines))]:
        lines = own if account is None else (*own, *_metrics(log, account))
        for leak in values.leaks([line["text"] for line in lines]):
            before = found.get((leak.column, leak.found))
            first = lines[leak.lines[0]]
            found[leak.column, leak.found] = Sighting(
                leak.column,
                leak.found,
                leak.rows,
                (*(before.accounts if before else ()), *(() if account is None else (account,))),
                before.times if before else len(leak.lines),
                before.host if before else first["host"],
                before.line if before else first["text"],
            )
    texts = [line["text"] for line in log.lines]
    ordered = sorted(found.values(), key=lambda each: (not each.accounts, each.rows, each.column, each.found))
    counts = {account: len(lines) for account, lines in received.items()}
    return LogAudit(values.rows, len(texts), counts, tuple(ordered), tuple(values.doubtful(texts)))


def _metrics(log: WrittenLog, account: str) -> Iterator[Line]:
    """Yield the metrics that a member gets, as lines; log policies do not filter them."""
    for point in job_metrics(log, account)[0]:
        if point.name not in USAGE_METRICS:
            yield {"time": point.time, "host": point.host, "text": f"metric {point.name}={point.value!r}"}


def _tables(workspace: Workspace, record: Record) -> Iterator[pl.DataFrame]:
    for arn in records.channels_of(record):
        objects = channel_objects(workspace, record_of_job(workspace, records.CHANNEL, arn))
        yield from tables(objects, has_header=looks_like_header(objects))


def _known(workspace: Workspace, record: Record) -> str:
    """Return the source of the algorithm: words of it in a log reveal nothing about the rows."""
    place = algorithm_source(workspace, association_of(workspace, record), _config(record)).path
    files = [] if place is None else [place] if place.is_file() else sorted(place.glob("*.py"))
    return "\n".join(_text(file) for file in files if file.suffix == ".py")


def _config(record: Record) -> str:
    return "trainingContainerConfig" if record.kind == records.MODEL else "inferenceContainerConfig"


def _text(file: Path) -> str:
    with file.open(encoding="utf-8", errors="replace") as source:
        return source.read(_SOURCE_BYTES)
