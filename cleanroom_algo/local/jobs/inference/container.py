"""One inference container of a job: created, started, watched, stopped."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from cleanroom_algo.channels.hints import UNKNOWN_CATEGORIES
from cleanroom_algo.contract.archive import TRAINED_MODEL, extract_file
from cleanroom_algo.errors import CleanroomError, InferenceContainerDiedError, InferenceServerError
from cleanroom_algo.local.hosts.container_tree import ContainerTree
from cleanroom_algo.local.hosts.protocol import HostSpec, JobHosts, Limits
from cleanroom_algo.local.jobs.inference.client import NOBODY_LISTENS, Client, ping
from cleanroom_algo.local.plans.inference_plan import InferenceHostPlan, InferencePlan
from cleanroom_algo.local.plans.instances import has_gpu, memory_bytes
from cleanroom_algo.local.plans.run_files import USAGE_FILE

PING_INTERVAL_SECONDS = 0.1  # the platform asks every second; containers cannot notice it, and users wait less
START_SECONDS = 1800.0  # until /ping must answer with status 200; AWS has mentioned 30 minutes
STOP_SECONDS = 30.0  # between SIGTERM and SIGKILL (SageMaker developer guide, hosting services)
HINT_SECONDS = 5.0  # before the first message about a wait, then after twice the time: most models have loaded by then


IGNORES_SIGTERM = (
    f"the server did not end within {STOP_SECONDS:g} s of SIGTERM and was killed, as it is in every inference job; "
    "handle SIGTERM in the program that is started: process 1 of a container ignores signals that it does not handle"
)


def unpack_model(model: Path, target: Path) -> Path:
    """Unpack the artifacts as /opt/ml/model, once for all hosts, and make them read-only.

    Args:
        model: a directory, or a model.tar.gz.
        target: a new directory.

    Raises:
        OSError: the artifacts cannot be read.
        CleanroomError: CR-ART-006, the archive leads out of its folder; CR-ART-007, it is damaged.
    """
    if model.is_dir():
        shutil.copytree(model, target)
    else:
        extract_file(model, target, subject=TRAINED_MODEL)
    for path in [target, *target.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else path.stat().st_mode & 0o111 | 0o444)
    return target


class Container:
    """A started container; leaving the context manager ends it.

    Args:
        plan: of the job.
        host: the instance.
        hosts: of the job.
        line: called with (host, stream, text) of each line of its output, and of messages about it (`job`).
        model: the unpacked artifacts.
        warn: called with the kind and the text of what is slow or may fail in the clean room.

    Attributes:
        over: set when the container has ended, or when it gets no more requests.
        client: its HTTP interface.
        address: the expected address of the server, in words.
    """

    def __init__(
        self,
        plan: InferencePlan,
        host: InferenceHostPlan,
        hosts: JobHosts,
        line: Callable[[str, str, str], None],
        model: Path,
        warn: Callable[[str, str], None],
    ) -> None:
        self.plan = plan
        self.host = host
        self.over = threading.Event()
        self._ended = threading.Event()
        self._told = False
        self._ready = False
        self.exit_code: int | None = None
        root = plan.run_directory / "hosts" / host.name / "ml"
        self._tree = ContainerTree(root)
        self._line = line
        self._warn = warn
        self._running = hosts.launch(self._spec(root, model))
        self.address = self._running.address
        self.client = Client(self._running.connect, content_type=plan.content_type, accept=plan.accept)
        self._threads = [
            threading.Thread(target=self._read_lines, name=f"{host.name}-lines", daemon=True),
            threading.Thread(target=self._watch, name=f"{host.name}-end", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the container: SIGTERM, after 30 s SIGKILL; nothing of it remains."""
        self.abandon()
        self._running.terminate()
        if not self._ended.wait(HINT_SECONDS):
            self._say(
                f"the server has not ended {HINT_SECONDS:g} s after SIGTERM; it is killed after {STOP_SECONDS:g} s"
            )
            if not self._ended.wait(STOP_SECONDS - HINT_SECONDS):
                self._warn("sigterm", f"{self.host.name}: {IGNORES_SIGTERM}")
                self._running.kill()
        for thread in self._threads:
            thread.join()
        self.client.close()

    def wait_until_ready(self) -> None:
        """Wait until /ping answers with status 200, and report from time to time why it does not.

        Raises:
            InferenceServerError: the container ended, or the time is up.
        """
        started, hint, reason = time.monotonic(), HINT_SECONDS, ""
        while not self.over.is_set() and (waited := time.monotonic() - started) < START_SECONDS:
            if not (reason := ping(self._running.connect)):
                self._ready = True
                return
            if waited >= hint:
                self._say(f"waiting for GET /ping on {self.address} for {waited:.0f} s: {reason}{_advice(reason)}")
                hint *= 2
            self.over.wait(PING_INTERVAL_SECONDS)
        raise self.failure() or InferenceServerError(
            f"{self.host.name}: GET /ping on {self.address} has not answered 200 for {START_SECONDS:g} s: {reason}",
            expected="GET /ping answering 200 once the model is loaded",
            fix="see the container's log; end `serve` with a nonzero exit status if the model cannot be loaded",
        )

    def failure(self) -> CleanroomError | None:
        """Return why the container ended by itself; None while it runs, or if it was told to end."""
        if self.exit_code is None or self._told:
            return None
        reason = self._tree.failure()
        kind = InferenceContainerDiedError if self._ready else InferenceServerError
        return kind(
            f"{self.host.name}: the container ended with {_status(self.exit_code)}" + (f": {reason}" if reason else ""),
            expected="a container that serves until it gets SIGTERM",
            fix="see the container's log; after SIGKILL, choose an instance type with more memory or a smaller "
            "maxPayloadInMB",
        )

    def abandon(self) -> None:
        """Cancel the requests in flight; no further ones are sent."""
        self._told = True
        self.over.set()
        self.client.cancel()

    def _say(self, text: str) -> None:
        self._line(self.host.name, "job", text)

    def _spec(self, root: Path, model: Path) -> HostSpec:
        return HostSpec(
            name=self.host.name,
            root=root,
            source=self.plan.source,
            verb="serve",
            environment=self.plan.container_environment,
            shared={"model": model},
            limits=Limits(memory_bytes(self.plan.instance_type), gpus=has_gpu(self.plan.instance_type)),
            usage=self.plan.run_directory / USAGE_FILE,
        )

    def _read_lines(self) -> None:
        for stream, text in self._running.lines:
            self._line(self.host.name, stream, text)
            if (start := text.find(UNKNOWN_CATEGORIES)) >= 0:
                self._warn(text[start:], text[start:])

    def _watch(self) -> None:
        self.exit_code = self._running.wait()
        self._ended.set()
        self.over.set()
        self.client.cancel()


def _status(exit_code: int) -> str:
    """Return an exit status, with the name of its signal if it means one."""
    try:
        return f"exit status {exit_code} ({signal.Signals(exit_code - 128).name})"
    except ValueError:
        return f"exit status {exit_code}"


def _advice(reason: str) -> str:
    if reason != NOBODY_LISTENS:
        return ""
    return "; it may still be starting; it must listen on 0.0.0.0, port SAGEMAKER_BIND_TO_PORT or 8080"
