"""Inference jobs, as SageMaker's batch transform runs them for Clean Rooms ML.

(Clean Rooms ML user guide, "Inference model authoring guidelines"; SageMaker developer guide, "Batch transform" and
"Use your own inference code with batch transform"; SageMaker API, CreateTransformJob.)
"""

from __future__ import annotations

import shutil
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cleanroom_algo.contract.sizes import DISK_FULL, MB
from cleanroom_algo.errors import (
    CleanroomError,
    InferenceOutputTooLargeError,
    InferenceTimeoutError,
    JobFailedError,
)
from cleanroom_algo.local.jobs.inference.container import Container, unpack_model
from cleanroom_algo.local.jobs.inference.header import index_warning, names_columns, schema_of
from cleanroom_algo.local.jobs.inference.split import refuse_large, require_lines
from cleanroom_algo.local.jobs.inference.transform import TransferProgress, Transform
from cleanroom_algo.local.plans.inference_plan import InferenceHostPlan, InferencePlan, decide_transfer
from cleanroom_algo.local.plans.listeners import JobListener
from cleanroom_algo.local.plans.outcomes import InferenceOutcome, JobStatus

if TYPE_CHECKING:
    from cleanroom_algo.local.hosts.protocol import HostKind, JobHosts

CHECK_SECONDS = 0.1  # the delay after which a stop from outside is noticed


def run_inference(
    plan: InferencePlan, host_kind: HostKind, listener: JobListener, stopped: threading.Event | None = None
) -> InferenceOutcome:
    """Run an inference job to its end; nothing of it keeps running.

    Args:
        plan: of the job.
        host_kind: where its containers run.
        listener: gets the events of the job.
        stopped: set from outside to end the job early.

    Raises:
        OSError: the disk is full.
    """
    return _Job(plan, host_kind, listener, stopped or threading.Event()).run()


@dataclass
class _Warnings:
    """The warnings of a job; for each kind, the first one and their number are reported."""

    listener: JobListener
    texts: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, host: str, kind: str, text: str) -> None:
        with self.lock:
            if self.texts.get(kind) == text:  # of another process, or of another host
                return
            self.counts[kind] += 1
            if self.texts.setdefault(kind, text) is text:
                self.listener.line(host, "job", f"warning: {text}")

    def all(self) -> tuple[str, ...]:
        more = {kind: f" (and {count - 1:,} more of this kind)" for kind, count in self.counts.items() if count > 1}
        return tuple(text + more.get(kind, "") for kind, text in self.texts.items())


