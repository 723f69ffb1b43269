"""Signals, kills, failures: how a training ends, and what it leaves."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from safetensors.torch import load_file

from cleanroom_algo.contract.manifest import Manifest
from tests.training.support import (
    ALGORITHM,
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


def stopped_while_fitting(tmp_path: Path, body: str, *, seconds: float) -> Container:
    """Return a host whose algorithm got SIGTERM in a `fit` of its own, which tells of it, and which said stopped."""
    container = long_training(tmp_path, body)
    process = container.start()
    wait_for_line(process, "fitting")
    process.send_signal(signal.SIGTERM)
    assert finish(process, seconds).status == 143
    return container


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


@pytest.mark.parametrize("ranks", ["1", "2"])
def test_a_second_signal_ends_at_once(tmp_path: Path, ranks: str) -> None:
    body = "def save(self, directory):\n    import time\n    print('saving', flush=True)\n    time.sleep(600)\n"
    container = long_training(tmp_path, body)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    process = container.start(CLEANROOM_ALGO_RANKS_PER_HOST=ranks, TMPDIR=str(temporary))
    wait_for_line(process, "epoch_train_loss")
    process.send_signal(signal.SIGTERM)
    wait_for_line(process, "saving")
    process.send_signal(signal.SIGTERM)
    assert finish(process, 10).status == 143
    assert listing(container.model) == []
    assert [name for name in listing(temporary) if not name.startswith("torchinductor")] == []


def test_ctrl_c_says_130(tmp_path: Path) -> None:
    process = long_training(tmp_path).start()
    wait_for_line(process, "train_loss")
    process.send_signal(signal.SIGINT)
    assert finish(process, 30).status == 130


INTERRUPTED = """
import os, signal, sys
from cleanroom_algo.training.signals import StopRequest, TrainingStopped

def source():
    yield "before"
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except TrainingStopped:
        if sys.argv[1] == "replaces":
            raise TypeError("not what it seems") from None
    yield "read by interrupted code"

def broken():
    yield "before"
    raise ValueError("broken")

stop = StopRequest()
stop.install()
if sys.argv[1] == "breaks by itself":
    try:
        list(stop.until_stopped(broken()))
    except ValueError as error:
        print(error)
else:
    print(*stop.until_stopped(source()), bool(stop), stop.interrupted)
