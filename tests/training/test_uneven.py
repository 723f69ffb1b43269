"""Ranks with fewer rows than others, or none: the model is the one that even shards give."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from cleanroom_algo.contract.manifest import Manifest
from tests.training.ranks import run_jobs
from tests.training.support import Container, algorithm, feed, two_hosts

FEATURES = """
    def fit_features(self):
        return Features.plain(self.schema)
"""
# A linear law under noise of variance 0.09, and a model with running statistics.
LAW = f"""
import torch
from torch import nn
from cleanroom_algo import Hyperparameters, Schema, Trainer
from cleanroom_algo.channels.features import Features


class Params(Hyperparameters):
    epochs: int = 4
    batch_size: int = 50
    learning_rate: float = 0.05
    seed: int = 0


class Law(Trainer):
    schema = Schema.of(target="y", a="float32", b="float32", y="float32")
    hyperparameters = Params
{FEATURES}
    def model(self):
        return nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))

    def loss(self, model, batch):
        return nn.functional.mse_loss(model(batch.numeric).squeeze(1), batch.target)
"""

# The learning rate falls to zero, so that the losses do not differ by the noise of the last steps.
FALLING = """
def scheduler(self, optimizer):
    return torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, self.total_steps)
"""


def rows(count: int, seed: int) -> list[tuple[float, float, float]]:
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        a, b = draw.gauss(0, 1), draw.gauss(5, 2)
        found.append((a, b, a - b / 2 + draw.gauss(0, 0.3)))
    return found


def text(part: Sequence[tuple[float, float, float]]) -> str:
    return "".join(f"{a:.5f},{b:.5f},{y:.5f}\n" for a, b, y in part)


def parts(lines: Sequence[str]) -> list[Mapping[str, str | bytes]]:
    return [{f"part-{number}": each} for number, each in enumerate(lines)]


def error(weights: dict[str, torch.Tensor], seed: int) -> float:
    """Return the mean squared error over rows that were not trained on."""
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    model.load_state_dict(weights)
    test = torch.tensor(rows(2000, seed + 1000))
    with torch.no_grad():
        return float(((model.eval()(test[:, :2]).squeeze(1) - test[:, 2]) ** 2).mean())


def test_the_loss_of_uneven_shards_is_within_five_percent_of_even_ones(tmp_path: Path) -> None:
    """The first host has half of the rows, none, or one in twenty; over three seeds."""
    seeds = range(3)
    code = algorithm(tmp_path, FALLING, LAW)
    tried = [(seed, cut) for seed in seeds for cut in (1500, 0, 150)]
    jobs = []
    for seed, cut in tried:
        data = rows(3000, seed)
        lines = [text(data[:cut]), text(data[cut:])]
        folder = tmp_path / f"{seed}-{cut}"
        jobs.append(two_hosts(folder, code, parts(lines), seed=str(seed), epochs="10", batch_size="150"))

    ended = run_jobs(*jobs)

    assert {each.status for hosts in ended for each in hosts} == {0}, ended
    errors = {}
    for (seed, cut), hosts in zip(tried, jobs, strict=True):
        errors[seed, cut] = error(load_file(hosts[0].model / "model.safetensors"), seed)
    even, empty, small = (sum(errors[seed, cut] for seed in seeds) for cut in (1500, 0, 150))
    assert even / len(seeds) < 0.1  # of which 0.09 is noise; targets vary by 2
    assert empty < 1.05 * even
    assert small < 1.05 * even


STATISTICS = """
class Seen(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(2))
        self.register_buffer("replaced", torch.zeros(2))
        self.register_buffer("constant", torch.full((3,), 0.1))
        self.register_buffer("passes", torch.zeros((), dtype=torch.int64))

    def forward(self, numeric):
        if self.training:
            self.mean.copy_(numeric.detach().mean(0))
            self.replaced = numeric.detach().mean(0)
            self.passes += 1
        return numeric


def model(self):
    return nn.Sequential(self.Seen(), nn.Linear(2, 1))
