"""What goes on after a kill: from the checkpoint of the last whole epoch, to the same bits."""

from __future__ import annotations

import contextlib
import shutil
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from safetensors.torch import load_file

from cleanroom_algo.contract.manifest import Manifest
from cleanroom_algo.contract.paths import Paths
from cleanroom_algo.local.hosts.feeding import Feeder
from cleanroom_algo.local.objects.reference import ObjectRef
from tests.training.ranks import run_jobs
from tests.training.support import (
    ALGORITHM,
    DIE_ONCE,
    LONG,
    Container,
    Ended,
    act_at,
    algorithm,
    csv_rows,
    listing,
    run_all,
    two_hosts,
)


@contextlib.contextmanager
def pipe(container: Container, objects: Mapping[str, str | bytes]) -> Iterator[None]:
    """Feed the channel `train` from its first epoch on, as to a container that was just started."""
    shutil.rmtree(container.root / "input" / "data", ignore_errors=True)
    (container.root / "input" / "data").mkdir(parents=True)
    container.channels["train"]["TrainingInputMode"] = "Pipe"
    references = []
    for name, text in objects.items():
        path = container.root / name
        path.write_text(str(text))
        references.append(ObjectRef(name, path, path.stat().st_size))
    faults: list[Exception] = []
    feeder = Feeder(Paths(container.root), "train", lambda _epoch: references, faults.append)
    feeder.start()
    try:
        yield
    finally:
        feeder.end()
    assert faults == []


DROPOUT = """publish_seconds = 0
def model(self):
    net = Net(self.features.numeric_size, self.features.cardinalities[0])
    net.layer = nn.Sequential(nn.Dropout(0.2), net.layer)
    return net
"""


def bits(container: Container) -> dict[str, bytes]:
    """Return the published weights and optimizer."""
    return {path.name: path.read_bytes() for path in sorted(container.model.glob("*.safetensors"))}


@pytest.mark.parametrize("mode", ["File", "Pipe"])
def test_a_rerun_after_kill_goes_on_from_the_last_whole_epoch_to_the_same_bits(tmp_path: Path, mode: str) -> None:
    """One rank of two is killed in the middle of the second epoch of three, with shuffling and dropout."""
    parts = [{"a": csv_rows(500)}, {"b": csv_rows(500, 5)}]

    def hosts(name: str, act: str = "") -> list[Container]:
        code = algorithm(tmp_path / name / "code", DROPOUT + act)
        return two_hosts(tmp_path / name, code, parts, epochs="3", batch_size="64")

    def run(of: list[Container]) -> list[Ended]:
        with contextlib.ExitStack() as feeding:
            for host, part in zip(of, parts, strict=True):
                if mode == "Pipe":
                    feeding.enter_context(pipe(host, part))
            return run_jobs(of)[0]

    whole, killed = hosts("whole"), hosts("killed", act_at(8 + 4, DIE_ONCE, rank=1))
    losses = run(whole)[0].metrics("epoch_train_loss")
    assert run(killed)[-1].status == -signal.SIGKILL
    assert listing(killed[0].root / "checkpoints" / "algo-1") == ["epoch-00001"]
    Manifest.read(killed[0].model).verify(killed[0].model)  # of the first epoch, whole

    ended = run(killed)

    assert [each.status for each in ended] == [0, 0], ended
    assert "continuing from checkpoint epoch-00001" in ended[0].err
    assert bits(killed[0]) == bits(whole[0])
    one, two = Manifest.read(whole[0].model), Manifest.read(killed[0].model)
    assert (two.metrics, two.steps, two.rows) == (one.metrics, one.steps, one.rows)
    assert ended[0].metrics("epoch_train_loss") == losses[1:]
    assert listing(killed[0].root / "checkpoints") == []


def one_host(folder: Path, code: Path, epochs: str) -> Container:
    """Return a host with sixteen steps in each epoch."""
    return Container(folder, code, hyperparameters={"epochs": epochs}).channel("train", {"a": csv_rows(1000)})


def test_a_new_container_with_the_checkpoints_ends_with_the_best_weights_of_the_run_before(tmp_path: Path) -> None:
    """The best epoch lies before the kill, and the new container has none of the artifacts."""
    body = """keep = "best"
publish_seconds = 0
def scheduler(self, optimizer):
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0 if step < 32 else -1.0)
"""

    def hosts(name: str, act: str = "") -> list[Container]:
        code = algorithm(tmp_path / name / "code", body + act)
        return [one_host(tmp_path / name, code, "5").channel("validation", {"v": csv_rows(200, 1)})]

    whole, killed, after = hosts("whole"), hosts("killed", act_at(16 * 3 + 5 + 3 * 4, DIE_ONCE)), hosts("after")
    (uninterrupted,), (dead,) = run_jobs(whole, killed)
    losses = uninterrupted.metrics("validation_loss")
    assert losses.index(min(losses)) == 1  # of the second epoch
    assert dead.status == -signal.SIGKILL
    assert listing(killed[0].root / "checkpoints" / "algo-1") == ["epoch-00002", "epoch-00003"]
    shutil.copytree(killed[0].root / "checkpoints", after[0].root / "checkpoints")

    ((ended,),) = run_jobs(after)

    assert ended.status == 0, ended.err
    assert bits(after[0]) == bits(whole[0])
    assert Manifest.read(after[0].model).metrics == Manifest.read(whole[0].model).metrics
    assert ended.metrics("validation_loss") == losses[3:]


