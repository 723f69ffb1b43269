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

from cleanroom_algo.contract.manifest import Manifest
from tests.training.support import (
    LONG,
    Container,
    act_at,
    algorithm,
    csv_rows,
    finish,
    listing,
    run_all,
    two_hosts,
    wait_for_line,
)


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


def test_sigterm_on_one_host_ends_the_ranks_of_all_after_the_same_step(tmp_path: Path) -> None:
    hosts = two_hosts(tmp_path, algorithm(tmp_path), [{"a": csv_rows(300)}, {"b": csv_rows(80)}], **LONG)
    processes = [host.start() for host in hosts]
    wait_for_line(processes[0], "epoch_train_loss")
    processes[1].send_signal(signal.SIGTERM)
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


def test_a_host_that_waits_for_the_others_can_be_stopped(tmp_path: Path) -> None:
    code = algorithm(tmp_path)
    first, _ = two_hosts(tmp_path, code, [{"a": csv_rows(10)}, {"b": csv_rows(10)}])
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    process = first.start(TMPDIR=str(temporary))
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
        ("os.kill(os.getpid(), 9)", 1, "CR-TRN-002  rank 1 on algo-2 was ended by SIGKILL"),
        ("import sys; sys.exit(3)", 3, "CR-TRN-001"),
    ],
)
def test_a_dead_rank_ends_the_others_with_its_own_reason(tmp_path: Path, action: str, status: int, cause: str) -> None:
    code = algorithm(tmp_path, act_at(4, action, rank=1))
    hosts = two_hosts(tmp_path, code, [{"a": csv_rows(400)}, {"b": csv_rows(400, 5)}])
    ended = run_all(hosts)
    assert [each.status for each in ended] == [status, status]
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
    "checkpoint": (
        (f"from cleanroom_algo.training.torch import checkpoints\ndef die(*arguments):\n    {DIES}\n"),
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


@pytest.mark.parametrize("setting", ["whole", "redacted"])
def test_a_whole_traceback_is_in_the_log_by_a_setting_and_never_in_the_failure_file(
    tmp_path: Path, setting: str
) -> None:
    code = algorithm(tmp_path, "def fit_features(self):\n    float('Ja' + 'ne')\n")
    ended = (container := Container(tmp_path / "ml", code).channel("train", {"a": csv_rows(10)})).run(
        CLEANROOM_ALGO_TRACEBACKS=setting
    )
    assert ended.status == 1
    assert ("could not convert string to float: 'Jane'" in ended.err) is (setting == "whole")
    assert container.failure.startswith(
        "ValueError: could not convert string to float: <value>\n  at late_algorithm.py:"
    )


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
