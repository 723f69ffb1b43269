"""Boosted trees: two process hosts beside the library's own launcher, input, memory, and the start without torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.harness import Other, Row, compare
from benchmarks.hosts import Silent
from benchmarks.tables import NUMBERS, numbers
from cleanroom_algo.channels.schema import Column, Schema
from cleanroom_algo.contract.channel import Distribution
from cleanroom_algo.local.hosts.process import ProcessHosts
from cleanroom_algo.local.jobs.training import run_training
from cleanroom_algo.local.objects.reference import ObjectRef
from cleanroom_algo.local.plans.outcomes import JobStatus
from cleanroom_algo.local.plans.training_plan import AlgorithmSource, ChannelPlan, TrainingPlan, plan_hosts
from cleanroom_algo.testing import make_trainer
from cleanroom_algo.training.boosting.lightgbm import LightGBMTrainer
from cleanroom_algo.training.boosting.xgboost import XGBoostTrainer

NAME = "boosting"
LIBRARIES = ("XGBoost", "LightGBM")
SCHEMA = Schema([*NUMBERS.columns, Column("late", "int32", nullable=False)], target="late")
START_SECONDS = 0.5  # from the start of `train` to `fit`
# Both sides say how long the rounds behind the first took, and the most memory that their process held.
TELL = """
import json, os, resource, time

class Clock:
    def round(self, number, last):
        if number == 1:
            self.began = time.perf_counter()
        if number == last:
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            told = {"seconds": time.perf_counter() - self.began, "megabytes": memory}
            with open(f"{os.environ['BENCH_OUT']}-{os.getpid()}", "w") as file:
                json.dump(told, file)
"""
ALGORITHM = (
    TELL
    + """
from cleanroom_algo import Schema, {library}Trainer

class Late({library}Trainer):
    schema = Schema.from_dict(json.loads(os.environ["BENCH_SCHEMA"]))
    clock = Clock()

    def end_round(self, number, metrics, *, higher_is_better):
        self.clock.round(number, self.params.num_round)
        return super().end_round(number, metrics, higher_is_better=higher_is_better)
"""
)
OWN = {
    "XGBoost": TELL
    + """
import sys, polars, xgboost
from xgboost import collective
from xgboost.tracker import RabitTracker

def main(rank, path, rounds, arguments):
    clock = Clock()
    with collective.CommunicatorContext(**arguments, dmlc_task_id=str(rank)):
        rows = polars.read_parquet(path)
        matrix = xgboost.QuantileDMatrix(rows.drop("late"), rows["late"].to_numpy(), max_bin=256)
        booster = xgboost.Booster({"objective": "binary:logistic", "eval_metric": "logloss"}, [matrix])
        for number in range(rounds):
            booster.update(matrix, number)
            booster.eval_set([(matrix, "train")], number)
            clock.round(number + 1, rounds)

if __name__ == "__main__":
    import multiprocessing
    paths, rounds = sys.argv[2:], int(sys.argv[1])
    tracker = RabitTracker(n_workers=len(paths), host_ip="127.0.0.1", sortby="task")
    tracker.start()
    spawn = multiprocessing.get_context("spawn")
    given = tracker.worker_args()
    workers = [spawn.Process(target=main, args=(rank, path, rounds, given)) for rank, path in enumerate(paths)]
    [worker.start() for worker in workers]
    [worker.join() for worker in workers]
    sys.exit(max(worker.exitcode for worker in workers))
""",
    "LightGBM": TELL
    + """
import socket, sys, polars, lightgbm

def main(rank, path, rounds, ports):
    clock = Clock()
    rows = polars.read_parquet(path)
    params = {"objective": "binary", "verbosity": -1, "tree_learner": "data", "pre_partition": True}
    params |= {"machines": ",".join(f"127.0.0.1:{port}" for port in ports), "local_listen_port": ports[rank]}
    matrix = lightgbm.Dataset(rows.drop("late").to_numpy(), rows["late"].to_numpy())
    tell = lambda env: clock.round(env.iteration + 1, rounds)
    lightgbm.train(params, matrix, rounds, valid_sets=[matrix], valid_names=["train"], callbacks=[tell])

if __name__ == "__main__":
    import multiprocessing
    paths, rounds = sys.argv[2:], int(sys.argv[1])
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in paths]
    ports = [probe.getsockname()[1] for probe in probes]
    [probe.close() for probe in probes]
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=main, args=(rank, path, rounds, ports)) for rank, path in enumerate(paths)]
    [worker.start() for worker in workers]
    [worker.join() for worker in workers]
    sys.exit(max(worker.exitcode for worker in workers))
""",
}
STARTED = """
import sys
from cleanroom_algo import Schema, Trainer

class Start(Trainer):
    schema = Schema.of(x="float64")

    def fit(self):
        assert "torch" not in sys.modules
        import time, os
        print("seconds", time.time() - float(os.environ["BENCH_BEGAN"]))

    def save(self, directory):
        pass
