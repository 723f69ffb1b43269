"""Runs queued jobs, each in its own thread, because its hosts are processes.

A job belongs to one process. `cleanroom-algo up` runs all jobs that are not reserved; a command runs its own.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Final

from cleanroom_algo.errors import ConflictError, RoomStateError
from cleanroom_algo.local.plans.listeners import JobListener, Listeners
from cleanroom_algo.local.resources.arns import INPUT_CHANNEL, Arn
from cleanroom_algo.local.resources.owners import Owners
from cleanroom_algo.local.resources.states import ACTIVE, ENDED, IN_PROGRESS, move
from cleanroom_algo.local.resources.store import QueuedJob, Record
from cleanroom_algo.local.resources.usage import channel_is_read
from cleanroom_algo.local.resources.workspace import Workspace
from cleanroom_algo.local.scheduling.admission import admitted
from cleanroom_algo.local.scheduling.job_runs import JobRun, run_job
from cleanroom_algo.local.scheduling.publisher import JobResult
from cleanroom_algo.local.scheduling.settling import begin_cancelling, delete, give_up, recover, settle

log = logging.getLogger("cleanroom_algo.local")

POLL_SECONDS: Final = 0.5  # delay of another process's request to stop; events in this process wake the supervisor
EXPIRY_SECONDS: Final = 60.0  # between two checks of the retention of channels, which is counted in days
_DAY: Final = 86_400


class Supervisor:
    """Runs the jobs of a room.

    Args:
        workspace: of the room.
        owners: the processes that run jobs of it.
        owner: this process among them.
        everyone: whether to run jobs that no process has reserved.
    """

    def __init__(self, workspace: Workspace, owners: Owners, owner: str, *, everyone: bool) -> None:
        self.workspace = workspace
        self.owners = owners
        self.owner = owner
        self.everyone = everyone
        self._changed = threading.Condition()
        self._ending = False
        self._expire_at = 0.0
        self._thread: threading.Thread | None = None
        self._running: dict[int, threading.Event] = {}  # by the job's id; set when the job should end early
        self._listeners: dict[tuple[str, str | None], Listeners] = {}
        self._unrecorded: dict[tuple[str, str | None], RoomStateError] = {}

    def wake(self) -> None:
        """Check the queue now; start the thread that does this if necessary."""
        with self._changed:
            if self._thread is None and not self._ending:
                self._thread = threading.Thread(target=self._supervise, name="supervisor", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def stop(self) -> None:
        """End all jobs of this process early, and return when nothing of them runs any more."""
        with self._changed:
            self._ending = True
            for stopped in self._running.values():
                stopped.set()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def listen(self, arn: str, version: str | None, listener: JobListener) -> None:
        """Add a listener for the events of a job from now on, if the job runs in this process."""
        self._listeners_of(arn, version).add(listener)

    def wait(self, arn: str, version: str | None = None, *, timeout: float | None = None) -> Record:
        """Return the record of a job when it has ended.

        Args:
            arn: of a trained model, an inference job, an export job or an ML input channel.
            version: of a trained model; None for the base.
            timeout: in seconds; None waits forever.

        Raises:
            KeyError: there is no such record. TimeoutError: the time is up.
            RoomStateError: CR-ROM-002, its end cannot be recorded; recording is retried as long as this process runs.
        """
        store = self.workspace.store
        kind = Arn.parse(arn).kind
        limit = None if timeout is None else time.monotonic() + timeout
        while True:
            record = store.get(kind, arn, version)
            if record is None:
                raise KeyError(arn)
            if record.status in ENDED and store.job_of(record) is None:
                return record
            if limit is not None and time.monotonic() > limit:
                raise TimeoutError(f"{arn} is {record.status}")
            with self._changed:
                if (error := self._unrecorded.get((arn, version))) is not None:
                    raise error
            self.wait_for_change(POLL_SECONDS)

    def wait_for_change(self, seconds: float) -> None:
        """Return when a job of this process has ended, or after some time."""
        with self._changed:
            self._changed.wait(seconds)

    def _supervise(self) -> None:
        while True:
            with self._changed:
                if self._ending and not self._running:
                    break
            try:
                if not self._ending:
                    self._look()
            except Exception:  # for example, a full disk: jobs wait until there is space
                log.exception("the queue of jobs cannot be read")
            with self._changed:
                if self._running or not self._ending:
                    self._changed.wait(POLL_SECONDS)
        for job in self.workspace.store.jobs():
            if job.owner == self.owner and not job.running:
                give_up(self.workspace, job)

    def _look(self) -> None:
        self._expire()
        jobs = self.workspace.store.jobs()
        if any(job.owner not in ("", self.owner) for job in jobs):
            recover(self.workspace, self.owners)
            jobs = self.workspace.store.jobs()
        for job in jobs:
            stopped = self._running.get(job.id)
            if job.stop and stopped is not None and not stopped.is_set():
                begin_cancelling(self.workspace, job)
                stopped.set()
        for job in admitted(jobs, self._is_ours, self.workspace.settings.machine.hosts):
            self._start(job)

    def _is_ours(self, job: QueuedJob) -> bool:
        return job.owner == self.owner or (self.everyone and not job.owner)

    def _expire(self) -> None:
        """Queue the deletion of channels whose retention has expired and that no job reads; bound folders are kept."""
        now = time.time()
        if now < self._expire_at:
            return
        self._expire_at = now + EXPIRY_SECONDS
        store = self.workspace.store
        for channel in store.find(INPUT_CHANNEL, statuses=(ACTIVE,)):
            ends = channel.created + channel.document.get("retentionInDays", math.inf) * _DAY
            if now > ends and "location" not in channel.private and not channel_is_read(store, channel):
                with store.transaction():
                    gone = move(store, channel, "DELETE_PENDING", "RetentionOver", "retentionInDays have passed")
                    self.workspace.enqueue(gone, hosts=0)

    def _start(self, job: QueuedJob) -> None:
        if not self.workspace.store.claim_job(job, self.owner):
            return
        stopped = threading.Event()
        with self._changed:
            if self._ending:
                stopped.set()  # the code that ends the jobs of this process has not seen this job
            self._running[job.id] = stopped
        threading.Thread(target=self._run, args=(job, stopped), name=f"job-{job.id}", daemon=True).start()

    def _run(self, job: QueuedJob, stopped: threading.Event) -> None:
        try:
            self._until_recorded(job, lambda: self._run_record(job, stopped))
        except RoomStateError:
            log.error("job %s: its result could not be recorded", job.key)
        except Exception:
            log.exception("job %s cannot be settled", job.key)
        finally:
            with self._changed:
                self._running.pop(job.id, None)
                self._unrecorded.pop((job.key, job.version), None)
                self._listeners.pop((job.key, job.version), None)
                self._changed.notify_all()

    def _until_recorded(self, job: QueuedJob, work: Callable[[], None]) -> None:
        """Run work that writes records; retry while the disk is full, and tell those who wait for the job."""
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
        store = self.workspace.store
        record = store.get(job.kind, job.key, job.version)
        if record is None:
            store.end_job(job)
            return
        if record.status.startswith("DELETE_"):
            delete(self.workspace, job, record)
            return
        try:
            record = move(store, record, IN_PROGRESS)
        except ConflictError:  # it was cancelled before it began
            settle(self.workspace, job, record, JobResult())
            return
        result = run_job(JobRun(self.workspace, record, stopped, self._listeners_of(job.key, job.version)))
        self._until_recorded(job, lambda: settle(self.workspace, job, record, result))

    def _listeners_of(self, key: str, version: str | None) -> Listeners:
        with self._changed:
            return self._listeners.setdefault((key, version), Listeners())
