"""Boosted trees on several hosts: each row once, the same quality however uneven the shards are, and true endings."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from cleanroom_algo.contract.manifest import Manifest
from cleanroom_algo.serving.artifacts import Artifacts
from cleanroom_algo.serving.boosting import BoostingPredictor, LightGBMPredictor, XGBoostPredictor
from cleanroom_algo.serving.scoring.prediction import answer
from cleanroom_algo.training.process.failure_exchange import free_port
from examples.flight_delay.evaluation import area_under_curve
from tests.training.ranks import run_jobs
from tests.training.support import Container, finish, run_all, two_hosts, wait_for_line

BOTH = pytest.mark.parametrize("library", ["XGBoost", "LightGBM"])
PREDICTORS: dict[str, type[BoostingPredictor]] = {"XGBoost": XGBoostPredictor, "LightGBM": LightGBMPredictor}
FILES = {"XGBoost": "model.ubj", "LightGBM": "model.txt"}
ALGORITHM = """
import os
from cleanroom_algo import {library}Trainer, Schema


class Late({library}Trainer):
    schema = Schema.of(target="late", carrier="string?", distance="float64?", hour="int32", late="int32")
"""


def algorithm(folder: Path, library: str, body: str = "") -> Path:
    path = folder / "late_algorithm.py"
    path.write_text(ALGORITHM.format(library=library) + body)
    return path


def csv_rows(count: int, seed: int) -> list[str]:
    """Return rows that are late by the carrier and by numbers that interact, with missing values."""
    draw = random.Random(seed)
    lines = []
    for _ in range(count):
        carrier, distance, hour = draw.choice(["AA", "B6", "DL", ""]), draw.gauss(1000, 300), draw.randrange(24)
        slope = 1 if carrier == "DL" else -1
        late = (distance - 1000) / 300 + slope * (hour - 12) / 8 + (carrier == "B6") + draw.gauss(0, 0.7) > 0.4
        lines.append(f"{carrier},{'' if draw.random() < 0.05 else f'{distance:.3f}'},{hour},{late:d}\n")
    return lines


def job(
    folder: Path,
    code: Path,
    parts: Sequence[Sequence[str]],
    *,
    validation: Sequence[str] = (),
    replicated: bool = False,
    base: Path | None = None,
    **hyperparameters: str,
) -> list[Container]:
    """Return hosts, each with its own part of the training channel, or with all parts."""
    names = tuple(f"algo-{number}" for number in range(1, len(parts) + 1))
    variables = {} if base is None else {"CLEANROOM_TRAINING_BASE": str(base)}
    if len(parts) > 1:
        variables["CLEANROOM_ALGO_RENDEZVOUS"] = f"127.0.0.1:{free_port()}"
    hosts = []
    for name, part in zip(names, parts, strict=True):
        host = Container(folder / name, code, names, name, hyperparameters, variables=variables)
        held = [row for each in parts for row in each] if replicated else part
        files = {"a.csv": "".join(held)} if held else {}
        host.channel("train", files, S3DistributionType="FullyReplicated" if replicated else "ShardedByS3Key")
        if validation:
            host.channel("validation", {"v.csv": "".join(validation)})
        hosts.append(host)
    return hosts


def scores(library: str, model: Path, rows: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return what a model predicts of rows, and the truth."""
    predictor = PREDICTORS[library]()
    predictor.artifacts = artifacts = Artifacts(model)
    predictor.load(artifacts)
    frame = pl.read_csv(
        "".join(rows).encode(), has_header=False, schema=artifacts.schema.polars_schema(), null_values=[""]
    )
    return answer(predictor, frame.drop("late"))["prediction"].to_numpy(), (frame["late"] == 1).to_numpy()


def weight_of_first_tree(library: str, model: Path) -> float:
    """Return how many rows, or how much of their hessians, the first tree was grown on."""
    if library == "LightGBM":
        import lightgbm

        tree = lightgbm.Booster(model_file=model / "model.txt").dump_model()["tree_info"][0]
        return float(tree["tree_structure"]["internal_count"])
    import xgboost

    (tree, *_) = xgboost.Booster(model_file=model / "model.ubj").get_dump(with_stats=True, dump_format="json")
    return float(json.loads(tree)["cover"])