"""


def run(small: bool) -> Iterator[Row]:
    """Measure both libraries.

    Args:
        small: few rows, and no jobs of two hosts, which start eight processes that import much.
    """
    rows, rounds, turns = (4000, 0, 1) if small else (1_000_000, 30, 3)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = numbers(2 * rows)
        table = table.with_columns(
            late=(table["f0"] * table["f1"] + table["f2"] > 0).cast(int).cast(SCHEMA.column("late").polars_dtype())
        )
        parts = [folder / f"part-{number}.parquet" for number in range(2)]
        for number, part in enumerate(parts):
            table[number * rows : (number + 1) * rows].write_parquet(part)
        for library in LIBRARIES:
            yield from inputs(library, parts[0], rows, turns)
            if rounds:
                yield from together(folder, library, parts, 2 * rows * (rounds - 1), rounds, turns)
        yield start(folder, turns)


def inputs(library: str, path: Path, rows: int, turns: int) -> Iterator[Row]:
    """Read a Parquet file into the library's own bins."""
    import lightgbm
    import polars as pl
    import xgboost

    base: Any = {"XGBoost": XGBoostTrainer, "LightGBM": LightGBMTrainer}[library]
    kind = type("Late", (base,), {"schema": SCHEMA})

    def ours() -> object:
        trainer: Any = make_trainer(kind, train=path)
        trainer.features = trainer.fit_features()
        read = trainer._rows(trainer.batches())
        if library == "XGBoost":
            return trainer._matrix(read, None)
        params = trainer.params.of_library() | {"verbosity": -1}
        return trainer._dataset(read, params, trainer._bins(read, params)).construct()

    def own() -> object:
        table = pl.read_parquet(path)
        if library == "XGBoost":
            return xgboost.QuantileDMatrix(table.drop("late"), table["late"].to_numpy(), max_bin=256)
        return lightgbm.Dataset(
            table.drop("late").to_numpy(), table["late"].to_numpy(), params={"verbosity": -1}
        ).construct()

    others = [Other(f"{library} by polars", own, 0.8)]
    yield from compare(NAME, f"Parquet to bins of {library}", rows / 1e6, ours, others, repeats=turns, unit="Mrows/s")


def together(folder: Path, library: str, parts: list[Path], work: int, rounds: int, turns: int) -> Iterator[Row]:
    """Train on two process hosts, and by two processes as the library starts them, in turns."""
    algorithm = folder / library / "algorithm.py"
    algorithm.parent.mkdir()
    algorithm.write_text(ALGORITHM.replace("{library}", library))
    own = algorithm.with_name("own.py")
    own.write_text(OWN[library])
    told: dict[str, list[Mapping[str, float]]] = {"ours": [], "own": []}
    for _ in range(turns):
        told["ours"].append(_told(partial(_job, algorithm, parts, rounds), folder))
        told["own"].append(_told(partial(_alone, own, parts, rounds), folder))
    seconds = {side: median(each["seconds"] for each in found) for side, found in told.items()}
    memory = {side: median(each["megabytes"] for each in found) for side, found in told.items()}
    rate = {side: work / taken / 1e6 for side, taken in seconds.items()}
    launcher = f"{library}'s own processes"
    yield Row(NAME, f"rounds of {library} on 2 hosts", "Mrows/s", rate["ours"], rate["own"], launcher, "peer", 0.95)
    what = f"peak memory of a host of {library}"
    yield Row(NAME, what, "MB", memory["ours"], memory["own"], launcher, "peer", 1.0, lower_is_better=True)


def _told(work: Any, folder: Path) -> Mapping[str, float]:
    """Run two processes; return the longest time and the largest memory that either told."""
    out = Path(tempfile.mkdtemp(dir=folder)) / "told"
    work(str(out))
    found = [json.loads(path.read_text()) for path in out.parent.iterdir()]
    assert len(found) == 2
    return {name: max(each[name] for each in found) for name in found[0]}


def _job(algorithm: Path, parts: list[Path], rounds: int, out: str) -> None:
    objects = tuple(ObjectRef(path.name, path, path.stat().st_size) for path in parts)
    channels = (ChannelPlan("train", Distribution.SHARDED_BY_S3_KEY, objects),)
    environment = {"BENCH_OUT": out, "BENCH_SCHEMA": json.dumps(SCHEMA.to_dict())}
    run_folder = Path(tempfile.mkdtemp(dir=algorithm.parent))
    plan = TrainingPlan(
        "job",
        "arn",
        run_folder / "run",
        AlgorithmSource(str(algorithm)),
        plan_hosts(channels, len(parts)),
        channels,
        environment=environment,
        hyperparameters={"num_round": str(rounds)},
    )
    outcome = run_training(plan, ProcessHosts(), Silent())
    assert outcome.status is JobStatus.COMPLETED, outcome.failure_reason


def _alone(script: Path, parts: list[Path], rounds: int, out: str) -> None:
    threads = str(max(1, (os.cpu_count() or 1) // len(parts)))  # as process hosts share the cores
    environment = {**os.environ, "BENCH_OUT": out, "OMP_NUM_THREADS": threads}
    subprocess.run([sys.executable, script, str(rounds), *parts], env=environment, check=True, capture_output=True)


def start(folder: Path, turns: int) -> Row:
    """Start a training that is not torch's on one host, up to its `fit`."""
    root, algorithm = folder / "ml", folder / "start.py"
    algorithm.write_text(STARTED)
    config = root / "input/config"
    config.mkdir(parents=True)
    hosts = {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "lo"}
    for name, document in (("hyperparameters", {}), ("inputdataconfig", {}), ("resourceconfig", hosts)):
        (config / f"{name}.json").write_text(json.dumps(document))
    own = {"SAGEMAKER_BASE_DIR": str(root), "CLEANROOM_ALGO_ALGORITHM": str(algorithm)}
    command = [sys.executable, "-m", "cleanroom_algo.training", "train"]
    taken = []
    for _ in range(turns):
        environment = {**os.environ, **own, "BENCH_BEGAN": str(time.time())}
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        taken.append(float(done.stdout.partition("seconds ")[2].split()[0]))
    what = "start of a training without torch, to `fit`"
    return Row(NAME, what, "s", median(taken), START_SECONDS, "0.5 s", "limit", 1.0, lower_is_better=True)
