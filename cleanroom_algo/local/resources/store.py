"""The records of a local clean room, and its queue of jobs.

A record is a JSON document of a resource, with the columns by which it is found. The queue has the jobs to run, in the
order of the requests, and the process that runs each one.

Kinds of resources and their keys:

- `collaboration`, `membership`, `configured-table`, `configured-table-association`: the identifier, as the API names
  them by it.
- `configured-model-algorithm`, `configured-model-algorithm-association`, `ml-input-channel`, `trained-model`,
  `trained-model-inference-job`, `analysis-template`: the ARN; a trained model's versions share it, the base version has
  version None.
- `ml-configuration`: the membership's identifier. `trained-model-export-job`: an ARN that no operation shows.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cleanroom_algo.local.resources.database import Database
from cleanroom_algo.local.resources.documents import Json, is_readable

_COLUMNS = (  # of a record: its position, then the attributes of `Record` in their order
    "seq, kind, key, version, account, membership, collaboration, parent, name, status, created, updated,"
    " document, private"
)
_FILTERS = frozenset(
    {"seq", "kind", "key", "version", "account", "membership", "collaboration", "parent", "name", "status"}
)


@dataclass(frozen=True, slots=True)
class Record:
    """One resource, or one version of a trained model.

    Attributes:
        kind: of resource.
        key: its ARN, or its identifier if the API uses that.
        version: of a trained model; None for the base version and for all other kinds.
        account: of its creator.
        membership: identifier of its membership, or "".
        collaboration: identifier of its collaboration, or "".
        parent: the key of the resource from which it was made (an export job's trained model), or "".
        name: given by its creator.
        status: in its state machine, or "".
        created: seconds since the epoch.
        updated: seconds since the epoch.
        document: members of the API's shapes; an operation shows those that its output shape has.
        private: values that no operation shows: paths, bindings.
        seq: its position in the order of creation; 0 until inserted.
    """

    kind: str
    key: str
    version: str | None = None
    account: str = ""
    membership: str = ""
    collaboration: str = ""
    parent: str = ""
    name: str = ""
    status: str = ""
    created: float = 0.0
    updated: float = 0.0
    document: Mapping[str, Any] = field(default_factory=dict)
    private: Mapping[str, Any] = field(default_factory=dict)
    seq: int = 0

    @property
    def short_version(self) -> str:
        """The start of the identifier of its version, or `base`."""
        return (self.version or "base")[:8]


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """A job that waits or runs.

    Attributes:
        id: its position in the order of the requests.
        kind: of its record.
        key: of its record.
        version: of its record.
        owner: the process that runs it or has reserved it; "" if any process may run it.
        running: whether it has been started.
        hosts: the number of hosts that it needs, 1 to 10; 0 for exports and deletions.
        stop: whether it should end early.
    """

    id: int
    kind: str
    key: str
    version: str | None
    owner: str
    running: bool
    hosts: int
    stop: bool


class Store(Database):
    """The records, and the queue of jobs. Safe for use by several threads and processes."""

    def insert(self, record: Record) -> Record:
        """Add a record with the current time and return it with its position.

        Raises:
            sqlite3.IntegrityError: there is one of this kind, key and version.
        """
        now = time.time()
        record = replace(record, created=record.created or now, updated=record.updated or now)
        with self.transaction():
            cursor = self._connection().execute(
                f"INSERT INTO records ({_COLUMNS.removeprefix('seq, ')})"  # noqa: S608 (constant columns)
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(record.kind, record.key, record.version or "", record.account, record.membership),
                    *(record.collaboration, record.parent, record.name, record.status),
                    *(
                        record.created,
                        record.updated,
                        json.dumps(dict(record.document)),
                        json.dumps(dict(record.private)),
                    ),
                ),
            )
        return replace(record, seq=int(cursor.lastrowid or 0))

    def get(self, kind: str, key: str, version: str | None = None) -> Record | None:
        """Return a record, or None."""
        row = self._connection().execute(
            f"SELECT {_COLUMNS} FROM records WHERE kind = ? AND key = ? AND version = ?",  # noqa: S608
            (kind, key, version or ""),
        )
        found = row.fetchone()
        return None if found is None else _record(found)

    def update(
        self,
        record: Record,
        *,
        name: str | None = None,
        status: str | None = None,
        document: Mapping[str, Any] | None = None,
        private: Mapping[str, Any] | None = None,
        touch: bool = True,
    ) -> Record:
        """Change the current version of a record in the store, and return it.

        Args:
            record: any earlier version of it.
            name: the new name; unchanged if None.
            status: the new status; unchanged if None.
            document: members to set; a value of None removes one.
            private: the same for private values.
            touch: whether this sets the time of the last update.
        """
        with self.transaction():
            now = self.get(record.kind, record.key, record.version)
            if now is None:
                raise KeyError((record.kind, record.key, record.version))
            new = replace(
                now,
                name=now.name if name is None else name,
                status=now.status if status is None else status,
                document=_merged(now.document, document),
                private=_merged(now.private, private),
                updated=max(time.time(), now.updated) if touch else now.updated,
            )
            self._connection().execute(
                "UPDATE records SET name = ?, status = ?, document = ?, private = ?, updated = ? WHERE seq = ?",
                (new.name, new.status, json.dumps(new.document), json.dumps(new.private), new.updated, new.seq),
            )
        return new

    def delete(self, record: Record) -> None:
        """Remove a record."""
        with self.transaction():
            self._connection().execute("DELETE FROM records WHERE seq = ?", (record.seq,))

    def find(
        self,
        kind: str,
        *,
        statuses: Sequence[str] = (),
        before: int | None = None,
        limit: int = -1,
        **where: str,
    ) -> list[Record]:
        """Return records, the latest first.

        Args:
            kind: of resource.
            statuses: only these; all if empty.
            before: only those created before the record with this position (`Record.seq`).
            limit: the maximum number; -1 for all.
            where: columns that must be equal, such as `membership`.
        """
        condition, values = _condition(kind, statuses, where)
        if before is not None:
            condition += " AND seq < ?"
            values.append(before)
        rows = self._connection().execute(
            f"SELECT {_COLUMNS} FROM records WHERE {condition} ORDER BY seq DESC LIMIT ?",  # noqa: S608
            (*values, limit),
        )
        return [_record(row) for row in rows]

    def latest_versions(self, kind: str, *, before: int | None = None, limit: int = -1, **where: str) -> list[Record]:
        """Return the latest version of each trained model, the latest model first.

        `seq` is that of the model's first version, so that a version created between two pages does not move anything.

        Args:
            kind: of resource.
            before: only those of models created before this position.
            limit: the maximum number; -1 for all.
            where: columns that must be equal, such as `membership`.
        """
        condition, values = _condition(kind, (), where)
        if before is not None:
            condition += " AND seq < ?"
            values.append(before)
        rows = self._connection().execute(
            f"SELECT place, {_COLUMNS.removeprefix('seq, ')} FROM ("  # noqa: S608 (constant columns and conditions)
            f" SELECT seq AS place, kind AS of_kind, key AS of_key FROM records AS own WHERE {condition}"
            " AND seq = (SELECT min(r.seq) FROM records AS r WHERE r.kind = own.kind AND r.key = own.key)"
            " ORDER BY seq DESC LIMIT ?"
            ") JOIN records ON seq = (SELECT max(r.seq) FROM records AS r WHERE r.kind = of_kind AND r.key = of_key)"
            " ORDER BY place DESC",
            (*values, limit),
        )
        return [_record(row) for row in rows]

    def count(self, kind: str, *, statuses: Sequence[str] = (), **where: str) -> int:
        """Return the number of records of a kind with one of the statuses and equal columns."""
        condition, values = _condition(kind, statuses, where)
        row = self._connection().execute(f"SELECT count(*) FROM records WHERE {condition}", values)  # noqa: S608
        return int(row.fetchone()[0])

    def set_aside_unreadable(self) -> list[str]:
        """Set aside records that cannot be read, and return their keys.

        These are texts that are not JSON, or that cannot be sent, such as half of a surrogate pair.
        """
        rows = self._connection().execute(
            "SELECT seq, key, document, private FROM records WHERE NOT json_valid(document) OR NOT json_valid(private)"
            " OR substr(document, 1, 1) <> '{' OR substr(private, 1, 1) <> '{'"
            " OR instr(lower(document || private), '\\ud')"
        )
        unreadable = {seq: key for seq, key, *texts in rows if not all(map(is_readable, texts))}
        with self.transaction():
            for seq in unreadable:
                self._connection().execute(
                    "INSERT INTO set_aside SELECT kind, key, version, document, private FROM records WHERE seq = ?",
                    (seq,),
                )
                self._connection().execute("DELETE FROM records WHERE seq = ?", (seq,))
        return list(unreadable.values())

    def add_job(self, record: Record, *, hosts: int, owner: str = "") -> None:
        """Queue a job for a record after all others; `owner` reserves it for a process."""
        with self.transaction():
            self._connection().execute(
                "INSERT INTO jobs (kind, key, version, owner, state, hosts) VALUES (?, ?, ?, ?, 'queued', ?)",
                (record.kind, record.key, record.version or "", owner, hosts),
            )

    def jobs(self) -> list[QueuedJob]:
        """Return the jobs that wait or run, in the order of the requests."""
        rows = self._connection().execute(
            "SELECT id, kind, key, version, owner, state = 'running', hosts, stop FROM jobs ORDER BY id"
        )
        return [
            QueuedJob(number, kind, key, version or None, owner, bool(running), hosts, bool(stop))
            for number, kind, key, version, owner, running, hosts, stop in rows
        ]

    def claim_job(self, job: QueuedJob, owner: str) -> bool:
        """Take a waiting job for a process; return False if another process was faster."""
        with self.transaction():
            cursor = self._connection().execute(
                "UPDATE jobs SET owner = ?, state = 'running' WHERE id = ? AND state = 'queued' AND owner IN ('', ?)",
                (owner, job.id, owner),
            )
        return cursor.rowcount == 1

    def stop_job(self, record: Record) -> bool:
        """Ask a job to end early; return False if the record has none that waits or runs."""
        with self.transaction():
            cursor = self._connection().execute(
                "UPDATE jobs SET stop = 1 WHERE kind = ? AND key = ? AND version = ?",
                (record.kind, record.key, record.version or ""),
            )
        return cursor.rowcount == 1

    def job_of(self, record: Record) -> QueuedJob | None:
        """Return the waiting or running job of a record, or None."""
        wanted = (record.kind, record.key, record.version)
        return next((job for job in self.jobs() if (job.kind, job.key, job.version) == wanted), None)

    def end_job(self, job: QueuedJob) -> bool:
        """Remove a job from the queue; its record shows how it ended. Return False if another process has done so."""
        with self.transaction():
            cursor = self._connection().execute("DELETE FROM jobs WHERE id = ?", (job.id,))
        return cursor.rowcount == 1


def _condition(kind: str, statuses: Sequence[str], where: Mapping[str, str]) -> tuple[str, list[Any]]:
    unknown = where.keys() - _FILTERS
    if unknown:
        raise TypeError(f"no such column: {', '.join(sorted(unknown))}")
    parts, values = ["kind = ?"], [kind]
    for column, value in where.items():
        parts.append(f"{column} = ?")
        values.append(value)
    if statuses:
        parts.append(f"status IN ({', '.join('?' * len(statuses))})")
        values.extend(statuses)
    return " AND ".join(parts), values


def _merged(before: Mapping[str, Any], changes: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in {**before, **(changes or {})}.items() if value is not None}


def _record(row: tuple[Any, ...]) -> Record:
    seq, kind, key, version, account, membership, collaboration, parent, name, status, *rest = row
    created, updated, document, private = rest
    places = (account, membership, collaboration, parent)
    return Record(
        kind, key, version or None, *places, name, status, created, updated, Json(document), Json(private), seq
    )
