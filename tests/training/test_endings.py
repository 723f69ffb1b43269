"""Signals, kills, failures: how a training ends, and what it leaves."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from safetensors.torch import load_file

from cleanroom_algo.contract.manifest import Manifest
from tests.training.support import (
    Container,
    algorithm,
    csv_rows,
    finish,
    listing,
    run_all,
    two_hosts,
    wait_for_line,
)

DIE_ONCE = """import pathlib
        mark = pathlib.Path(__file__).with_name("died")
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), 9)"""
LONG = {"epochs": "100000", "batch_size": "8"}


def long_training(tmp_path: Path, body: str = "") -> Container:
    code = algorithm(tmp_path, body)
    return Container(tmp_path / "ml", code, hyperparameters=LONG).channel("train", {"a": csv_rows(300)})


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


def test_sigterm_publishes_after_the_step_and_says_stopped(tmp_path: Path) -> None:
    container = long_training(tmp_path)
    process = container.start()
    wait_for_line(process, "epoch_train_loss")
    process.send_signal(signal.SIGTERM)
    ended = finish(process, 30)
    assert ended.status == 143, ended.err
    assert container.failure == ""
    manifest = Manifest.read(container.model)
    manifest.verify(container.model)
    assert manifest.steps > 0


@pytest.mark.parametrize("told", [(0, 1), (1,)])
def test_sigterm_ends_the_ranks_of_all_hosts_after_the_same_step(tmp_path: Path, told: tuple[int, ...]) -> None:
    hosts = two_hosts(tmp_path, algorithm(tmp_path), [{"a": csv_rows(300)}, {"b": csv_rows(80)}], **LONG)
    processes = [host.start() for host in hosts]
    wait_for_line(processes[0], "epoch_train_loss")
    for number in told:
        processes[number].send_signal(signal.SIGTERM)
    ended = [finish(process, 30) for process in processes]
    assert [each.status for each in ended] == [143, 143], ended
    assert [host.failure for host in hosts] == ["", ""]
    Manifest.read(hosts[0].model).verify(hosts[0].model)


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    body = "def save(self, directory):\n    import time\n    print('saving', flush=True)\n    time.sleep(600)\n"
    container = long_training(tmp_path, body)
    process = container.start()
    wait_for_line(process, "epoch_train_loss")
    process.send_signal(signal.SIGTERM)
    wait_for_line(process, "saving")
    process.send_signal(signal.SIGTERM)
    assert finish(process, 10).status == 143
    assert listing(container.model) == []


def test_ctrl_c_says_130(tmp_path: Path) -> None:
    process = long_training(tmp_path).start()
    wait_for_line(process, "train_loss")
    process.send_signal(signal.SIGINT)
    assert finish(process, 30).status == 130


def test_own_fit_is_interrupted(tmp_path: Path) -> None:
    body = (
        "def fit(self):\n    import time\n    print('fitting', flush=True)\n    time.sleep(600)\n"
        "def save(self, directory):\n    pass\n"
    )
    container = long_training(tmp_path, body)
    process = container.start()
    wait_for_line(process, "fitting")
    process.send_signal(signal.SIGTERM)
    assert finish(process, 10).status == 143
    assert listing(container.model) == []


def test_a_rerun_after_kill_ends_with_the_same_bits(tmp_path: Path) -> None:
    body = "checkpoint_steps = 3\npublish_seconds = 0\n"
    settings = {"epochs": "3", "batch_size": "64"}
    data = {"a": csv_rows(1000)}
    whole = Container(tmp_path / "whole", algorithm(tmp_path, body), hyperparameters=settings).channel("train", data)
    assert whole.run().status == 0
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
    assert Manifest.read(killed.model).metrics == Manifest.read(whole.model).metrics
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


def test_two_hosts_go_on_after_both_were_killed(tmp_path: Path) -> None:
    parts = [{"a": csv_rows(500)}, {"b": csv_rows(200, 5)}]
    body = "checkpoint_steps = 2\n"
    whole = two_hosts(tmp_path / "whole", algorithm(tmp_path, body), parts)
    assert [ended.status for ended in run_all(whole)] == [0, 0]
    once = act_at(7, DIE_ONCE, rank=1)
    killed = two_hosts(tmp_path / "killed", algorithm(tmp_path / "code", body + once), parts)
    assert 0 not in [ended.status for ended in run_all(killed)]
    for host in killed:
        (host.root / "output" / "failure").unlink()
    ended = run_all(killed)
    assert [each.status for each in ended] == [0, 0], ended
    one, two = (load_file(hosts[0].model / "model.safetensors") for hosts in (whole, killed))
    assert all(tensor.equal(two[name]) for name, tensor in one.items())


@pytest.mark.parametrize(
    ("action", "status", "cause"),
    [
        ("raise ValueError('no such carrier')", 1, "ValueError: no such carrier\n  at late_algorithm.py:"),
        ("os.kill(os.getpid(), 9)", 1, "CR-TRN-002  a rank died\n  what      rank 1 on algo-2 was ended by SIGKILL"),
        ("import sys; sys.exit(3)", 3, "CR-TRN-001"),
    ],
)
def test_a_dead_rank_ends_the_others_with_its_own_reason(tmp_path: Path, action: str, status: int, cause: str) -> None:
    code = algorithm(tmp_path, act_at(4, action, rank=1))
    hosts = two_hosts(tmp_path, code, [{"a": csv_rows(400)}, {"b": csv_rows(400, 5)}])
    ended = run_all(hosts)
    assert ended[1].status == status
    assert ended[0].status not in (0, 143)
    assert hosts[1].failure.startswith(cause)
    assert hosts[0].failure == hosts[1].failure
    assert "ChildFailedError" not in ended[0].err + ended[1].err
    assert listing(hosts[0].model) == []


@pytest.mark.parametrize("phase", ["model", "fit_features", "save"])
def test_a_rank_killed_in_any_phase_ends_the_job(tmp_path: Path, phase: str) -> None:
    arguments = {"model": "", "fit_features": "", "save": ", directory"}[phase]
    rank = 0 if phase == "save" else 1
    body = f"""
