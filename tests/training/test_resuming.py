"""What goes on after a kill: from checkpoints, with the same bits, each row once."""

from __future__ import annotations

import contextlib
import shutil
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from safetensors.torch import load_file

from cleanroom_algo.contract.manifest import Manifest
from cleanroom_algo.contract.paths import Paths
from cleanroom_algo.local.hosts.feeding import Feeder
from cleanroom_algo.local.objects.reference import ObjectRef
from tests.training.support import (
    ALGORITHM,
    DIE_ONCE,
    LONG,
    Container,
    act_at,
    algorithm,
    csv_rows,
    listing,
    run_all,
    two_hosts,
)


def test_a_rerun_after_kill_ends_with_the_same_bits(tmp_path: Path) -> None:
    body = "checkpoint_steps = 3\npublish_seconds = 0\n"
    settings = {"epochs": "3", "batch_size": "64"}
    data = {"a": csv_rows(1000)}
    whole = Container(tmp_path / "whole", algorithm(tmp_path, body), hyperparameters=settings).channel("train", data)
    losses = whole.run().metrics("epoch_train_loss")
    # The same algorithm, which kills itself once, in the middle of the second epoch.
    once = act_at(24, DIE_ONCE)
    killed = Container(
        tmp_path / "killed", algorithm(tmp_path / "code", body + once), hyperparameters=settings
    ).channel("train", data)
    assert killed.run().status == -signal.SIGKILL
    assert listing(killed.root / "checkpoints" / "algo-1") == ["step-0000000018", "step-0000000021"]
    Manifest.read(killed.model).verify(killed.model)  # of the first epoch, whole
    ended = killed.run()
    assert ended.status == 0, ended.err
    assert "going on from checkpoint step-0000000021" in ended.err
    assert (killed.model / "model.safetensors").read_bytes() == (whole.model / "model.safetensors").read_bytes()
    assert (killed.model / "optimizer.safetensors").read_bytes() == (whole.model / "optimizer.safetensors").read_bytes()
    one, two = Manifest.read(whole.model), Manifest.read(killed.model)
    assert (two.metrics, two.steps, two.rows) == (one.metrics, one.steps, one.rows)
    assert ended.metrics("epoch_train_loss") == losses[1:]  # of the whole second epoch, not of what was left of it
    assert listing(killed.root / "checkpoints") == []


def test_a_killed_run_goes_on_with_other_ranks_where_its_checkpoint_stands(tmp_path: Path) -> None:
    """One rank dies in the second epoch; two ranks read what it had not, each row once."""
    record = """
calls = 0
def loss(self, model, batch):
    self.calls += 1
    name = f"{self.world.size}-{self.world.rank}-{self.calls}"
    (__import__("pathlib").Path(__file__).parent / name).write_text("\\n".join(map(str, batch.numeric[:, 0].tolist())))
    if self.world.size == 1 and self.calls == 24:
        os.kill(os.getpid(), 9)
    return nn.functional.binary_cross_entropy_with_logits(model(batch.numeric, batch.categorical), batch.target)
"""
    code = algorithm(tmp_path / "code", "checkpoint_steps = 3\npublish_seconds = 0\n" + record)
    settings = {"epochs": "2", "batch_size": "64"}
    container = Container(tmp_path / "ml", code, hyperparameters=settings).channel("train", {"a": csv_rows(1000)})
    assert container.run().status == -signal.SIGKILL

    ended = container.run(CLEANROOM_ALGO_RANKS_PER_HOST="2")

    assert ended.status == 0, ended.err
    assert "going on from checkpoint step-0000000021" in ended.err
    first = [f"1-0-{call}" for call in range(17, 22)]  # of the second epoch's 16 steps, up to the checkpoint
    names = first + [path.name for path in code.parent.glob("2-*")]
    seen = [float(line) for name in names for line in (code.parent / name).read_text().splitlines()]
    whole = [float(x) for call in range(1, 17) for x in (code.parent / f"1-0-{call}").read_text().splitlines()]
    assert len(seen) == 1000
    assert sorted(seen) == sorted(whole)


@contextlib.contextmanager
def pipe(container: Container, objects: Sequence[Path]) -> Iterator[None]:
    """Feed the channel `train` from its first epoch on, as to a container that was just started."""
    data = container.root / "input" / "data"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    container.channels["train"] = {"TrainingInputMode": "Pipe"}
    references = [ObjectRef(path.name, path, path.stat().st_size) for path in objects]
    faults: list[Exception] = []
    feeder = Feeder(Paths(container.root), "train", lambda _epoch: references, faults.append)
    feeder.start()
    try:
        yield
    finally:
        feeder.end()
    assert faults == []


