"""Algorithms, data and hosts for the tests: real files, real processes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.preloaded import PreloadedProcess
from tests.serving.support import free_port

ALGORITHM = '''
"""A linear model over two numbers and a category."""

import os
import torch
from torch import nn
from cleanroom_algo import Hyperparameters, Schema, Trainer


class Params(Hyperparameters):
    epochs: int = 2
    batch_size: int = 64
    learning_rate: float = 0.05
    seed: int = 3


class Net(nn.Module):
    def __init__(self, numeric, cardinality):
        super().__init__()
        self.table = nn.Embedding(cardinality, 3)
        self.layer = nn.Linear(numeric + 3, 1)

    def forward(self, numeric, categorical):
        return self.layer(torch.cat([numeric, self.table(categorical[:, 0])], dim=1)).squeeze(1)


class Late(Trainer):
    schema = Schema.of(target="late", carrier="string", distance="float64?", hour="int32", late="bool")
    hyperparameters = Params
    log_steps = 2
    metric_names = ("accuracy",)

    def model(self):
        return Net(self.features.numeric_size, self.features.cardinalities[0])

    def loss(self, model, batch):
        return nn.functional.binary_cross_entropy_with_logits(model(batch.numeric, batch.categorical), batch.target)

    def metrics(self, model, batch):
        right = (model(batch.numeric, batch.categorical) > 0) == (batch.target > 0.5)
        return {"accuracy": right.float().mean()}
'''
DIE_ONCE = """import pathlib
        mark = pathlib.Path(__file__).with_name("died")
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), 9)"""
LONG = {"epochs": "100000", "batch_size": "8"}


def algorithm(folder: Path, body: str = "", text: str = ALGORITHM) -> Path:
    """Write an algorithm, `body` appended to its class, and return its file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "late_algorithm.py"
    indented = "".join(f"    {line}\n" if line else "\n" for line in body.splitlines())
    path.write_text(text + "\n" + indented)
    return path


def csv_rows(rows: int, seed: int = 0) -> str:
    """Return rows of the algorithm's schema, late when far or in the evening."""
    draw = random.Random(seed)
    lines = []
    for _ in range(rows):
        carrier = draw.choice(["AA", "B6", "DL"])
        distance, hour = draw.gauss(1000, 300), draw.randrange(24)
        late = (distance - 1000) / 300 + (hour - 12) / 8 + (carrier == "B6") > 0.4
        lines.append(f"{carrier},{distance:.3f},{hour},{str(late).lower()}\n")
    return "".join(lines)


@dataclass
class Container:
    """One host's tree, as the platform lays it out."""

    root: Path
    algorithm: Path
    hosts: Sequence[str] = ("algo-1",)
    current: str = "algo-1"
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    channels: dict[str, dict[str, str]] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)

    def channel(self, name: str, files: Mapping[str, str | bytes], **config: str) -> Container:
        folder = self.root / "input" / "data" / name
        folder.mkdir(parents=True)
        for key, content in files.items():
            path = folder / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        self.channels[name] = {"TrainingInputMode": "File", **config}
        return self

    @property
    def model(self) -> Path:
        return self.root / "model"

    @property
    def failure(self) -> str:
        path = self.root / "output" / "failure"
        return path.read_text() if path.exists() else ""

    def lay_out(self) -> None:
        """Write the configuration files."""
        config = self.root / "input" / "config"
        config.mkdir(parents=True, exist_ok=True)
        (config / "hyperparameters.json").write_text(json.dumps(dict(self.hyperparameters)))
        (config / "inputdataconfig.json").write_text(json.dumps(self.channels))
        resources = {"current_host": self.current, "hosts": list(self.hosts), "network_interface_name": "eth0"}
        (config / "resourceconfig.json").write_text(json.dumps(resources))

    def environment(self) -> dict[str, str]:
        """Return the environment variables of its processes."""
        return {
            "SAGEMAKER_BASE_DIR": str(self.root),
            "CLEANROOM_ALGO_ALGORITHM": str(self.algorithm),
            "OMP_NUM_THREADS": "1",
            **self.variables,
        }

    def start(self, **variables: str) -> PreloadedProcess:
        self.lay_out()
        environment = {**os.environ, **self.environment(), **variables}
        return PreloadedProcess("cleanroom_algo.training", "train", env=environment)

    def run(self, *, seconds: float = 120, **variables: str) -> Ended:
        return finish(self.start(**variables), seconds)


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    status: int
    out: str
    err: str

    def metrics(self, name: str) -> list[float]:
        return [
            float(word.partition("=")[2])
            for line in self.out.splitlines()
            if line.startswith("[metric]")
            for word in line.split()
            if word.startswith(f"{name}=")
        ]


def finish(process: PreloadedProcess, seconds: float = 120) -> Ended:
    """Wait for a process; kill it, with all it started, when it takes too long."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        raise AssertionError(f"still running after {seconds} s\n{out}\n{err}") from None
    return Ended(process.wait(), out, err)


def run_all(hosts: Sequence[Container], **variables: str) -> list[Ended]:
    """Run hosts side by side to their end."""
    return [finish(process) for process in [host.start(**variables) for host in hosts]]


def listing(folder: Path) -> list[str]:
    """Return the names in a folder, sorted; none where it does not exist."""
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def two_hosts(
    folder: Path, algorithm: Path, parts: Sequence[Mapping[str, str | bytes]], **hyperparameters: str
) -> list[Container]:
    """Return two hosts that meet on loopback, each with its own part of a sharded channel."""
    port = free_port()
    names = ("algo-1", "algo-2")
    return [
        Container(
            folder / name,
            algorithm,
            names,
            name,
            hyperparameters,
            variables={"CLEANROOM_ALGO_RENDEZVOUS": f"127.0.0.1:{port}"},
        ).channel("train", part, S3DistributionType="ShardedByS3Key")
        for name, part in zip(names, parts, strict=True)
    ]


def feed(host: Container, epoch: int, content: bytes) -> threading.Thread:
    """Write an epoch of a host's channel "train" into a pipe of its own, as soon as it is read."""
    fifo = host.root / "input" / "data" / f"train_{epoch}"
    os.mkfifo(fifo)
    thread = threading.Thread(target=fifo.write_bytes, args=(content,), daemon=True)
    thread.start()
    return thread


def wait_for_line(process: PreloadedProcess, text: str, seconds: float = 60) -> list[str]:
    """Read the output until a line holds a text; the lines read are returned."""
    assert process.stdout is not None
    lines = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        line = process.stdout.readline()
        if not line:
            break
        lines.append(line)
        if text in line:
            return lines
    assert process.stderr is not None
    raise AssertionError("".join(lines) + process.stderr.read())


def act_at(step: int, action: str, rank: int = 0) -> str:
    """Return hooks that act in one rank before a step."""
    return f"""
calls = 0
def loss(self, model, batch):
    self.calls += 1
    if self.world.rank == {rank} and self.calls == {step}:
        {action}
    return nn.functional.binary_cross_entropy_with_logits(model(batch.numeric, batch.categorical), batch.target)
"""
