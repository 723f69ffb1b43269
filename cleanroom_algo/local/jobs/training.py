"""Runs a training job: creates, starts and watches hosts, keeps the first cause of a failure, packs the artifacts."""

from __future__ import annotations

import contextlib
import math
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cleanroom_algo.errors import ArtifactsTooLargeError, ChannelWrittenError, CleanroomError, JobStoppedError
from cleanroom_algo.local.hosts.container_tree import ContainerTree
from cleanroom_algo.local.hosts.delivery import Delivery
from cleanroom_algo.local.hosts.layout import container_variables, lay_out
from cleanroom_algo.local.hosts.protocol import HostKind, HostSpec, JobHosts, Limits, RunningHost
from cleanroom_algo.local.jobs.packing import Artifacts, merge, pack
from cleanroom_algo.local.objects.download import Downloads
from cleanroom_algo.local.plans.instances import GIB, has_gpu, memory_bytes
from cleanroom_algo.local.plans.listeners import JobListener
from cleanroom_algo.local.plans.outcomes import JobStatus, TrainingOutcome
from cleanroom_algo.local.plans.run_files import LOG_FILE, MODEL_ARCHIVE, OUTPUT_ARCHIVE, USAGE_FILE
from cleanroom_algo.local.plans.training_plan import HostPlan, TrainingPlan
from cleanroom_algo.local.policies.caps import hold_to_cap
from cleanroom_algo.local.resources.job_log import JobLog

GRACE_SECONDS = 120.0  # between SIGTERM and SIGKILL (SageMaker API, StopTrainingJob)
LOST_DATA_SECONDS = 10.0  # the same for containers that wait for data that will not come
_REASON_CHARACTERS = 1024  # SageMaker API, FailureReason


def run_training(
    plan: TrainingPlan,
    host_kind: HostKind,
    listener: JobListener,
    stopped: threading.Event | None = None,
    *,
    grace_seconds: float = GRACE_SECONDS,
) -> TrainingOutcome:
    """Run a training job to its end; nothing of it keeps running.

    Args:
        plan: of the job.
        host_kind: where its containers run.
        listener: gets the events of the job.
        stopped: set from outside to stop the job: SIGTERM, and SIGKILL after the grace period.
        grace_seconds: 120 on the platform.

    Raises:
        HostError: a host could not be started.
        RoomError: CR-ROM-004 or CR-ROM-008, the objects of a channel could not be downloaded before the start.
    """
    plan.run_directory.mkdir(parents=True, exist_ok=True)
    with JobLog(plan.run_directory / LOG_FILE) as log:
        return _Job(plan, host_kind, listener, stopped or threading.Event(), grace_seconds, log).run()