"""


@pytest.mark.parametrize(
    ("code", "said"),
    [("replaces", "before True False"), ("swallows", "before True False"), ("breaks by itself", "broken")],
)
def test_a_stop_is_one_although_native_code_swallows_or_replaces_it(code: str, said: str) -> None:
    command = [sys.executable, "-c", INTERRUPTED, code]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert ended.stdout.strip() == said


def test_an_own_fit_that_replaces_the_stop_has_been_stopped(tmp_path: Path) -> None:
    body = (
        "def fit(self):\n    import time\n    print('fitting', flush=True)\n    try:\n        time.sleep(600)\n"
        "    except BaseException:\n        raise TypeError('not what it seems') from None\n"
        "def save(self, directory):\n    pass\n"
    )
    container = stopped_while_fitting(tmp_path, body, seconds=10)
    assert container.failure == ""


def test_own_fit_is_interrupted(tmp_path: Path) -> None:
    body = (
        "def fit(self):\n    import time\n    print('fitting', flush=True)\n    time.sleep(600)\n"
        "def save(self, directory):\n    pass\n"
    )
    container = stopped_while_fitting(tmp_path, body, seconds=10)
    assert listing(container.model) == []


def test_own_fit_that_looks_for_the_stop_saves(tmp_path: Path) -> None:
    body = (
        "def fit(self):\n    import time\n    print('fitting', self.stopping, flush=True)\n"
        "    while not self.stopping:\n        time.sleep(0.01)\n"
        "def save(self, directory):\n    (directory / 'sum').write_text('1')\n"
    )
    container = stopped_while_fitting(tmp_path, body, seconds=30)
    assert listing(container.model) == ["manifest.json", "sum"]


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
        "\nfrom cleanroom_algo.training import publication\npublication.GRACE_SECONDS = 0.0  # any save is too slow\n"
    )
    code.write_text(code.read_text() + slow)
    container = Container(tmp_path / "ml", code, hyperparameters=LONG).channel("train", {"a": csv_rows(300)})
    ended = container.run()
    assert ended.status == -signal.SIGKILL
    assert ended.metrics("epoch_train_loss") == []
    manifest = Manifest.read(container.model)
    manifest.verify(container.model)
    assert 0 < manifest.steps < 30


@pytest.mark.parametrize("ranks", ["1", "2"])
def test_a_silent_pipe_does_not_use_up_the_grace(tmp_path: Path, ranks: str) -> None:
    container = Container(tmp_path / "ml", algorithm(tmp_path, "shuffle = False\n"), hyperparameters={"epochs": "3"})
    data = container.root / "input" / "data"
    data.mkdir(parents=True)
    container.channels = {"train": {"TrainingInputMode": "Pipe"}}
    for epoch in range(2):
        os.mkfifo(data / f"train_{epoch}")
    rows = csv_rows(40_000).encode()
    ended = threading.Event()

    def feed() -> None:
        (data / "train_0").write_bytes(rows)  # the features are fitted on it
        with (data / "train_1").open("wb") as pipe, contextlib.suppress(BrokenPipeError):
            pipe.write(rows)
            pipe.flush()
            ended.wait()

    feeder = threading.Thread(target=feed)
    feeder.start()
    process = container.start(CLEANROOM_ALGO_RANKS_PER_HOST=ranks)
    try:
        wait_for_line(process, "train_loss")
        process.send_signal(signal.SIGTERM)
        stopped = finish(process, 60)
    finally:
        ended.set()
        feeder.join()
    assert stopped.status == 143, stopped.err
    assert container.failure == ""
    manifest = Manifest.read(container.model)
    manifest.verify(container.model)
    assert manifest.steps > 0


@pytest.mark.parametrize("when", ["waiting", "just before"])
def test_a_host_that_waits_for_the_others_can_be_stopped(tmp_path: Path, when: str) -> None:
    code = algorithm(tmp_path)
    if when == "just before":  # the handler runs, and then comes the wait in which none does
        early = "from cleanroom_algo.training import launch\nlaunch.Meeting.watch = lambda self, act: {}\n"
        code.write_text(code.read_text() + early.format("os.kill(os.getpid(), 15)"))
    first, _ = two_hosts(tmp_path, code, [{"a": csv_rows(10)}, {"b": csv_rows(10)}])
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    process = first.start(TMPDIR=str(temporary))
    if when == "waiting":
        host, _, port = first.variables["CLEANROOM_ALGO_RENDEZVOUS"].partition(":")
        while process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
                break
        process.send_signal(signal.SIGTERM)
    assert finish(process, 60).status == 143
    assert first.failure == ""
    assert [name for name in listing(temporary) if not name.startswith("torchinductor")] == []


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


DIES = "os.kill(os.getpid(), 9)"
PHASES = {
    # What is put into the algorithm's class, and what after it.
    "import": ("", f"if os.environ.get('RANK') == '1':\n    {DIES}\n"),
    "fit_features": (
        f"def fit_features(self):\n    if self.world.rank == 1:\n        {DIES}\n    return super().fit_features()\n",
        "",
    ),
    "model": (
        # The others wait for it in a collective of DDP's constructor, which may not notice for half an hour.
        (
            f"def model(self):\n    if self.world.rank == 1:\n        {DIES}\n"
            "    return Net(self.features.numeric_size, self.features.cardinalities[0])\n"
        ),
        "",
    ),
    "optimizer": (
        f"def optimizer(self, model):\n    if self.world.rank:\n        {DIES}\n    return super().optimizer(model)\n",
        "",
    ),
    "metrics": (
        f"def metrics(self, model, batch):\n    if self.world.rank == 1:\n        {DIES}\n    return {{}}\n",
        "",
    ),
    "checkpoint": (
        f"checkpoint_steps = 1\nfrom cleanroom_algo.training import checkpoints\ndef die(*arguments):\n    {DIES}\n",
        "if os.environ.get('RANK') == '1':\n    Late.checkpoints._write = Late.die\n",
    ),
    "save": (f"def save(self, directory):\n    {DIES}\n", ""),
}


@pytest.mark.parametrize("phase", PHASES)
def test_a_rank_killed_in_any_phase_ends_the_job(tmp_path: Path, phase: str) -> None:
    body, after = PHASES[phase]
    code = algorithm(tmp_path, body)
    code.write_text(code.read_text() + after)
    hosts = two_hosts(tmp_path, code, [{"a": csv_rows(200)}, {"b": csv_rows(200, 5)}])
    for host in hosts:
        host.channel("validation", {"v": csv_rows(20, 3)})
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
