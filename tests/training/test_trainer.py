"""Whole trainings on one and two hosts."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from cleanroom_algo.contract.manifest import Manifest
from cleanroom_algo.contract.metrics import metric_definitions
from tests.training.support import ALGORITHM, Container, algorithm, csv_rows, listing, run_all, two_hosts


def test_a_model_and_a_loss_train(tmp_path: Path) -> None:
    container = Container(tmp_path / "ml", algorithm(tmp_path)).channel("train", {"part": csv_rows(1000)})
    container.channel("valid", {"part": "a typing error in the name"})
    ended = container.channel("validation", {"part": csv_rows(300, seed=1)}).run()
    assert ended.status == 0, ended.err
    assert container.failure == ""
    assert "reads the channels train and validation, and not valid\n" in ended.err
    # Golden: the same seed, rows and layout give the same losses.
    assert ended.metrics("epoch_train_loss") == pytest.approx([0.664, 0.367], abs=0.02)
    assert ended.metrics("validation_accuracy")[-1] > 0.9
    manifest = Manifest.read(container.model)
    manifest.verify(container.model)
    assert sorted(manifest.files) == ["features.json", "model.safetensors", "optimizer.safetensors"]
    assert (manifest.algorithm, manifest.steps, manifest.rows) == ("Late", 32, 2000)
    assert manifest.metrics["validation_loss"] == pytest.approx(ended.metrics("validation_loss")[-1], rel=1e-6)
    assert "artifacts: 3 files" in ended.err
    assert listing(container.root) == ["checkpoints", "input", "model"]


def test_definitions_match_exactly_the_metric_lines(tmp_path: Path) -> None:
    code = algorithm(tmp_path, "def fit_features(self):\n    self.log(carriers=3)\n    return super().fit_features()")
    container = Container(tmp_path / "ml", code, hyperparameters={"epochs": "1"})
    ended = container.channel("train", {"a": csv_rows(300)}).channel("validation", {"b": csv_rows(90, 2)}).run()
    assert ended.status == 0, ended.err
    found = matches(metric_definitions(["accuracy"], logged=["carriers"]), ended.out)
    assert {name: len(values) for name, values in found.items()} == {
        "train_loss": 2,
        "learning_rate": 2,
        "rows_per_second": 2,
        "epoch_train_loss": 1,
        "validation_loss": 1,
        "validation_accuracy": 1,
        "carriers": 1,
        "final_carriers": 1,
        "final_epoch_train_loss": 1,
        "final_validation_loss": 1,
        "final_validation_accuracy": 1,
    }
    assert found["train_loss"] == ended.metrics("train_loss")


def matches(definitions: list[dict[str, str]], out: str) -> dict[str, list[float]]:
    """Return the values that each definition finds, by its name."""
    found: dict[str, list[float]] = {}
    for definition in definitions:
        assert len(definition["regex"]) <= 500
        for line in out.splitlines():
            if match := re.search(definition["regex"], line):
                found.setdefault(definition["name"], []).append(float(match[1]))
    return found


SGD = """
shuffle = False
def optimizer(self, model):
    return torch.optim.SGD(model.parameters(), lr=0.1)
