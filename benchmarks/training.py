"""Training: our loop beside one written by hand, start-up, saving, and two ranks beside torchrun's DDP.

Both loops use AdamW: ours the fused one, its default optimizer; the one by hand as torch's tutorials call it.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median

import torch
from safetensors.torch import save_file

from benchmarks.harness import Row, seconds_of
from cleanroom_algo.training.artifacts.tensor_file import write_tensors

STARTUP_SECONDS = 0.5  # what `train` may take beyond importing torch

# Batches in memory stand in for the channel, so that the loop alone is measured; both loops get the same ones.
COMMON = """
import os, time, torch
from torch import nn

STEPS = int(os.environ["BENCH_STEPS"])
WARM = STEPS // 10

def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 1))

def tensors():
    torch.manual_seed(1)
    return torch.randn(16, 512, 64), torch.randn(16, 512)
"""

ALGORITHM = (
    COMMON
    + """
from cleanroom_algo import Hyperparameters, Schema, Trainer
from cleanroom_algo.channels.features import Features
from cleanroom_algo.data.batch import Batch
from cleanroom_algo.training.inputs import Inputs

class Memory:
    steps = STEPS
    drop_last = True

    def __init__(self):
        x, y = tensors()
        none = torch.zeros(512, 0, dtype=torch.int64)
        self.batches = [Batch(x[i], none, y[i]) for i in range(len(x))]

    def set_epoch(self, number):
        pass

    def __iter__(self):
        for step in range(STEPS):
            if step == WARM:
                self.start = time.perf_counter()
            yield self.batches[step % len(self.batches)]
        print("rate", (STEPS - WARM) / (time.perf_counter() - self.start), flush=True)

Inputs.dataset = lambda *arguments, **options: Memory()

class Bench(Trainer):
    schema = Schema.of(target="y", x="float32", y="float32")
    batch_size = 512
    save_optimizer = False

    def fit_features(self):
        return Features.plain(self.schema)

    def model(self):
        print("ready", time.time(), flush=True)
        return build()

    def loss(self, model, batch):
        return nn.functional.mse_loss(model(batch.numeric).squeeze(1), batch.target)
"""
)

BY_HAND = (
    COMMON
    + """
import gc
import torch.distributed as dist
model = build()
if "RANK" in os.environ:
    dist.init_process_group("gloo")
    model = nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
x, y = tensors()
for step in range(STEPS):
    if step == WARM:
        start = time.perf_counter()
    loss = nn.functional.mse_loss(model(x[step % 16]).squeeze(1), y[step % 16])
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    if step % 50 == 49:
        print("loss", loss.item(), flush=True)
print("rate", (STEPS - WARM) / (time.perf_counter() - start), flush=True)
if "RANK" in os.environ:
    dist.destroy_process_group()
    del model
    gc.collect()  # DDP still holds the group, whose threads may abort the process while Python ends
"""
)


def run(small: bool) -> Iterator[Row]:
    """Measure all; `small` takes few steps and bytes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield from _loops(folder, 50, 1, hosts=1) if small else _loops(folder, 2000, 5, hosts=2)
        yield _saving(folder, 10 if small else 1000, 1 if small else 5)


def _loops(folder: Path, steps: int, repeats: int, hosts: int) -> Iterator[Row]:
    environ = {"BENCH_STEPS": str(steps), "OMP_NUM_THREADS": "1"}
    script = folder / "by_hand.py"
    script.write_text(BY_HAND)
    bare = [sys.executable, "-c", "import torch"]
    alone, starts = [], []
    for _ in range(repeats):
        start = time.time()
        told = _ours(folder, 1, environ)
        alone.append((told["rate"], _told([[sys.executable, str(script)]], environ)["rate"]))
        starts.append((told["ready"] - start, seconds_of(lambda: subprocess.run(bare, check=True))))
    yield _row("the loop, one rank", alone, "a loop by hand", 0.97)
    yield _startup(starts)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes", str(hosts), "--nproc-per-node", "1"]
    torchrun += ["--log-dir", str(folder)]  # nobody removes its default
    together = []
    for _ in range(repeats):
        address = ["--master-addr", "127.0.0.1", "--master-port", str(_free_port())]
        commands = [[*torchrun, "--node-rank", str(rank), *address, str(script)] for rank in range(hosts)]
        ours = _ours(folder, hosts, environ) if hosts > 1 else told  # one host has nothing to add up
        theirs = _told(commands, environ | {"GLOO_SOCKET_IFNAME": "lo"})
        together.append((ours["rate"], theirs["rate"]))
    yield _row(f"DDP over {hosts} hosts on loopback", together, "torchrun and DDP", 0.95)