@pytest.mark.parametrize("order", [1, -1], ids=["same", "other"])
def test_a_killed_run_goes_on_in_the_middle_of_a_pipe(tmp_path: Path, order: int) -> None:
    """A rank dies in the second epoch; the rerun passes over what was taken of it, each row once over both.

    Where the objects come in another order the rerun begins the epoch anew.
    """
    record = """
calls = 0
def loss(self, model, batch):
    self.calls += 1
    name = f"{os.environ['RUN']}-{self.world.rank}-{self.calls}"
    (__import__("pathlib").Path(__file__).parent / name).write_text("\\n".join(map(str, batch.numeric[:, 0].tolist())))
    if os.environ["RUN"] == "1" and self.world.rank == 1 and self.calls == 15:
        os.kill(os.getpid(), 9)
    return nn.functional.binary_cross_entropy_with_logits(model(batch.numeric, batch.categorical), batch.target)
"""
    code = algorithm(tmp_path / "code", "checkpoint_steps = 3\npublish_seconds = 0\n" + record)
    objects = [tmp_path / "a", tmp_path / "b"]
    for seed, path in enumerate(objects):
        path.write_text(csv_rows(512, seed))
    settings = {"epochs": "2", "batch_size": "64"}  # 8 steps an epoch, without any that is not full
    container = Container(tmp_path / "ml", code, hyperparameters=settings)
    with pipe(container, objects):
        killed = container.run(CLEANROOM_ALGO_RANKS_PER_HOST="2", RUN="1")
    assert "rank 1 on algo-1 was ended by SIGKILL" in killed.err

    with pipe(container, objects[::order]):
        ended = container.run(CLEANROOM_ALGO_RANKS_PER_HOST="2", RUN="2")

    assert ended.status == 0, ended.err
    assert "going on from checkpoint step-0000000012" in ended.err
    assert ("does not deliver what was read of it before" in ended.err) == (order < 0)
    names = [f"1-{rank}-{call}" for rank in (0, 1) for call in range(1, 13 if order > 0 else 9)]
    names += [path.name for path in code.parent.glob("2-*")]
    seen = Counter(float(line) for name in names for line in (code.parent / name).read_text().splitlines())
    epoch = [f"1-{rank}-{call}" for rank in (0, 1) for call in range(1, 9)]
    whole = Counter(float(line) for name in epoch for line in (code.parent / name).read_text().splitlines())
    assert whole.total() == 1024
    assert seen == Counter({row: 2 * count for row, count in whole.items()})


# More than a megabyte of weights, which DDP sends in several buckets.
WIDE = ALGORITHM.replace(
    "self.layer = ",
    "self.wide = nn.Sequential(nn.Linear(1, 400), nn.Tanh(), nn.Linear(400, 400), nn.Tanh(), nn.Linear(400, 1))\n"
    "        self.layer = ",
).replace("dim=1)).squeeze(1)", "dim=1)).squeeze(1) + self.wide(numeric[:, :1]).squeeze(1)")


@pytest.mark.parametrize("option", ["", "fsdp = True\n"], ids=["whole", "sharded"])
def test_four_ranks_go_on_after_all_were_killed(tmp_path: Path, option: str) -> None:
    """With more than two ranks, sums of gradients depend on the order in which they are sent."""
    parts = [{"a": csv_rows(500)}, {"b": csv_rows(300, 5)}]
    body = f"checkpoint_steps = 2\n{option}"
    two_each = {"CLEANROOM_ALGO_RANKS_PER_HOST": "2"}
    whole = two_hosts(tmp_path / "whole", algorithm(tmp_path, body, WIDE), parts)
    assert [ended.status for ended in run_all(whole, **two_each)] == [0, 0]
    once = act_at(4, DIE_ONCE, rank=1)
    killed = two_hosts(tmp_path / "killed", algorithm(tmp_path / "code", body + once, WIDE), parts)
    assert 0 not in [ended.status for ended in run_all(killed, **two_each)]
    for host in killed:
        (host.root / "output" / "failure").unlink()
    ended = run_all(killed, **two_each)
    assert [each.status for each in ended] == [0, 0], ended
    assert "going on from checkpoint step-0000000002" in ended[0].err
    one, two = (load_file(hosts[0].model / "model.safetensors") for hosts in (whole, killed))
    assert all(tensor.equal(two[name]) for name, tensor in one.items())