"""


def test_two_hosts_with_uneven_shards_train_as_one_over_all_rows(tmp_path: Path) -> None:
    code = algorithm(tmp_path, SGD)
    # One step per epoch: the gradient must be that over all rows, whoever holds them.
    together = Container(tmp_path / "one", code, hyperparameters={"batch_size": "1000", "epochs": "5"}).channel(
        "train", {"a": csv_rows(200), "b": csv_rows(50, 7)}
    )
    assert together.run().status == 0
    hosts = two_hosts(tmp_path, code, [{"a": csv_rows(200)}, {"b": csv_rows(50, 7)}], batch_size="1000", epochs="5")
    assert [ended.status for ended in run_all(hosts)] == [0, 0]
    one, two = load_file(together.model / "model.safetensors"), load_file(hosts[0].model / "model.safetensors")
    for name, tensor in one.items():
        assert tensor.flatten().tolist() == pytest.approx(two[name].flatten().tolist(), abs=1e-5), name
    assert listing(hosts[1].model) == []
    assert Manifest.read(hosts[0].model).rows == 1250


def test_a_host_without_rows_takes_part(tmp_path: Path) -> None:
    hosts = two_hosts(tmp_path, algorithm(tmp_path), [{"a": csv_rows(300)}, {}], epochs="1")
    ended = run_all(hosts)
    assert [each.status for each in ended] == [0, 0], ended
    assert Manifest.read(hosts[0].model).rows == 300


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({}, "has no rows on any host"),
        ({"a.csv": ""}, "has no rows: a.csv is empty"),
        ({"a.csv": "", "b.csv": ""}, "has no rows: each of its 2 objects is empty"),
        ({"a.csv": "carrier,distance,hour,late\n"}, "has no rows: a.csv has at most a header"),
    ],
)
def test_no_rows_at_all_is_an_error(tmp_path: Path, files: dict[str, str], why: str) -> None:
    container = Container(tmp_path / "ml", algorithm(tmp_path)).channel("train", files)
    assert container.run().status == 3
    assert container.failure.startswith(f"CR-TRN-010  channel 'train' {why}\n")
    assert "the folder to which the channel is bound" in container.failure
    assert listing(container.model) == []


FEATURES = """
accumulate = 2
clip_norm = 0.5
precision = "bfloat16"
patience = 1
keep = "best"
save_dtype = "bfloat16"
shard_gb = 2e-8
def scheduler(self, optimizer):
    assert self.total_steps == 8 * self.params.epochs, self.total_steps
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5 ** (step // 8))
"""


def test_precision_accumulation_clipping_schedule_and_early_stop_are_a_line_each(tmp_path: Path) -> None:
    text = {"epochs": "30", "learning_rate": "0.4"}
    container = Container(tmp_path / "ml", algorithm(tmp_path, FEATURES), hyperparameters=text)
    container.channel("train", {"a": csv_rows(1000)}).channel("validation", {"b": csv_rows(200, 1)})
    ended = container.run()
    assert ended.status == 0, ended.err
    losses = ended.metrics("validation_loss")
    assert len(losses) < 30
    assert Manifest.read(container.model).metrics["validation_loss"] == pytest.approx(min(losses), rel=1e-6)
    assert ended.metrics("learning_rate")[:5:4] == [0.4, 0.2]
    index = json.loads((container.model / "model.safetensors.index.json").read_text())
    assert sorted(index["weight_map"]) == ["layer.bias", "layer.weight", "table.weight"]
    assert all(
        str(t.dtype) == "torch.bfloat16"
        for t in load_file(container.model / index["weight_map"]["layer.bias"]).values()
    )


@pytest.mark.parametrize("option", ["fsdp = True", "accumulate = 3"])
def test_options_work_over_hosts(tmp_path: Path, option: str) -> None:
    hosts = two_hosts(tmp_path, algorithm(tmp_path, option), [{"a": csv_rows(300)}, {"b": csv_rows(100, 7)}])
    ended = run_all(hosts)
    assert [each.status for each in ended] == [0, 0], ended
    assert sorted(load_file(hosts[0].model / "model.safetensors")) == ["layer.bias", "layer.weight", "table.weight"]
    first, last = ended[0].metrics("epoch_train_loss")
    assert last < first


@pytest.mark.skipif(shutil.which("g++") is None, reason="not installed: g++ (torch.compile builds its kernels with it)")
def test_a_compiled_model_trains_the_same(tmp_path: Path) -> None:
    losses = []
    for name, option in (("plain", ""), ("compiled", "compile = True")):
        folder = tmp_path / name
        container = Container(folder / "ml", algorithm(folder, option)).channel("train", {"a": csv_rows(1000)})
        ended = container.run(TORCHINDUCTOR_COMPILE_THREADS="1")  # more would be processes that import torch
        assert ended.status == 0, ended.err
        losses.append(ended.metrics("epoch_train_loss"))
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


@pytest.mark.parametrize("option", ["", "unused_parameters = True"])
def test_parameters_that_are_not_used_are_named_or_looked_for(tmp_path: Path, option: str) -> None:
    text = ALGORITHM.replace("self.layer =", "self.spare = nn.Linear(2, 2)\n        self.layer =")
    container = Container(tmp_path / "ml", algorithm(tmp_path, option, text)).channel("train", {"a": csv_rows(300)})
    ended = container.run(CLEANROOM_ALGO_RANKS_PER_HOST="2")
    if option:
        assert ended.status == 0, ended.err
        return
    assert ended.status == 1
    assert "CR-TRN-007" in container.failure
    assert "the loss does not depend on spare.weight, spare.bias" in container.failure


SECOND_LAYER = """
accumulate = 2
passes = 0

def loss(self, model, batch):
    self.passes += 1
    loss = nn.functional.binary_cross_entropy_with_logits(model(batch.numeric, batch.categorical), batch.target)
    return loss + (model.spare(batch.numeric[:1, :2]).sum() if self.passes % 2 else 0)
"""


def test_a_parameter_that_only_the_first_batch_of_a_step_uses_is_named(tmp_path: Path) -> None:
    """DDP adds the gradients of the ranks in the last batch of a step, and would leave out all of them in silence."""
    text = ALGORITHM.replace("self.layer =", "self.spare = nn.Linear(2, 2)\n        self.layer =")
    container = Container(tmp_path / "ml", algorithm(tmp_path, SECOND_LAYER, text), hyperparameters={"epochs": "1"})
    ended = container.channel("train", {"a": csv_rows(200)}).run(CLEANROOM_ALGO_RANKS_PER_HOST="2")
    assert ended.status == 1
    assert "the loss does not depend on spare.weight, spare.bias" in container.failure


OWN_FIT = """
import json, sys
from cleanroom_algo import Schema, Trainer

class Mean(Trainer):
    schema = Schema.of(target="late", carrier="string", distance="float64?", hour="int32", late="bool")

    def fit(self):
        self.mean = self.table("train")["distance"].mean()
        self.log(mean=self.mean)

    def save(self, directory):
        assert "torch" not in sys.modules, "an algorithm that is not torch needs none"
        (directory / "mean.json").write_text(json.dumps(self.mean))
"""


def test_an_algorithm_that_is_not_torch_overrides_fit_and_save(tmp_path: Path) -> None:
    code = algorithm(tmp_path, text=OWN_FIT)
    container = Container(tmp_path / "ml", code).channel("training", {"a": csv_rows(100), "b": csv_rows(10)})
    container.lay_out()
    ended = subprocess.run(  # a process of its own: those of other tests have torch from the start
        [sys.executable, "-m", "cleanroom_algo.training", "train"],
        env={**os.environ, **container.environment()},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert 900 < json.loads((container.model / "mean.json").read_text()) < 1100
    manifest = Manifest.read(container.model)
    assert manifest.library_versions.keys() == {"cleanroom-algo", "numpy", "polars"}
    metrics = manifest.metrics
    assert metrics.keys() == {"mean"}
    found = matches(metric_definitions(logged=["mean"], own_fit=True), ended.stdout)
    assert found == {"mean": pytest.approx([metrics["mean"]])}


def test_an_algorithm_with_its_own_fit_refuses_shards_on_other_hosts(tmp_path: Path) -> None:
    hosts = two_hosts(tmp_path, algorithm(tmp_path, text=OWN_FIT), [{"a": csv_rows(10)}, {"b": csv_rows(10)}])
    assert [ended.status for ended in run_all(hosts)] == [3, 3]
    assert hosts[0].failure.startswith("CR-TRN-006")
