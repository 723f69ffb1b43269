"""Pipe mode on several hosts and ranks: the whole way from the request to the manifest."""

from __future__ import annotations

from pathlib import Path

import pytest

from cleanroom_algo.errors.exit_codes import ExitCode
from tests.scenario.conftest import CliFixture

ALGORITHM = """
import sys
from torch import nn
from cleanroom_algo import Hyperparameters, Schema, Trainer

class Knobs(Hyperparameters):
    epochs: int = 1
    batch_size: int = 64

class Line(Trainer):
    schema = Schema.of(target="y", x="float32", y="float32")
    hyperparameters = Knobs

    def model(self):
        return nn.Linear(1, 1)

    def loss(self, model, batch):
        assert "torch._dynamo" not in sys.modules, "importing it takes as long as torch, and nothing is compiled"
        return nn.functional.mse_loss(model(batch.numeric).squeeze(1), batch.target)
"""


@pytest.fixture
def algorithm(desk: CliFixture) -> Path:
    """Return an algorithm and leave the desk's channel with four uneven objects, 1,000 rows in all."""
    path = desk.folder / "line.py"
    path.write_text(ALGORITHM)
    for old in desk.data.iterdir():
        old.unlink()
    for part, rows in enumerate((400, 350, 249, 1)):
        (desk.data / f"part-{part}.csv").write_text("x,y\n" + "".join(f"{row}.5,{row % 2}\n" for row in range(rows)))
    return path


def test_every_row_is_seen_once(desk: CliFixture, algorithm: Path) -> None:
    done = desk.run(
        "train",
        algorithm,
        *("--channel", f"train={desk.data}", "--input-mode", "Pipe", "--hosts", 2, "--distribution", "FullyReplicated"),
        *("--environment", "CLEANROOM_ALGO_RANKS_PER_HOST=2"),
        *("--hyperparameter", "epochs=2", "--hyperparameter", "batch_size=64", "--json"),
    )

    assert done.status == ExitCode.OK, done.stderr
    assert done.json["rows"] == 2 * 1000


MEAN = """
import sys
import numpy as np
from cleanroom_algo import Schema, Trainer

class Mean(Trainer):
    schema = Schema.of(x="float32", y="float32")
    distributed = True

    def fit(self):
        rows = self.table()
        total, count = self.all_reduce(np.array([rows["x"].sum(), rows.height]))
        self.log(mean=total / count, hosts=len(self.all_gather(rows.height)))
        assert "torch" not in sys.modules, "hosts exchange values without it"

    def save(self, directory):
        (directory / "mean.txt").touch()
"""


def test_hosts_exchange_values_without_torch(desk: CliFixture, algorithm: Path) -> None:
    algorithm.write_text(MEAN)
    options = ("--hosts", 2, "--distribution", "ShardedByS3Key", "--json")

    done = desk.run("train", algorithm, "--channel", f"train={desk.data}", *options)

    assert done.status == ExitCode.OK, done.stderr
    rows = [row + 0.5 for rows in (400, 350, 249, 1) for row in range(rows)]
    assert done.json["metrics"] == {"mean": pytest.approx(sum(rows) / len(rows)), "hosts": 2}