def test_checkpoints_of_another_training_or_an_earlier_release_are_refused(tmp_path: Path) -> None:
    code = algorithm(tmp_path / "code", act_at(20, "os.kill(os.getpid(), 9)"))
    killed, other, older = (
        one_host(tmp_path / name, code, epochs) for name, epochs in (("a", "3"), ("b", "4"), ("c", "3"))
    )
    assert run_jobs([killed])[0][0].status == -signal.SIGKILL
    for host in (other, older):
        shutil.copytree(killed.root / "checkpoints", host.root / "checkpoints")
    folder = older.root / "checkpoints" / "algo-1"
    (folder / "epoch-00001").rename(folder / "step-0000000016")

    (of_other,), (of_older,) = run_jobs([other], [older])

    assert "CR-TRN-009" in of_other.err
    assert "hyperparameters: differs" in of_other.err
    assert "holds checkpoints of an earlier release" in of_older.err
    assert f"rm -r {folder}" in of_older.err


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
    two_each = {"CLEANROOM_ALGO_RANKS_PER_HOST": "2"}
    whole = two_hosts(tmp_path / "whole", algorithm(tmp_path, option, WIDE), parts)
    assert [ended.status for ended in run_all(whole, **two_each)] == [0, 0]
    once = act_at(6, DIE_ONCE, rank=1)
    killed = two_hosts(tmp_path / "killed", algorithm(tmp_path / "code", option + once, WIDE), parts)
    assert 0 not in [ended.status for ended in run_all(killed, **two_each)]
    for host in killed:
        (host.root / "output" / "failure").unlink()
    ended = run_all(killed, **two_each)
    assert [each.status for each in ended] == [0, 0], ended
    assert "continuing from checkpoint epoch-00001" in ended[0].err
    one, two = (load_file(hosts[0].model / "model.safetensors") for hosts in (whole, killed))
    assert all(tensor.equal(two[name]) for name, tensor in one.items())


def test_shards_of_a_model_are_published_and_trained_on_from(tmp_path: Path) -> None:
    parts = [{"a": csv_rows(300)}, {"b": csv_rows(100, 7)}]
    code = algorithm(tmp_path / "code", "fsdp = True\n")
    first = two_hosts(tmp_path / "first", code, parts)
    assert [each.status for each in run_all(first)] == [0, 0]
    weights = load_file(first[0].model / "model.safetensors")
    state = load_file(first[0].model / "optimizer.safetensors")
    assert {name: tuple(state[f"{name}.exp_avg"].shape) for name in weights} == {
        name: tuple(tensor.shape) for name, tensor in weights.items()
    }
    files = {path.name: path.read_bytes() for path in first[0].model.iterdir()}
    second = two_hosts(tmp_path / "second", code, parts, epochs="1")
    for host in second:
        host.channel("base", files)
    ended = run_all(second)
    assert [each.status for each in ended] == [0, 0], ended
    assert "optimizer: continuing from the base model's" in ended[0].err
    before, after = Manifest.read(first[0].model).steps, Manifest.read(second[0].model).steps
    assert load_file(second[0].model / "optimizer.safetensors")["layer.bias.step"].item() == after > before


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_checkpoint_that_a_disk_refuses_does_not_end_the_training(tmp_path: Path, ranks: int) -> None:
    """In the second and third epoch the last rank may write no file of the size of its part of a checkpoint."""
    refuse = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))"
    allow = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)"
    body = act_at(5, refuse, rank=ranks - 1).replace(
        "    return nn",
        f"    if self.world.rank == {ranks - 1} and self.calls == 13:\n        {allow}\n    return nn",
    )
    dies = "def save(self, directory):\n    if not os.environ.get('GO_ON'):\n        os.kill(os.getpid(), 9)\n"
    code = algorithm(tmp_path, f"keep_checkpoints = 5\n{body}{dies}")
    settings = {"epochs": "5", "batch_size": "64"}
    container = Container(tmp_path / "ml", code, hyperparameters=settings)
    container.channel("train", {"a": csv_rows(64 * 4 * ranks)})

    ended = container.run(CLEANROOM_ALGO_RANKS_PER_HOST=str(ranks))

    assert ended.status != 0
    for epoch in (2, 3):
        assert (
            f"no checkpoint after epoch {epoch}: it could not be written to the disk; training continues" in ended.err
        )
    assert listing(container.root / "checkpoints" / "algo-1") == ["epoch-00001", "epoch-00004"]
    ended = container.run(GO_ON="1", CLEANROOM_ALGO_RANKS_PER_HOST=str(ranks))
    assert ended.status == 0, ended.err
    assert "continuing from checkpoint epoch-00004" in ended.err


def test_saves_too_slow_for_the_grace_are_made_in_mid_epoch(tmp_path: Path) -> None:
    code = algorithm(tmp_path, "publish_seconds = 0\nlog_steps = 1\n" + act_at(30, "os.kill(os.getpid(), 9)"))
    slow = (
        "\nfrom cleanroom_algo.training.torch import publication\n"
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