@dataclass
class _Job:
    plan: InferencePlan
    host_kind: HostKind
    listener: JobListener
    stopped: threading.Event
    aborted: threading.Event = field(default_factory=threading.Event)
    containers: list[Container] = field(default_factory=list)
    causes: list[CleanroomError] = field(default_factory=list)
    ended: dict[str, CleanroomError] = field(default_factory=dict)  # why containers ended by themselves, by host
    disk_full: OSError | None = None
    failed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.warnings = _Warnings(self.listener)

    def run(self) -> InferenceOutcome:
        outputs = self.plan.run_directory / "outputs"
        outputs.mkdir(parents=True)
        objects = [each for host in self.plan.hosts for each in host.objects]
        progress = TransferProgress(
            sum(each.size for each in objects), self.plan.max_output_bytes, self.listener.progress
        )
        try:
            if not self.plan.whole_objects:
                for each in objects:
                    require_lines(each)
            model = unpack_model(self.plan.model, self.plan.run_directory / "model")
            schema = schema_of(model)
            if schema is not None and (warning := index_warning(objects, schema)) is not None:
                self.warnings.add(self.plan.hosts[0].name, "index", warning)
            if self.plan.has_header and schema is not None:
                known = self.plan.header_known or names_columns(objects, schema)
                self.plan = replace(self.plan, schema=schema, header_known=known)
            self._run_hosts(model, progress, outputs)
        except (CleanroomError, OSError) as error:
            self._blame(error)
        if self.disk_full is not None:
            raise self.disk_full
        too_large = next((cause for cause in self.causes if isinstance(cause, InferenceOutputTooLargeError)), None)
        if too_large is not None and self.plan.leave_out:
            self.causes.clear()  # the other causes are requests that were cancelled because of it
        elif too_large is not None:
            shutil.rmtree(outputs)  # a part of the output would look like all of it
            outputs.mkdir()
        return self._outcome(outputs, progress, too_large if self.plan.leave_out else None)

    def _run_hosts(self, model: Path, progress: TransferProgress, outputs: Path) -> None:
        names = [host.name for host in self.plan.hosts]
        with self.host_kind.open(names) as hosts, ThreadPoolExecutor(len(names), "instance") as pool:
            running = {pool.submit(self._run_host, hosts, host, model, progress, outputs) for host in self.plan.hosts}
            try:
                limit = time.monotonic() + self.plan.max_seconds
                while running and not self.stopped.is_set():
                    done, running = wait(running, CHECK_SECONDS)
                    for each in done:
                        each.result()
                    if hosts.fault is not None:
                        raise hosts.fault
                    if running and time.monotonic() > limit:
                        raise _too_long(self.plan.max_seconds)
            except BaseException as error:  # also for Ctrl-C: the pool would wait for the containers forever
                if isinstance(error, Exception):
                    self._blame(error)
                else:
                    self.stopped.set()
                    raise
            finally:
                self.aborted.set()
                for container in self.containers:
                    container.abandon()

    def _run_host(
        self, hosts: JobHosts, host: InferenceHostPlan, model: Path, progress: TransferProgress, outputs: Path
    ) -> None:
        say = partial(self.listener.line, host.name, "job")
        warn = partial(self.warnings.add, host.name)
        with Container(self.plan, host, hosts, self.listener.line, model, warn) as container:
            self.containers.append(container)
            say(f"{self.host_kind.name} host, polling GET /ping on {container.address}{self.host_kind.lacks}")
            if self.aborted.is_set():
                return
            try:
                container.wait_until_ready()
            except CleanroomError as cause:
                self._note_end(container, cause)
                raise
            transfer = decide_transfer(self.plan.max_payload_mb, container.client.parameters())
            say(
                f"MaxConcurrentTransforms={transfer.concurrency}, MaxPayloadInMB={transfer.payload_bytes // MB}, "
                "BatchStrategy=MULTI_RECORD"
            )
            if self.plan.whole_objects:
                for each in host.objects:
                    refuse_large(each, transfer.payload_bytes)
                transfer = replace(transfer, payload_bytes=0)
            transform = Transform(self.plan, transfer, container.client, progress, outputs, warn, container.over)
            failed = transform.run(host.objects)
            self.failed += [reference.key for reference, _ in failed]
            if (died := container.failure()) is not None:
                self._note_end(container, died)
                self._blame(died)
            for _, error in failed:
                self._blame(error)

    def _note_end(self, container: Container, error: CleanroomError) -> None:
        if container.exit_code is not None:
            self.ended[container.host.name] = error

    def _blame(self, error: Exception) -> None:
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            self.disk_full = error
        if not isinstance(error, CleanroomError):
            error = JobFailedError(
                f"the job ended with {type(error).__name__}: {error}",
                expected="readable artifacts and objects, and containers that start",
                fix="see the job's log",
            )
        self.causes.append(error)

    def _outcome(
        self, outputs: Path, progress: TransferProgress, left_out: InferenceOutputTooLargeError | None
    ) -> InferenceOutcome:
        if self.stopped.is_set():
            status = JobStatus.STOPPED
        else:
            status = JobStatus.FAILED if self.causes else JobStatus.COMPLETED
        cause = self.causes[0] if status is JobStatus.FAILED else None
        if status is JobStatus.COMPLETED and not progress.records:
            text = "the channel has no rows, only empty objects or headers, so there are no predictions"
            self.warnings.add(self.plan.hosts[0].name, "empty", text)
        written = [path for path in outputs.rglob("*") if path.is_file()]
        return InferenceOutcome(
            status=status,
            failure_reason=None if cause is None else str(cause),
            outputs=outputs,
            bytes=sum(path.stat().st_size for path in written),
            rows=progress.records,
            failed_objects=tuple(sorted(self.failed)),
            error=cause,
            left_out=left_out,
            warnings=self.warnings.all(),
            ended_host=next((host for host, error in self.ended.items() if error is cause), None),
        )


def _too_long(seconds: float) -> InferenceTimeoutError:
    return InferenceTimeoutError(
        f"the job has run for {seconds / 3600:g} hours",
        expected="at most 25 hours, a quota that AWS does not raise",
        fix="use more instances, or a smaller channel",
    )
