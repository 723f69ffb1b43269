"""Hosts: what starting one adds to the bare process, and a job of five hosts with two ranks each."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
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
from cleanroom_algo.local.jobs.training import run_training
from cleanroom_algo.local.objects.reference import ObjectRef
from cleanroom_algo.local.plans.outcomes import JobStatus
from cleanroom_algo.local.plans.training_plan import AlgorithmSource, ChannelPlan, TrainingPlan, plan_hosts

NAME = "hosts"
IMAGE = "flight-delay"  # as the README builds it; without it docker hosts are not measured
LINEAR_IMAGE = "cleanroom-algo-benchmark"
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
    engine = _engine()
    with tempfile.TemporaryDirectory() as folder:
        yield from starts(Path(folder), engine, 0 if small else 15)
    yield from whole_job(engine, small)


def _engine() -> str | None:
    """Return the engine that has the image, if there is one."""
    try:
        engine = find_engine(*ENGINES)
    except EngineError:
        return None
    return engine if call(engine, "image", "inspect", IMAGE).returncode == 0 else None


def starts(folder: Path, engine: str | None, repeats: int) -> Iterator[Row]:
    """Start and end hosts whose program does nothing, beside what starts that program without a host."""
    # A guard is a Python of its own, some 0.04 s; a sandbox's network is another, and bubblewrap comes on top.
    kinds: dict[str, tuple[Callable[[], object], Sequence[str], float]] = {
        "process": (partial(start, ProcessHosts(), folder), PROGRAM, 0.12)
    }
    if sandbox.missing() is None:
        kinds["sandbox"] = (partial(start, sandbox.SandboxHosts(), folder), PROGRAM, 0.06)
    if engine is not None:
        # What the engine itself takes is not ours to change. A network of the job's own, made and removed, a look at
        # the image, and the container's removal are four further commands of it.
        alone = (engine, "run", "--rm", "--network", "none", "--entrypoint", "python", IMAGE, *PROGRAM[1:])
        kinds["docker"] = (partial(start, DockerHosts(), folder, IMAGE), alone, 0.35)
    for name, (work, bare, goal) in kinds.items():
        ours, other = pairs(work, partial(subprocess.run, bare, check=True), repeats)
        limit = f"bare `{bare[0]} run`" if name == "docker" else "bare process"
        yield Row(NAME, f"start and end of a {name} host", "s", ours, other, limit, "limit", goal, True)


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


def whole_job(engine: str | None, small: bool) -> Iterator[Row]:
    """Train on many hosts, isolated and not."""
    count, ranks, turns = (1, 1, 1) if small else (5, 2, 2)  # each job of the latter is 15 processes that import torch
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "algorithm.py").write_text(LINEAR, encoding="utf-8")
        kinds: dict[str, tuple[HostKind, str]] = {"process": (ProcessHosts(), str(folder / "algorithm.py"))}
        if sandbox.missing() is None:
            kinds["sandbox"] = (sandbox.SandboxHosts(), str(folder / "algorithm.py"))
        if engine is not None:
            kinds["docker"] = (DockerHosts(), _linear_image(engine, folder))
        if len(kinds) == 1:
            return
        taken: dict[str, list[float]] = {kind: [] for kind in kinds}
        for _ in range(turns):
            for kind, (hosts, image) in kinds.items():
                taken[kind].append(seconds_of(partial(job, hosts, image, count, ranks)))
    other = median(taken.pop("process"))
    for kind, seconds in taken.items():
        what = f"job of {count} hosts x {ranks} ranks on {kind} hosts"
        # An engine's containers are one group for the scheduler: beside other busy processes they get one's share.
        goal = 0.5 if kind == "docker" else 0.8
        yield Row(NAME, what, "s", median(seconds), other, "process hosts", "limit", goal, True)


def _linear_image(engine: str, folder: Path) -> str:
    lines = (f"FROM {IMAGE}", "COPY algorithm.py /opt/algorithm/algorithm.py", "")
    (folder / "Dockerfile").write_text("\n".join(lines), encoding="utf-8")
    subprocess.run([engine, "build", "--quiet", "--tag", LINEAR_IMAGE, str(folder)], check=True, capture_output=True)
    return LINEAR_IMAGE


def job(kind: HostKind, image: str, count: int, ranks: int) -> None:
    """Run a small job on some hosts."""
    folder = Path(tempfile.mkdtemp())
    try:
        objects = []
        for number in range(count):
            path = folder / f"part-{number}.csv"
            path.write_text("".join(f"{row},{row * 2}\n" for row in range(1000)), encoding="utf-8")
            objects.append(ObjectRef(path.name, path, path.stat().st_size))
        channels = (ChannelPlan("train", Distribution.SHARDED_BY_S3_KEY, tuple(objects)),)
        environment = {"CLEANROOM_ALGO_RANKS_PER_HOST": str(ranks)}
        hosts = plan_hosts(channels, count)
        plan = TrainingPlan(
            "job", "arn", folder / "run", AlgorithmSource(image), hosts, channels, environment=environment
        )
        outcome = run_training(plan, kind, Silent())
        assert outcome.status is JobStatus.COMPLETED, outcome.failure_reason
    finally:
        shutil.rmtree(folder)


class Silent:
    """Takes what a job says."""

    def line(self, host: str, stream: str, text: str) -> None:
        """Drop a line of the log."""

    def progress(self, progress: object) -> None:
        """Drop it."""
