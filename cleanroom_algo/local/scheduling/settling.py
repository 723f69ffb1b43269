"""Records the end of jobs: with a result, cancelled, deleted, given up, or lost with a process."""

from __future__ import annotations

import logging
from typing import Any, Final

from cleanroom_algo.errors import (
    ArtifactsTooLargeError,
    ExportTooLargeError,
    InferenceOutputTooLargeError,
    JobLostError,
    JobStoppedError,
)
from cleanroom_algo.local.policies.policies import publishes
from cleanroom_algo.local.policies.recipients import Recipients
from cleanroom_algo.local.resources.owners import Owners
from cleanroom_algo.local.resources.states import ACTIVE, FAILED, IN_PROGRESS, INACTIVE, STOPPING, move
from cleanroom_algo.local.resources.store import QueuedJob, Record
from cleanroom_algo.local.resources.workspace import Workspace
from cleanroom_algo.local.scheduling.cleanup import discard, discard_stored
from cleanroom_algo.local.scheduling.publisher import JobResult

log = logging.getLogger("cleanroom_algo.local")

_OVERFLOWS: Final = {each.code for each in (ArtifactsTooLargeError, InferenceOutputTooLargeError, ExportTooLargeError)}


def settle(workspace: Workspace, job: QueuedJob, record: Record, result: JobResult) -> None:
    """Write the result of a job into its record, and remove the job from the queue."""
    store = workspace.store
    ran = publishes(record) and record.status == IN_PROGRESS
    with store.transaction():
        kept = Recipients.of(store, record).kept() if ran else {}
        document = {**result.document, **_left_out(workspace, result)}
        now = store.update(record, document=document, private={**result.private, **kept})
        if now.status in STOPPING:
            settle_cancelled(workspace, now)
        elif result.code:
            move(store, now, FAILED, _status_code(workspace, result.code), result.message)
        else:
            move(store, now, ACTIVE)
        store.end_job(job)
    if now.status in STOPPING:
        discard_stored(workspace, now)
    if now.status in STOPPING or result.code:
        discard(workspace, record, unfinished=True)


def settle_cancelled(workspace: Workspace, record: Record) -> None:
    """Complete the cancellation of a record."""
    if record.status == "CANCEL_PENDING":
        record = move(workspace.store, record, "CANCEL_IN_PROGRESS")
    move(workspace.store, record, INACTIVE)


def delete(workspace: Workspace, job: QueuedJob, record: Record) -> None:
    """Remove the files of a resource, and set the final status of its record."""
    store = workspace.store
    if record.status == "DELETE_PENDING":
        record = move(store, record, "DELETE_IN_PROGRESS")
    try:
        discard(workspace, record)
    except OSError as error:
        with store.transaction():
            move(store, record, "DELETE_FAILED", "DeleteFailed", f"files cannot be removed: {error.strerror}")
            store.end_job(job)
        return
    with store.transaction():
        move(store, record, INACTIVE)
        store.end_job(job)


def give_up(workspace: Workspace, job: QueuedJob) -> None:
    """Record the end of a job that this process had reserved and never started."""
    store = workspace.store
    record = store.get(job.kind, job.key, job.version)
    with store.transaction():
        store.end_job(job)
        if record is not None and record.status in STOPPING:
            settle_cancelled(workspace, record)
        elif record is not None and not record.status.startswith("DELETE_"):
            why = "the command that should run this job ended before the job began"
            move(store, record, FAILED, JobStoppedError.code, why)


def begin_cancelling(workspace: Workspace, job: QueuedJob) -> None:
    """Show in the record of a job that it is being cancelled, if this was requested."""
    with workspace.store.transaction():
        record = workspace.store.get(job.kind, job.key, job.version)
        if record is not None and record.status == "CANCEL_PENDING":
            move(workspace.store, record, "CANCEL_IN_PROGRESS")


def recover(workspace: Workspace, owners: Owners) -> None:
    """Record the end of jobs whose processes ended without a message.

    Errors are logged and then ignored: they prevent neither the other jobs nor the room from running.
    """
    for job in workspace.store.jobs():
        if job.owner and not owners.is_alive(job.owner):
            try:
                if (lost := _settle_lost(workspace, job)) is not None:
                    discard(workspace, lost, unfinished=True)
                    if job.running:
                        discard_stored(workspace, lost)
            except Exception:
                log.exception("job %s, lost with its process, cannot be settled", job.key)


def _settle_lost(workspace: Workspace, job: QueuedJob) -> Record | None:
    """Record that a job is lost, and return its record if its files should be removed."""
    store = workspace.store
    with store.transaction():
        record = store.get(job.kind, job.key, job.version)
        if not store.end_job(job) or record is None:
            return None  # another process was faster
        log.warning("job %s was lost with its process", job.key)
        if record.status.startswith("DELETE_"):
            workspace.enqueue(record, hosts=0)  # deleting twice is safe
            return None
        if record.status in STOPPING:
            settle_cancelled(workspace, record)
        else:
            # Also from CREATE_PENDING: the process that had reserved it has ended.
            why = "the process that ran this job ended without a message (it was killed, or the machine stopped)"
            move(store, record, FAILED, JobLostError.code, f"{why}; start it again")
    return record


def _left_out(workspace: Workspace, result: JobResult) -> dict[str, Any]:
    error = result.left_out
    if error is None or result.code:
        return {}
    message = f"a part is left out because it exceeds a limit: {error.what}"
    return {"statusDetails": {"statusCode": _status_code(workspace, error.code), "message": message}}


def _status_code(workspace: Workspace, code: str) -> str:
    return (workspace.settings.switches.overflow_status_code if code in _OVERFLOWS else "") or code