"""


@pytest.mark.parametrize(("option", "second"), [("", 30), ("", 60), ("fsdp = True", 30)])
def test_kept_buffers_are_those_of_all_rows_and_counters_the_largest(tmp_path: Path, option: str, second: int) -> None:
    """A step of 0, 30 and 10 rows; and where there are 60, one in which the second host alone has some."""
    data = rows(100, 1)
    code = algorithm(tmp_path, f"{STATISTICS}\nshuffle = False\n{option}", LAW)
    lines = [text(data[:0]), text(data[:second]), text(data[second : second + 10])]
    hosts = many_hosts(tmp_path, code, lines, epochs="1", batch_size="30")

    (ended,) = run_jobs(hosts)

    assert [each.status for each in ended] == [0, 0, 0], ended
    weights = load_file(hosts[0].model / "model.safetensors")
    last = torch.tensor(data[:40] if second == 30 else data[30:60])[:, :2].mean(0)
    torch.testing.assert_close(weights["0.mean"], last, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(weights["0.replaced"], last, rtol=1e-4, atol=1e-4)
    assert weights["0.constant"].equal(torch.full((3,), 0.1))
    assert weights["0.passes"] == second // 30


def many_hosts(folder: Path, code: Path, lines: Sequence[str], **hyperparameters: str) -> list[Container]:
    """Return hosts that meet on loopback, each with a part of the rows."""
    first, second = two_hosts(folder, code, parts(lines[:2]), **hyperparameters)
    names = ("algo-1", "algo-2", "algo-3")
    third = Container(folder / names[2], code, names, names[2], hyperparameters, variables=first.variables)
    third.channel("train", {"part": lines[2]}, S3DistributionType="ShardedByS3Key")
    first.hosts = second.hosts = names
    return [first, second, third]


SQUARES_OF_LOGARITHMS = """
def model(self):
    return nn.Linear(2, 1)

def loss(self, model, batch):
    assert batch.rows, "no row was invented"
    assert batch.target.min() >= 1, "no row was invented"
    return ((model(batch.numeric).squeeze(1) - batch.target.log()) ** 2).mean()
"""
PRICES = "".join(f"{number % 7},{number % 5},{number % 9 + 1}\n" for number in range(200))


@pytest.mark.parametrize(("mode", "option"), [("File", ""), ("Pipe", ""), ("FastFile", "fsdp = True")])
def test_a_rank_without_rows_runs_no_loss_on_rows_that_nobody_has(tmp_path: Path, mode: str, option: str) -> None:
    """The logarithm of a row of zeros would be no number, and end all ranks."""
    code = algorithm(tmp_path, f"{option}\n{SQUARES_OF_LOGARITHMS}", LAW)
    hosts = two_hosts(tmp_path, code, [{"part-0": ""}, {"part-1": PRICES}], epochs="2")
    feeders = []
    for host, content in zip(hosts, (b"", PRICES.encode()), strict=True):
        host.channel("validation", {"v": PRICES.encode() if content else b""}, S3DistributionType="ShardedByS3Key")
        host.channels["train"]["TrainingInputMode"] = mode
        if mode == "Pipe":
            feeders += [feed(host, epoch, content) for epoch in range(2)]

    (ended,) = run_jobs(hosts)

    for feeder in feeders:
        feeder.join(30)
    assert [each.status for each in ended] == [0, 0], ended
    assert Manifest.read(hosts[0].model).rows == 400
    assert len(ended[0].metrics("validation_loss")) == 2


def test_a_loss_that_is_no_number_on_rows_of_weight_zero_spoils_nothing(tmp_path: Path) -> None:
    """In shards every rank passes the model; what the loss makes of it there counts for nothing."""
    spoiled = """
fsdp = True
calls = 0
def loss(self, model, batch):
    self.calls += 1
    out = model(batch.numeric).squeeze(1)
    if self.world.rank == 0:
        out = out * float("nan")
    return ((out - batch.target) ** 2).mean()