def test_shards_of_a_model_are_checkpointed_published_and_trained_on_from(tmp_path: Path) -> None:
    parts = [{"a": csv_rows(300)}, {"b": csv_rows(100, 7)}]
    body = "fsdp = True\ncheckpoint_steps = 2\n"
    killed = two_hosts(tmp_path / "first", algorithm(tmp_path / "code", body + act_at(4, DIE_ONCE, rank=1)), parts)
    assert 0 not in [ended.status for ended in run_all(killed)]
    for host in killed:
        (host.root / "output" / "failure").unlink()
    ended = run_all(killed)
    assert [each.status for each in ended] == [0, 0], ended
    assert "going on from checkpoint step-0000000002" in ended[0].err
    weights = load_file(killed[0].model / "model.safetensors")
    state = load_file(killed[0].model / "optimizer.safetensors")
    assert {name: tuple(state[f"{name}.exp_avg"].shape) for name in weights} == {
        name: tuple(tensor.shape) for name, tensor in weights.items()
    }
    files = {path.name: path.read_bytes() for path in killed[0].model.iterdir()}
    second = two_hosts(tmp_path / "second", algorithm(tmp_path / "next", body), parts, epochs="1")
    for host in second:
        host.channel("base", files)
    ended = run_all(second)
    assert [each.status for each in ended] == [0, 0], ended
    assert "the optimizer goes on as the base model's" in ended[0].err
    before, after = Manifest.read(killed[0].model).steps, Manifest.read(second[0].model).steps
    assert load_file(second[0].model / "optimizer.safetensors")["layer.bias.step"].item() == after > before


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_checkpoint_that_a_disk_refuses_does_not_end_the_training(tmp_path: Path, ranks: int) -> None:
    """From the fifth step on the last rank may write no file larger than 4 KB, which its part of a checkpoint is."""
    refuse = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))"
    allow = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)"
    body = act_at(5, refuse, rank=ranks - 1).replace(
        "    return nn",
        f"    if self.world.rank == {ranks - 1} and self.calls == 9:\n        {allow}\n    return nn",
    )
    dies = "def save(self, directory):\n    if not os.environ.get('GO_ON'):\n        os.kill(os.getpid(), 9)\n"
    code = algorithm(tmp_path, f"checkpoint_steps = 2\nkeep_checkpoints = 5\n{body}{dies}")
    settings = {"epochs": "1", "batch_size": "64"}
    container = Container(tmp_path / "ml", code, hyperparameters=settings)
    container.channel("train", {"a": csv_rows(64 * 11 * ranks)})

    ended = container.run(CLEANROOM_ALGO_RANKS_PER_HOST=str(ranks))

    assert ended.status != 0
    for step in (6, 8):
        assert f"no checkpoint at step {step}: a disk did not take it; training goes on" in ended.err
    # The newest whole one outlived the refusals, the older one made room.
    assert listing(container.root / "checkpoints" / "algo-1") == ["step-0000000004", "step-0000000010"]
    ended = container.run(GO_ON="1", CLEANROOM_ALGO_RANKS_PER_HOST=str(ranks))
    assert ended.status == 0, ended.err
    assert "going on from checkpoint step-0000000010" in ended.err


def test_the_best_weights_survive_a_kill(tmp_path: Path) -> None:
    body = """keep = "best"
def scheduler(self, optimizer):
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0 if step < 32 else -1.0)
"""
    code = algorithm(tmp_path, body + act_at(16 * 3 + 5, DIE_ONCE))
    container = Container(tmp_path / "ml", code, hyperparameters={"epochs": "4"}).channel(
        "train", {"a": csv_rows(1000)}
    )
    container.channel("validation", {"v": csv_rows(200, 1)})
    assert container.run().status == -signal.SIGKILL
    best = (container.model / "model.safetensors").read_bytes()
    ended = container.run()
    assert ended.status == 0, ended.err
    losses = ended.metrics("validation_loss")
    metrics = Manifest.read(container.model).metrics
    assert metrics["validation_loss"] < min(losses)  # of the second epoch, before the kill
    assert (container.model / "model.safetensors").read_bytes() == best
    assert ended.metrics("final_validation_loss") == pytest.approx([metrics["validation_loss"]])


def test_saves_too_slow_for_the_grace_are_made_in_mid_epoch(tmp_path: Path) -> None:
    code = algorithm(tmp_path, "publish_seconds = 0\nlog_steps = 1\n" + act_at(30, "os.kill(os.getpid(), 9)"))
    slow = (
        "\nfrom cleanroom_algo.training.artifacts import publication\n"
        "publication.GRACE_SECONDS = 0.0  # any save is too slow\n"
    )
    code.write_text(code.read_text() + slow)
    container = Container(tmp_path / "ml", code, hyperparameters=LONG).channel("train", {"a": csv_rows(300)})
    ended = container.run()
    assert ended.status == -signal.SIGKILL
    assert ended.metrics("epoch_train_loss") == []
    manifest = Manifest.read(container.model)
    manifest.verify(container.model)
    assert 0 < manifest.steps < 30