@dataclass
class _Job:
    plan: TrainingPlan
    host_kind: HostKind
    listener: JobListener
    stopped: threading.Event
    grace_seconds: float
    log: JobLog
    exit_codes: dict[str, int] = field(default_factory=dict)
    first_failed: str | None = None
    timed_out: bool = False
    _sources: tuple[Delivery | JobHosts, ...] = ()

    def run(self) -> TrainingOutcome:
        try:
            trees, deliveries = self._run()
        except JobStoppedError:  # before the job starts
            return TrainingOutcome(JobStatus.STOPPED, None, {}, self.plan.run_directory / LOG_FILE)
        written = [f"{name}: {path}" for name, each in deliveries.items() for path in each.written]
        return self._outcome(trees, written)

    def _run(self) -> tuple[dict[str, ContainerTree], dict[str, Delivery]]:
        trees = {host.name: lay_out(self.plan, host) for host in self.plan.hosts}
        downloads = Downloads(self.stopped, self.listener.progress)
        delivered: dict[str, Delivery] = {}
        # Pipes are closed after the containers: a feeder that still writes ends when its reader has ended.
        with contextlib.ExitStack() as stack:
            for host in self.plan.hosts:
                delivered[host.name] = stack.enter_context(
                    Delivery(
                        self.plan,
                        host,
                        trees[host.name],
                        downloads=downloads,
                        isolates_files=self.host_kind.isolates_files,
                    )
                )
            self._sources = tuple(delivered.values())
            hosts = stack.enter_context(self.host_kind.open(self.plan.host_names))
            self._sources = (*self._sources, hosts)
            self._run_hosts(hosts, trees, delivered)
        return trees, delivered

    def _run_hosts(self, hosts: JobHosts, trees: dict[str, ContainerTree], delivered: dict[str, Delivery]) -> None:
        running: dict[str, RunningHost] = {}
        readers: list[threading.Thread] = []
        ended: queue.Queue[tuple[str, int]] = queue.Queue()
        try:
            for host in self.plan.hosts:
                running[host.name] = hosts.launch(self._spec(host, trees[host.name], delivered[host.name].shared))
                readers.append(_thread(f"{host.name}-log", self._read, host.name, running[host.name]))
                _thread(f"{host.name}-end", _wait, host.name, running[host.name], ended)
            self._watch(running, ended)
        finally:
            for each in running.values():
                each.kill()
            for each in running.values():
                each.wait()
            for reader in readers:
                reader.join()

    def _spec(self, host: HostPlan, tree: ContainerTree, shared: Mapping[str, Path]) -> HostSpec:
        return HostSpec(
            name=host.name,
            root=tree.root,
            source=self.plan.source,
            verb="train",
            environment=container_variables(self.plan, tree.seen_by(self.host_kind)),
            shared=shared,
            limits=Limits(
                memory_bytes(self.plan.instance_type), self.plan.volume_gb * GIB, has_gpu(self.plan.instance_type)
            ),
            usage=self.plan.run_directory / USAGE_FILE,
        )

    def _watch(self, running: dict[str, RunningHost], ended: queue.Queue[tuple[str, int]]) -> None:
        """Wait for all hosts; if one fails, the time is up or the job should stop, stop the others gracefully."""
        limit = time.monotonic() + self.plan.max_runtime_seconds
        kill_at: float | None = None
        while len(self.exit_codes) < len(running):
            with contextlib.suppress(queue.Empty):
                name, code = ended.get(timeout=0.05)
                self.exit_codes[name] = code
                if code and self.first_failed is None and kill_at is None:
                    self.first_failed = name
            now = time.monotonic()
            lost = self._fault() is not None
            if kill_at is None and (lost or self.first_failed or self.stopped.is_set() or now > limit):
                self.timed_out = now > limit and not (lost or self.first_failed or self.stopped.is_set())
                kill_at = now + min(self.grace_seconds, LOST_DATA_SECONDS if lost else math.inf)
                for each in running.values():
                    each.terminate()
            elif kill_at is not None and now > kill_at:
                kill_at = math.inf
                for each in running.values():
                    each.kill()

    def _read(self, name: str, host: RunningHost) -> None:
        for stream, text in host.lines:
            self.log.line(name, stream, text)
            self.listener.line(name, stream, text)

    def _fault(self) -> Exception | None:
        """Return why the hosts do not get all of their data; None if they do."""
        return next((each.fault for each in self._sources if each.fault is not None), None)

    # --- the end ----------------------------------------------------------------------------------------------------

    def _outcome(self, trees: dict[str, ContainerTree], written: list[str]) -> TrainingOutcome:
        log = self.plan.run_directory / LOG_FILE
        if (fault := self._fault()) is not None:  # regardless of how the containers reacted to it
            if not isinstance(fault, CleanroomError):
                raise fault
            return TrainingOutcome(JobStatus.FAILED, str(fault)[:_REASON_CHARACTERS], self.exit_codes, log)
        if self.first_failed is not None:
            return TrainingOutcome(JobStatus.FAILED, self._reason(trees), self.exit_codes, log)
        if self.stopped.is_set() or self.timed_out:
            reason = f"MaxRuntimeExceeded: {self.plan.max_runtime_seconds} s" if self.timed_out else None
            return TrainingOutcome(JobStatus.STOPPED, reason, self.exit_codes, log)
        try:
            _refuse_written(written)
            return self._packed(trees, log)
        except JobStoppedError:
            return TrainingOutcome(JobStatus.STOPPED, None, self.exit_codes, log)
        except CleanroomError as error:
            return TrainingOutcome(JobStatus.FAILED, str(error)[:_REASON_CHARACTERS], self.exit_codes, log)

    def _packed(self, trees: dict[str, ContainerTree], log: Path) -> TrainingOutcome:
        volume = self.plan.volume_gb * GIB
        with contextlib.ExitStack() as stack:

            def merged(folder: str) -> Artifacts:
                left = {name: stack.enter_context(tree.left_in(folder)) for name, tree in trees.items()}
                found = merge(left, volume_bytes=volume)
                for problem in found.left_out:
                    self._tell(f"{folder}/{problem.path} is left out of the artifacts: it {problem.message}")
                return found

            model, output = merged("model"), merged("output/data")
            raw_bytes, left_out = self._bound(model, output)
            archives = self.plan.run_directory / MODEL_ARCHIVE, self.plan.run_directory / OUTPUT_ARCHIVE
            packed_bytes = pack(model, archives[0], self.stopped) + pack(output, archives[1], self.stopped)
        return TrainingOutcome(
            status=JobStatus.COMPLETED,
            failure_reason=None,
            exit_codes=self.exit_codes,
            log=log,
            model_archive=archives[0],
            output_archive=archives[1],
            raw_bytes=raw_bytes,
            packed_bytes=packed_bytes,
            left_out=left_out,
        )

    def _tell(self, text: str) -> None:
        self.log.line("job", "job", text)
        self.listener.line("job", "job", text)

    def _bound(self, model: Artifacts, output: Artifacts) -> tuple[int, ArtifactsTooLargeError | None]:
        """Apply the maximum size: remove files that are left out; return the bytes of the rest, and any error."""
        folders = {"model": model.files, "output": output.files}
        sizes = {f"{root}/{name}": files[name].entry.size for root, files in folders.items() for name in files}
        kept, left_out = hold_to_cap(sizes, self.plan.max_artifact_bytes, leave_out=self.plan.leave_out)
        for root, files in folders.items():
            for name in [name for name in files if f"{root}/{name}" not in kept]:
                del files[name]
        return sum(sizes[name] for name in kept), left_out

    def _reason(self, trees: dict[str, ContainerTree]) -> str:
        """Return the failure text of the first failed host, in the form that SageMaker's jobs have shown."""
        name = self.first_failed or next(iter(trees))
        code = self.exit_codes[name]
        text = trees[name].failure() or f"Exit Code: {code}" + (f" on {name}" if len(trees) > 1 else "")
        return f"AlgorithmError: {text}"[:_REASON_CHARACTERS]


def _refuse_written(written: list[str]) -> None:
    if written:
        raise ChannelWrittenError(
            f"{len(written)} file(s) of channels were changed, created or deleted: {', '.join(written[:5])}",
            expected="unchanged channels in FastFile mode, because the platform mounts them read-only",
            fix="write to /tmp or /opt/ml/output/data; in File mode, to a copy",
        )


def _thread(name: str, target: Callable[..., None], *arguments: object) -> threading.Thread:
    thread = threading.Thread(target=target, args=arguments, name=name, daemon=True)
    thread.start()
    return thread


def _wait(name: str, host: RunningHost, ended: queue.Queue[tuple[str, int]]) -> None:
    ended.put((name, host.wait() or 0))
