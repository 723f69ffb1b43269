"""Pipe mode on several hosts and ranks: the whole way from the request to the manifest."""

from __future__ import annotations

from pathlib import Path

import pytest

from cleanroom_algo.errors.exit_codes import ExitCode
from tests.scenario.conftest import CliFixture

ALGORITHM = """
import os, signal
from torch import nn
from cleanroom_algo import Hyperparameters, Schema, Trainer

class Knobs(Hyperparameters):
    epochs: int = 1
    batch_size: int = 64

class Line(Trainer):
    schema = Schema.of(target="y", x="float32", y="float32")
    hyperparameters = Knobs

    def model(self):
        self.steps = 0
        return nn.Linear(1, 1)

    def loss(self, model, batch):
        self.steps += 1
        if os.environ.get("VICTIM") == str(self.world.rank) and self.steps == 3:
            os.kill(os.getpid(), signal.SIGKILL)
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


@pytest.mark.parametrize(
    ("distribution", "hosts", "ranks"),
    [("FullyReplicated", 1, 2), ("FullyReplicated", 2, 2), ("FullyReplicated", 2, 1), ("ShardedByS3Key", 2, 2)],
)
def test_every_row_is_seen_once(desk: CliFixture, algorithm: Path, distribution: str, hosts: int, ranks: int) -> None:
    shape = (
        "--hosts",
        hosts,
        "--distribution",
        distribution,
        "--environment",
        f"CLEANROOM_ALGO_RANKS_PER_HOST={ranks}",
    )

    done = desk.run(
        "train",
        algorithm,
        *("--channel", f"train={desk.data}", "--input-mode", "Pipe", *shape),
        *("--hyperparameter", "epochs=2", "--hyperparameter", "batch_size=64", "--json"),
    )

    assert done.status == ExitCode.OK, done.stderr
    assert done.json["rows"] == 2 * 1000


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_rank_ends_the_job_with_its_own_reason(desk: CliFixture, algorithm: Path, victim: int) -> None:
    done = desk.run(
        "train",
        algorithm,
        *("--channel", f"train={desk.data}", "--input-mode", "Pipe", "--hyperparameter", "batch_size=16"),
        *("--environment", "CLEANROOM_ALGO_RANKS_PER_HOST=2", "--environment", f"VICTIM={victim}"),
    )

    assert done.status == ExitCode.ALGORITHM_FAILED
    assert f"rank {victim} on algo-1 was ended by SIGKILL" in desk.model()["statusDetails"]["message"]
    assert desk.artifacts() == []
