"""One job: plans it from its records, runs the plan, and publishes its outcome."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cleanroom_algo.contract.sizes import DISK_FULL
from cleanroom_algo.errors import CleanroomError, InternalError, JobDiskError, RoomStateError
from cleanroom_algo.local.hosts.docker import digest_of
from cleanroom_algo.local.hosts.gpus import has_gpu as machine_has_gpu
from cleanroom_algo.local.hosts.protocol import HostKind, RunsWholeJobs
from cleanroom_algo.local.hosts.registry import hosts_for
from cleanroom_algo.local.jobs.export import run_export
from cleanroom_algo.local.planning.channel_query import query_plan, tables_of
from cleanroom_algo.local.planning.export import export_plan
from cleanroom_algo.local.planning.inference import inference_plan
from cleanroom_algo.local.planning.resuming import ingredients
from cleanroom_algo.local.planning.training import training_plan
from cleanroom_algo.local.plans.inference_plan import InferencePlan
from cleanroom_algo.local.plans.instances import has_gpu
from cleanroom_algo.local.plans.listeners import Listeners
from cleanroom_algo.local.plans.run_files import LOG_FILE
from cleanroom_algo.local.plans.training_plan import TrainingPlan
from cleanroom_algo.local.policies.budgets import give_back, spend
from cleanroom_algo.local.resources.arns import EXPORT_JOB, INFERENCE_JOB, INPUT_CHANNEL, PRIVACY_BUDGET, TRAINED_MODEL
from cleanroom_algo.local.resources.job_log import JobLog
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.resources.workspace import Workspace
from cleanroom_algo.local.scheduling import publisher
from cleanroom_algo.local.scheduling.cleanup import tidy
from cleanroom_algo.local.scheduling.publisher import JobResult

log = logging.getLogger("cleanroom_algo.local")


@dataclass(frozen=True)
class JobRun:
    """A job that is running.

    Attributes:
        workspace: of the room.
        record: of the job, CREATE_IN_PROGRESS.
        stopped: set when the job should end early.
        listeners: get the events of the job.
    """

    workspace: Workspace
    record: Record
    stopped: threading.Event
    listeners: Listeners

    @property
    def directory(self) -> Path:
        """The folder for the files of the run; kept for its log."""
        return self.workspace.files.run(self.record)


def run_job(run: JobRun) -> JobResult:
    """Run a job to its end; nothing of it keeps running, and any error becomes its result."""
    try:
        run.directory.mkdir(parents=True, exist_ok=True)
        return _RUNS[run.record.kind](run)
    except CleanroomError as error:
        return publisher.failed(error)
    except OSError as error:
        if error.errno not in DISK_FULL:
            return _defect(run, error)
        tidy(run.directory)  # recording this error also needs disk space
        return publisher.failed(
            JobDiskError(
                f"the disk of {run.workspace.files.home} cannot store the job's files: {error.strerror}",
                expected="space for a copy of the channels on each host (File mode), for artifacts and for archives",
                fix="free disk space, or choose another disk with --home; in FastFile mode, sandboxes do not copy "
                "objects",
            )
        )
    except Exception as error:
        return _defect(run, error)


def _train(run: JobRun) -> JobResult:
    from cleanroom_algo.local.jobs.training import run_training

    plan = training_plan(run.workspace, run.record, run.directory)
    with contextlib.suppress(RoomStateError):  # for a full disk: the job will show if there is enough space
        run.workspace.store.update(run.record, private={"ingredients": ingredients(plan)}, touch=False)
    shown = digest_of("trainingContainerImageDigest", plan.source)
    hosts = _hosts(run, plan)
    if isinstance(hosts, RunsWholeJobs):
        outcome = hosts.train(plan, run.listeners, run.stopped)
    else:
        outcome = run_training(plan, hosts, run.listeners, run.stopped)
    return publisher.trained(run.workspace, run.record, plan, outcome, shown)


def _infer(run: JobRun) -> JobResult:
    from cleanroom_algo.local.jobs.inference.job import run_inference

    plan = inference_plan(run.workspace, run.record, run.directory)
    shown = digest_of("inferenceContainerImageDigest", plan.source)
    with JobLog(run.directory / LOG_FILE) as written:
        run.listeners.add(written)
        hosts = _hosts(run, plan)
        if isinstance(hosts, RunsWholeJobs):
            outcome = hosts.infer(plan, run.listeners, run.stopped)
        else:
            outcome = run_inference(plan, hosts, run.listeners, run.stopped)
    return publisher.inferred(run.workspace, run.record, outcome, shown)


def _hosts(run: JobRun, plan: TrainingPlan | InferencePlan) -> HostKind | RunsWholeJobs:
    found = hosts_for(run.workspace.settings, plan.source)
    if has_gpu(plan.instance_type) and not machine_has_gpu() and not isinstance(found, RunsWholeJobs):
        log.warning("%s has a GPU, but this machine has none: the job runs on the CPU", plan.instance_type)
    return found


def _query(run: JobRun) -> JobResult:
    from cleanroom_algo.local.query.engines.run import run as run_query  # importing duckdb takes time

    store = run.workspace.store
    plan = query_plan(run.workspace, run.record)
    budgets = spend(store, run.record.collaboration, tables_of(plan)) if store.count(PRIVACY_BUDGET) else []
    try:
        outcome = run_query(plan)
    except BaseException:
        give_back(store, budgets)
        raise
    kept = {"budgets": budgets, "computed_by": run.workspace.settings.computed_by}
    return publisher.queried(run.record, plan, outcome, kept)


def _export(run: JobRun) -> JobResult:
    outcome = run_export(export_plan(run.workspace, run.record), run.workspace.objects)
    return publisher.exported(outcome)


def _defect(run: JobRun, error: Exception) -> JobResult:
    log.error("job %s failed inside cleanroom-algo", run.record.key, exc_info=error)
    return JobResult(InternalError.code, f"{type(error).__name__} inside cleanroom-algo; the log has more")


_RUNS: Final[dict[str, Callable[[JobRun], JobResult]]] = {
    TRAINED_MODEL: _train,
    INFERENCE_JOB: _infer,
    INPUT_CHANNEL: _query,
    EXPORT_JOB: _export,
}
