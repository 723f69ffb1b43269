"""Hosts: what starting one adds to the bare process, and a job of five hosts with two ranks each."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.harness import Row, pairs, seconds_of
from cleanroom_algo.contract.channel import Distribution
from cleanroom_algo.errors import EngineError
from cleanroom_algo.local.hosts import sandbox
from cleanroom_algo.local.hosts.docker import ENGINES, DockerHosts
from cleanroom_algo.local.hosts.engine import call, find_engine
from cleanroom_algo.local.hosts.process import ProcessHosts
from cleanroom_algo.local.hosts.protocol import HostKind, HostSpec
from cleanroom_algo.local.jobs.plan import AlgorithmSource, ChannelPlan, ObjectRef, TrainingPlan, plan_hosts
from cleanroom_algo.local.jobs.training import TrainingStatus, run_training

NAME = "hosts"
IMAGE = "flight-delay"  # as the README builds it; without it docker hosts are not measured
PROGRAM = (sys.executable, "-S", "-c", "pass")  # the least that any algorithm does
LINEAR = """
from torch import nn
from cleanroom_algo import Hyperparameters, Schema, Trainer

class Linear(Trainer):
    schema = Schema.of(target="y", x="float32", y="float32")
    hyperparameters = Hyperparameters

    def model(self):
        return nn.Linear(1, 1)

    def loss(self, model, batch):
        return nn.functional.mse_loss(model(batch.numeric).squeeze(1), batch.target)
"""


def run(small: bool) -> Iterator[Row]:
    """Measure every kind of host that this machine offers.

    Args:
        small: few repetitions, few hosts.
    """
    repeats = 3 if small else 15
    with tempfile.TemporaryDirectory() as folder:
        starts = {"process": partial(start, ProcessHosts(), Path(folder))}
        if sandbox.missing() is None:
            starts["sandbox"] = partial(start, sandbox.SandboxHosts(), Path(folder))
        if _has_image():
            starts["docker"] = partial(start, DockerHosts(), Path(folder), IMAGE)
        for name, work in starts.items():
            ours, bare = pairs(work, lambda: subprocess.run(PROGRAM, check=True), repeats)
            # A guard is a Python of its own, and a sandbox's network another.
            yield Row(NAME, f"start and end of a {name} host", "s", ours, bare, "bare process", "limit", 0.05, True)
    if sandbox.missing() is None:
        yield from whole_job(small)


def _has_image() -> bool:
    try:
        return call(find_engine(*ENGINES), "image", "inspect", IMAGE).returncode == 0
    except EngineError:
        return False


def start(kind: HostKind, folder: Path, image: str | None = None) -> None:
    """Start a host whose program does nothing, and wait for its end."""
    root = Path(tempfile.mkdtemp(dir=folder)) / "ml"
    root.mkdir()
    with kind.open(["algo-1"]) as hosts:
        program = PROGRAM if image is None else ("python", *PROGRAM[1:])
        source = AlgorithmSource(image or str(folder), entrypoint=program)
        host = hosts.launch(HostSpec("algo-1", root, source, "train"))
        list(host.lines)
        assert host.wait() == 0


def whole_job(small: bool) -> Iterator[Row]:
    """Train on many hosts, with walls and without."""
    count, ranks, turns = (2, 1, 1) if small else (5, 2, 3)
    taken: dict[str, list[float]] = {"process": [], "sandbox": []}
    for _ in range(turns):
        for kind in (ProcessHosts(), sandbox.SandboxHosts()):
            taken[kind.name].append(seconds_of(job(kind, count, ranks)))
    ours, other = median(taken["sandbox"]), median(taken["process"])
    what = f"job of {count} hosts x {ranks} ranks in sandboxes"
    yield Row(NAME, what, "s", ours, other, "process hosts", "limit", 0.8, True)


def job(kind: HostKind, count: int, ranks: int) -> Callable[[], None]:
    """Return a function that runs a small job."""

    def work() -> None:
        folder = Path(tempfile.mkdtemp())
        try:
            (folder / "algorithm.py").write_text(LINEAR, encoding="utf-8")
            objects = []
            for number in range(count):
                path = folder / f"part-{number}.csv"
                path.write_text("".join(f"{row},{row * 2}\n" for row in range(1000)), encoding="utf-8")
                objects.append(ObjectRef(path.name, path, path.stat().st_size))
            channels = (ChannelPlan("train", Distribution.SHARDED_BY_S3_KEY, tuple(objects)),)
            source = AlgorithmSource(str(folder / "algorithm.py"))
            environment = {"CLEANROOM_ALGO_RANKS_PER_HOST": str(ranks)}
            hosts = plan_hosts(channels, count)
            plan = TrainingPlan("job", "arn", folder / "run", source, hosts, channels, environment=environment)
            outcome = run_training(plan, kind, _Silent())
            assert outcome.status is TrainingStatus.COMPLETED, outcome.failure_reason
        finally:
            shutil.rmtree(folder)

    return work


class _Silent:
    def line(self, host: str, stream: str, text: str) -> None:
        pass

    def progress(self, progress: object) -> None:
        pass