@BOTH
def test_shards_make_no_difference_and_a_base_model_is_boosted_further(tmp_path: Path, library: str) -> None:
    code = algorithm(tmp_path, library)
    rows, held_out = csv_rows(4000, 1), csv_rows(2000, 2)
    rounds = {"num_round": "20"}
    jobs = {
        "one": job(tmp_path / "one", code, [rows], validation=csv_rows(500, 3), **rounds),
        "two": job(tmp_path / "two", code, [rows[:3999], rows[3999:]], validation=csv_rows(500, 3), **rounds),
        "five": job(tmp_path / "five", code, [rows[:1], [], rows[1:3000], rows[3000:], []], **rounds),
        "replicated": job(tmp_path / "same", code, [rows[:2000], rows[2000:]], replicated=True, **rounds),
    }
    base = jobs["two"][0].model
    further = job(tmp_path / "further", code, [csv_rows(3000, 4), []], base=base, num_round="5")
    ended = run_jobs(*jobs.values(), further, preload=library.lower())
    assert [host.status for hosts in ended for host in hosts] == [0] * 12, ended

    models = {name: hosts[0].model for name, hosts in jobs.items()}
    truth = scores(library, models["one"], held_out)[1]
    quality = {name: area_under_curve(scores(library, model, held_out)[0], truth) for name, model in models.items()}
    assert min(quality.values()) > 0.9
    assert max(quality.values()) - min(quality.values()) < 0.005, quality
    seen = [weight_of_first_tree(library, model) for model in models.values()]
    assert seen == pytest.approx([seen[0]] * 4, rel=1e-3)  # each row once
    assert [host.model.exists() and any(host.model.iterdir()) for host in jobs["five"]] == [True] + [False] * 4
    manifest = Manifest.read(models["two"])
    manifest.verify(models["two"])
    assert set(manifest.files) == {FILES[library], "features.json"}
    assert {"round", "validation_logloss" if library == "XGBoost" else "validation_binary_logloss"} <= set(
        manifest.metrics
    )

    assert ended[4][0].metrics("round") == [21, 22, 23, 24, 25]
    assert area_under_curve(scores(library, further[0].model, held_out)[0], truth) > quality["two"] - 0.002
    first, longer = (_raw(library, model, 20) for model in (base, further[0].model))
    assert first == longer


def _raw(library: str, model: Path, rounds: int) -> Any:
    """Return the first trees of a model as the library describes them."""
    if library == "LightGBM":
        import lightgbm

        trees = lightgbm.Booster(model_file=model / "model.txt").dump_model()["tree_info"][:rounds]
        return [tree["tree_structure"] for tree in trees]
    import xgboost

    return xgboost.Booster(model_file=model / "model.ubj").get_dump()[:rounds]


@BOTH
def test_early_stopping_keeps_the_best_rounds(tmp_path: Path, library: str) -> None:
    code = algorithm(tmp_path, library)
    metric = "eval_metric" if library == "XGBoost" else "metric"
    settings = {"num_round": "300", "early_stopping_rounds": "3", metric: '["auc"]'}
    hosts = job(tmp_path / "job", code, [csv_rows(300, 1), csv_rows(20, 2)], validation=csv_rows(200, 3), **settings)
    ((first, other),) = run_jobs(hosts, preload=library.lower())
    assert (first.status, other.status) == (0, 0), (first, other)
    values = first.metrics("validation_auc")
    assert len(values) < 300
    best = values.index(max(values)) + 1
    assert len(values) == best + 3
    _, truth = scores(library, hosts[0].model, csv_rows(200, 3))
    assert area_under_curve(scores(library, hosts[0].model, csv_rows(200, 3))[0], truth) == pytest.approx(max(values))


@BOTH
def test_what_cannot_be_trained_is_told_on_every_host(tmp_path: Path, library: str) -> None:
    code = algorithm(tmp_path, library)
    rows = csv_rows(50, 1)
    trained = job(tmp_path / "trained", code, [rows, rows], num_round="2")
    wrong = job(tmp_path / "wrong", code, [rows, ["AA,1000,12,3\n"]], num_round="2")
    empty = job(tmp_path / "empty", code, [[], []], num_round="2")
    base = trained[0].model
    objective = "reg:squarederror" if library == "XGBoost" else "regression"
    other = job(tmp_path / "other", code, [rows, rows], base=base, objective=objective)
    ended = run_jobs(trained, wrong, empty, other, preload=library.lower())
    assert [host.status for host in ended[0]] == [0, 0]
    codes = [[host.err.rsplit("CR-", 1)[-1][:7] for host in hosts] for hosts in ended[1:]]
    assert codes == [["TRN-014"] * 2, ["TRN-010"] * 2, ["BAS-003"] * 2], ended


@BOTH
def test_a_dead_host_ends_all_with_its_reason(tmp_path: Path, library: str) -> None:
    body = """
    def end_round(self, number, metrics, *, higher_is_better):
        if self.world.rank == 1 and number == 3:
            os.kill(os.getpid(), 9)
        return super().end_round(number, metrics, higher_is_better=higher_is_better)
"""
    code = algorithm(tmp_path, library, body)
    hosts = two_hosts(tmp_path, code, [{"a": "".join(csv_rows(500, seed))} for seed in (1, 2)])
    ended = run_all(hosts)
    assert [each.status for each in ended] == [1, 1], ended
    assert hosts[0].failure == hosts[1].failure
    assert hosts[0].failure.startswith("CR-TRN-002  rank 1 on algo-2 was ended by SIGKILL")
    assert not any(hosts[0].model.iterdir())


def test_sigterm_saves_the_rounds_so_far(tmp_path: Path) -> None:
    library = "XGBoost"
    code = algorithm(tmp_path, library)
    parts = [{"a": "".join(csv_rows(2000, seed))} for seed in (1, 2)]
    hosts = two_hosts(tmp_path, code, parts, num_round="100000")
    processes = [host.start() for host in hosts]
    wait_for_line(processes[0], "round=5 ")
    processes[1].send_signal(signal.SIGTERM)  # the hosts agree on it
    ended = [finish(process) for process in processes]
    assert [each.status for each in ended] == [143, 143], ended
    saved = Manifest.read(hosts[0].model).metrics["round"]
    assert ended[0].metrics("round")[-1:] in ([saved], [])
    assert len(_raw(library, hosts[0].model, 10**6)) == saved