def {phase}(self{arguments}):
    if self.world.rank == {rank}:
        os.kill(os.getpid(), 9)
    return super().{phase}({arguments.removeprefix(", ")})
"""
    if phase == "model":
        body = body.replace("super().model()", "Net(self.features.numeric_size, self.features.cardinalities[0])")
        text = algorithm(tmp_path).read_text().replace("def model(self):", "def unused(self):")
        code = algorithm(tmp_path, body, text)
    else:
        code = algorithm(tmp_path, body)
    hosts = two_hosts(tmp_path, code, [{"a": csv_rows(100)}, {"b": csv_rows(100, 5)}])
    ended = run_all(hosts)
    assert 0 not in [each.status for each in ended], ended
    for host in hosts:
        assert "was ended by SIGKILL" in host.failure, ended
        assert listing(host.model) == []


def test_no_rank_outlives_its_launcher(tmp_path: Path) -> None:
    import psutil

    hosts = two_hosts(tmp_path, algorithm(tmp_path), [{"a": csv_rows(300)}, {"b": csv_rows(80)}], **LONG)
    processes = [host.start() for host in hosts]
    wait_for_line(processes[0], "epoch_train_loss")
    ranks = [child for process in processes for child in psutil.Process(process.pid).children(recursive=True)]
    assert len(ranks) >= 2
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert psutil.wait_procs(ranks, timeout=20)[1] == []


def test_failures_of_one_process_are_true_too(tmp_path: Path) -> None:
    for number, (action, status, cause) in enumerate(
        [
            ("raise ValueError(str(batch.target.sum().item() / 7))", 1, "ValueError: <value>\n  at late_algorithm.py:"),
            ("import sys; sys.exit(3)", 3, "CR-TRN-001"),
            ("import sys; sys.exit()", 1, "CR-TRN-001"),
            ("raise KeyboardInterrupt", 130, ""),
            ("return model(batch.numeric, batch.categorical) * float('nan')", 1, "CR-TRN-007"),
            ("return model(batch.categorical, batch.numeric)", 1, ""),
        ]
    ):
        code = algorithm(tmp_path / str(number), act_at(1, action))
        container = Container(tmp_path / str(number) / "ml", code).channel("train", {"a": csv_rows(100)})
        ended = container.run()
        assert ended.status == status, ended.err
        assert container.failure.startswith(cause)
        assert len(container.failure.encode()) <= 1024
        assert listing(container.model) == []


def test_wrong_hyperparameters_and_declarations_fail_before_training(tmp_path: Path) -> None:
    wrong = {"epochs": "0", "batch_sise": "7351", "learning_rate": "fast7351"}
    container = Container(tmp_path / "a", algorithm(tmp_path), hyperparameters=wrong).channel("train", {})
    assert container.run().status == 3
    assert "batch_sise" in container.failure
    assert "7351" not in container.failure
    code = algorithm(tmp_path / "b", 'patience = 0\nkeep = "newest"\n')
    container = Container(tmp_path / "b" / "ml", code).channel("train", {})
    assert container.run().status == 3
    assert "Late.patience" in container.failure
    assert "Late.keep" in container.failure
