"""Runs queued jobs, in the order asked for, within what this machine can bear; and tells the truth about lost ones.

A job belongs to one process. `cleanroom-algo up` takes all that nobody has reserved; a command takes its own. Each job
runs in a thread of its own, as its hosts are processes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from cleanroom_algo.contract.sizes import DISK_FULL
from cleanroom_algo.errors import (
    ArtifactsTooLargeError,
    CleanroomError,
    ConflictError,
    ExportTooLargeError,
    InferenceOutputTooLargeError,
    JobDiskError,
    RoomStateError,
)
from cleanroom_algo.local.jobs.context import JobContext, JobResult, Listeners
from cleanroom_algo.local.jobs.runners import discard, runner_of, tidy
from cleanroom_algo.local.operations.input_channels import is_read
from cleanroom_algo.local.policies.publication import Publication, publishes
from cleanroom_algo.local.resources.arns import INPUT_CHANNEL
from cleanroom_algo.local.resources.states import ACTIVE, FAILED, IN_PROGRESS, INACTIVE, STOPPING, move
from cleanroom_algo.local.resources.store import QueuedJob, Record

if TYPE_CHECKING:
    from cleanroom_algo.local.room import Room

log = logging.getLogger("cleanroom_algo.local")

EXPIRY_SECONDS = 60.0  # between two looks at the retention of channels, which is counted in days
_DAY: Final = 86_400
POLL_SECONDS = 0.5  # how soon another process's request to stop is seen; what happens in this one wakes us at once
_OVERFLOWS: Final = {each.code for each in (ArtifactsTooLargeError, InferenceOutputTooLargeError, ExportTooLargeError)}
LOST: Final = "JobLost"
INTERNAL: Final = "InternalError"


def _failed(error: CleanroomError) -> JobResult:
    return JobResult(code=error.code, message=str(error), private={"exit_code": int(error.exit_code)})


class Supervisor:
    """Runs the jobs of a room.

    Args:
        room: the clean room.
        everyone: whether jobs that no process has reserved are taken, too.
    """

    def __init__(self, room: Room, *, everyone: bool) -> None:
        self.room = room
        self.everyone = everyone
        self._changed = threading.Condition()
        self._ending = False
        self._expire_at = 0.0
        self._thread: threading.Thread | None = None
        self._running: dict[int, tuple[QueuedJob, threading.Event, threading.Thread]] = {}
        self._listeners: dict[tuple[str, str | None], Listeners] = {}
        self._unrecorded: dict[tuple[str, str | None], RoomStateError] = {}

    def wake(self) -> None:
        """Look at the queue now, starting the thread that does so if need be."""
        with self._changed:
            if self._thread is None and not self._ending:
                self._thread = threading.Thread(target=self._supervise, name="supervisor", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def stop(self) -> None:
        """End all jobs of this process early, and return when nothing of them runs."""
        with self._changed:
            self._ending = True
            for _job, stopped, _thread in self._running.values():
                stopped.set()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def listeners(self, key: str, version: str | None) -> Listeners:
        """Return who listens to a job."""
        with self._changed:
            return self._listeners.setdefault((key, version), Listeners())

    def wait_for_change(self, seconds: float) -> None:
        """Return when a job of this process has ended, or after some time."""
        with self._changed:
            self._changed.wait(seconds)

    def check_recorded(self, key: str, version: str | None) -> None:
        """Check that a job's records are written.

        Raises:
            RoomStateError: CR-ROM-002, the disk takes none; the job is tried again as long as this process runs.
        """
        with self._changed:
            error = self._unrecorded.get((key, version))
        if error is not None:
            raise error

    def recover(self) -> None:
        """Settle the jobs of processes that ended without a word."""
        store = self.room.store
        for job in store.jobs():
            if not job.owner or self.room.owners.is_alive(job.owner):
                continue
            with store.transaction():
                record = store.get(job.kind, job.key, job.version)
                if not store.end_job(job) or record is None:
                    continue  # another process was faster
                log.warning("job %s was lost with its process", job.key)
                if record.status.startswith("DELETE_"):
                    self.room.queue(record, hosts=0)  # deleting twice is deleting
                elif record.status in STOPPING:
                    self._settle_cancelled(record)
                else:
                    why = "the process that ran this job ended without a word (killed, or the machine went down)"
                    # From CREATE_PENDING, too: whoever had reserved it will not come back.
                    move(store, record, FAILED, LOST, f"{why}; start it again")
            if not record.status.startswith("DELETE_"):
                discard(self.room, record)

    def _supervise(self) -> None:
        while True:
            with self._changed:
                if self._ending and not self._running:
                    break
            try:
                if not self._ending:
                    self._look()
            except Exception:  # a full disk, say: jobs wait until it is over
                log.exception("the queue of jobs cannot be looked at")
            with self._changed:
                if self._running or not self._ending:
                    self._changed.wait(POLL_SECONDS)
        for job in self.room.store.jobs():
            if job.owner == self.room.owner and not job.running:
                self._give_up(job)

    def _look(self) -> None:
        self._expire()
        jobs = self.room.store.jobs()
        if any(job.owner not in ("", self.room.owner) for job in jobs):
            self.recover()
            jobs = self.room.store.jobs()
        busy = sum(job.hosts for job in jobs if job.running)  # other processes' too: the machine is one
        limit = self.room.settings.machine.hosts
        blocked = False
        for job in jobs:
            if job.id in self._running:
                if job.stop:
                    self._running[job.id][1].set()
                continue
            if job.running or not (job.owner == self.room.owner or (self.everyone and not job.owner)):
                continue
            fits = job.hosts == 0 or busy == 0 or (not blocked and busy + job.hosts <= limit)
            if (fits and not (blocked and job.hosts)) or job.stop:
                busy += self._start(job)
            else:
                blocked = True  # those behind it wait as well: the order is that of asking

    def _expire(self) -> None:
        """Queue the deletion of channels whose retention is over, once nothing reads them; bound folders stay."""
        now = time.time()
        if now < self._expire_at:
            return
        self._expire_at = now + EXPIRY_SECONDS
        store = self.room.store
        for channel in store.find(INPUT_CHANNEL, statuses=(ACTIVE,)):
            ends = channel.created + channel.document["retentionInDays"] * _DAY
            if now > ends and "location" not in channel.private and not is_read(store, channel):
                with store.transaction():
                    gone = move(store, channel, "DELETE_PENDING", "RetentionOver", "retentionInDays have passed")
                    self.room.queue(gone, hosts=0)

    def _start(self, job: QueuedJob) -> int:
        if not self.room.store.claim_job(job, self.room.owner):
            return 0
        stopped = threading.Event()
        thread = threading.Thread(target=self._run, args=(job, stopped), name=f"job-{job.id}", daemon=True)
        with self._changed:
            if self._ending:
                stopped.set()  # whoever ends the jobs of this process has not seen this one
            self._running[job.id] = (job, stopped, thread)
        thread.start()
        return job.hosts

    def _run(self, job: QueuedJob, stopped: threading.Event) -> None:
        try:
            self._until_recorded(job, lambda: self._run_record(job, stopped))
        except RoomStateError:
            log.error("job %s: how it ended is not recorded", job.key)
        except Exception:
            log.exception("job %s cannot be settled", job.key)
        finally:
            with self._changed:
                self._running.pop(job.id, None)
                self._unrecorded.pop((job.key, job.version), None)
                self._listeners.pop((job.key, job.version), None)
                self._changed.notify_all()

    def _until_recorded(self, job: QueuedJob, work: Callable[[], None]) -> None:
        """Do what writes records; while the disk takes none, try again, and let those who wait for the job know."""
        name = (job.key, job.version)
        while True:
            try:
                return work()
            except RoomStateError as error:
                with self._changed:
                    if name not in self._unrecorded:
                        log.error("%s", error.what)
                    self._unrecorded[name] = error
                    self._changed.notify_all()
                    if self._ending:
                        raise
                    self._changed.wait(POLL_SECONDS)

    def _run_record(self, job: QueuedJob, stopped: threading.Event) -> None:
        store = self.room.store
        record = store.get(job.kind, job.key, job.version)
        if record is None:
            store.end_job(job)
            return
        if record.status.startswith("DELETE_"):
            self._delete(job, record)
            return
        try:
            record = move(store, record, IN_PROGRESS)
        except ConflictError:  # cancelled before it began
            self._settle(job, record, JobResult())
            return
        result = self._result(record, stopped)
        self._until_recorded(job, lambda: self._settle(job, record, result))

    def _result(self, record: Record, stopped: threading.Event) -> JobResult:
        directory = self.room.run_directory(record)
        context = JobContext(self.room, record, directory, stopped, self.listeners(record.key, record.version))
        try:
            directory.mkdir(parents=True, exist_ok=True)
            return runner_of(record.kind)(context)
        except CleanroomError as error:
            return _failed(error)
        except OSError as error:
            if error.errno not in DISK_FULL:
                return self._internal(record, error)
            tidy(directory)  # the record of this needs room, too
            return _failed(
                JobDiskError(
                    f"the disk of {self.room.home} took no more of the job's files: {error.strerror}",
                    expected="room for a copy of the channels on each host (File mode), artifacts and archives",
                    fix="make room, or choose another disk with --home; in FastFile mode sandboxes copy no objects",
                )
            )
        except Exception as error:
            return self._internal(record, error)

    def _internal(self, record: Record, error: Exception) -> JobResult:
        log.error("job %s failed inside cleanroom-algo", record.key, exc_info=error)
        return JobResult(code=INTERNAL, message=f"{type(error).__name__} inside cleanroom-algo; the log has more")

    def _settle(self, job: QueuedJob, record: Record, result: JobResult) -> None:
        store = self.room.store
        ran = publishes(record) and record.status == IN_PROGRESS
        with store.transaction():
            published = Publication.of(store, record).kept() if ran else {}
            details = self._left_out(result)
            now = store.update(record, document={**result.document, **details}, private={**result.private, **published})
            if now.status in STOPPING:
                self._settle_cancelled(now)
            elif result.code:
                move(store, now, FAILED, self._status_code(result.code), result.message)
            else:
                move(store, now, ACTIVE)
            store.end_job(job)
        if now.status in STOPPING or result.code:
            discard(self.room, record)

    def _left_out(self, result: JobResult) -> dict[str, Any]:
        error = result.left_out
        if error is None or result.code:
            return {}
        message = f"a part is left out, as it crosses a limit: {error.what}"
        return {"statusDetails": {"statusCode": self._status_code(error.code), "message": message}}

    def _status_code(self, code: str) -> str:
        return (self.room.settings.switches.overflow_status_code if code in _OVERFLOWS else "") or code

    def _settle_cancelled(self, record: Record) -> None:
        if record.status == "CANCEL_PENDING":
            record = move(self.room.store, record, "CANCEL_IN_PROGRESS")
        move(self.room.store, record, INACTIVE)

    def _delete(self, job: QueuedJob, record: Record) -> None:
        store = self.room.store
        if record.status == "DELETE_PENDING":
            record = move(store, record, "DELETE_IN_PROGRESS")
        try:
            discard(self.room, record)
        except OSError as error:
            with store.transaction():
                move(store, record, "DELETE_FAILED", "DeleteFailed", f"files cannot be removed: {error.strerror}")
                store.end_job(job)
            return
        with store.transaction():
            move(store, record, INACTIVE)
            store.end_job(job)

    def _give_up(self, job: QueuedJob) -> None:
        """Settle a job that this process had reserved and never began."""
        store = self.room.store
        record = store.get(job.kind, job.key, job.version)
        with store.transaction():
            store.end_job(job)
            if record is not None and record.status in STOPPING:
                self._settle_cancelled(record)
            elif record is not None and not record.status.startswith("DELETE_"):
                move(store, record, FAILED, "JobStopped", "the command that was to run this job ended before it began")