def _startup(turns: list[tuple[float, float]]) -> Row:
    """From the start of the process to the algorithm's first hook."""
    mine, others = (median(column) for column in zip(*turns, strict=True))
    limit = others + STARTUP_SECONDS
    name = "import torch, and half a second"
    return Row("training", "from start to `model()`", "s", mine, limit, name, "limit", 1.0, lower_is_better=True)


def _saving(folder: Path, megabytes: int, repeats: int) -> Row:
    tensors = {f"layer{number}": torch.randn(megabytes * 250_000 // 20) for number in range(20)}
    path = folder / "model.safetensors"

    def theirs() -> None:
        path.unlink(missing_ok=True)
        save_file(tensors, path)
        with path.open("rb") as file:
            os.fsync(file.fileno())

    def ours() -> None:
        path.unlink(missing_ok=True)
        write_tensors(path, tensors)

    ours()
    theirs()
    turns = [(megabytes / seconds_of(ours), megabytes / seconds_of(theirs)) for _ in range(repeats)]
    return _row(f"saving {megabytes} MB, hashed and on the disk", turns, "safetensors and fsync", 0.95, "MB/s")


def _row(what: str, turns: list[tuple[float, float]], other: str, goal: float, unit: str = "steps/s") -> Row:
    mine, theirs = (median(column) for column in zip(*turns, strict=True))
    ratio = median(one / two for one, two in turns)
    return Row("training", what, unit, mine, theirs, other, "peer", goal, paired_ratio=ratio)


def _ours(folder: Path, hosts: int, environ: Mapping[str, str]) -> dict[str, float]:
    """Run a job as the platform starts it, and return what the first host tells: when it was ready, and its rate."""
    algorithm = folder / "bench_algorithm.py"
    algorithm.write_text(ALGORITHM)
    names = [f"algo-{number + 1}" for number in range(hosts)]
    meeting = f"127.0.0.1:{_free_port()}"
    roots = []
    for name in names:
        root = Path(tempfile.mkdtemp(dir=folder))
        config = root / "input" / "config"
        config.mkdir(parents=True)
        (root / "input" / "data" / "train").mkdir(parents=True)
        (config / "hyperparameters.json").write_text("{}")
        (config / "inputdataconfig.json").write_text(json.dumps({"train": {"TrainingInputMode": "File"}}))
        resources = {"current_host": name, "hosts": names, "network_interface_name": "eth0"}
        (config / "resourceconfig.json").write_text(json.dumps(resources))
        roots.append({"SAGEMAKER_BASE_DIR": str(root), "CLEANROOM_ALGO_ALGORITHM": str(algorithm)})
    shared = {**environ, "CLEANROOM_ALGO_RENDEZVOUS": meeting}
    command = [sys.executable, "-m", "cleanroom_algo.training", "train"]
    return _told([command] * hosts, shared, roots)


def _told(
    commands: list[list[str]], environ: Mapping[str, str], own: list[dict[str, str]] | None = None
) -> dict[str, float]:
    processes = [
        subprocess.Popen(
            command,
            env={**os.environ, **environ, **(own[number] if own else {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number, command in enumerate(commands)
    ]
    outputs = [process.communicate() for process in processes]
    for process, (_, error) in zip(processes, outputs, strict=True):
        if process.returncode:
            raise RuntimeError(error)
    told = [line.split() for line in outputs[0][0].splitlines() if line.startswith(("rate ", "ready "))]
    return {word: float(value) for word, value in told}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