"""
    code = algorithm(tmp_path, spoiled, LAW)
    hosts = two_hosts(tmp_path, code, parts(["", text(rows(200, 3))]), epochs="1")

    (ended,) = run_jobs(hosts)

    assert [each.status for each in ended] == [0, 0], ended
    weights = load_file(hosts[0].model / "model.safetensors")
    assert all(bool(tensor.isfinite().all()) for tensor in weights.values())


def test_sync_batch_norm_on_cpus_is_refused(tmp_path: Path) -> None:
    body = "def model(self):\n    return nn.Sequential(nn.SyncBatchNorm(2), nn.Linear(2, 1))\n"
    data = text(rows(100, 1))

    (ended,) = run_jobs(two_hosts(tmp_path, algorithm(tmp_path, body, LAW), parts([data, data])))

    assert [each.status for each in ended] == [3, 3]
    assert "CR-TRN-011  0: SyncBatchNorm needs GPUs" in ended[0].err


def alone(folder: Path, code: Path, lines: str) -> Container:
    """Return one host with all rows."""
    return Container(folder / "ml", code, hyperparameters={"epochs": "1"}).channel("train", {"part": lines})


def test_a_last_batch_of_one_row_is_told_before_training_or_left_out(tmp_path: Path) -> None:
    tried = [(101, "", 3), (101, "drop_last = True", 0), (102, "", 0)]
    jobs = [
        [alone(tmp_path / str(number), algorithm(tmp_path / str(number), option, LAW), text(rows(count, 1)))]
        for number, (count, option, _) in enumerate(tried)
    ]

    ended = [hosts[0] for hosts in run_jobs(*jobs)]

    assert [each.status for each in ended] == [status for *_, status in tried], ended
    assert "CR-TRN-012" in ended[0].err
    assert "set drop_last = True" in ended[0].err
    assert ended[0].metrics("train_loss") == []
    assert [Manifest.read(hosts[0].model).rows for hosts in jobs[1:]] == [100, 102]


def test_a_batch_of_one_row_in_a_pipe_names_the_option(tmp_path: Path) -> None:
    container = alone(tmp_path, algorithm(tmp_path, text=LAW), "")
    container.channels["train"]["TrainingInputMode"] = "Pipe"
    feeder = feed(container, 0, text(rows(101, 1)).encode())

    ((ended,),) = run_jobs([container])

    feeder.join(30)
    assert ended.status == 3
    assert "CR-TRN-012  a batch has one row" in ended.err


TARGETS = {
    "int for logits": (
        'y="int32"',
        "1,2,7351\n",
        "binary_cross_entropy_with_logits",
        "declared as int32, it is a tensor of int64",
    ),
    "float for classes": ('y="float32"', "1,2,1.7351\n", "cross_entropy", "declared as float32"),
    "uint64": ('y="uint64"', "1,2,9223372036854775808\n", "cross_entropy", "larger than 9,223,372,036,854,775,807"),
}


def test_a_target_that_cannot_be_used_is_told_without_its_values(tmp_path: Path) -> None:
    jobs = []
    for number, (declared, line, loss, _) in enumerate(TARGETS.values()):
        output = "model(batch.numeric)" + (".repeat(1, 3)" if loss == "cross_entropy" else ".squeeze(1)")
        body = f"def loss(self, model, batch):\n    return nn.functional.{loss}({output}, batch.target)\n"
        whole = LAW.replace('y="float32"', declared).replace(FEATURES, "")
        jobs.append([alone(tmp_path / str(number), algorithm(tmp_path / str(number), body, whole), line * 100)])

    ended = [hosts[0] for hosts in run_jobs(*jobs)]

    for (*_, told), each in zip(TARGETS.values(), ended, strict=True):
        assert each.status == 3, each.err
        assert told in each.err
        assert "7351" not in each.err
        assert "9223372036854775808" not in each.err
        assert each.metrics("train_loss") == []
