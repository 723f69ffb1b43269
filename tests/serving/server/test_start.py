"""Servers that cannot start: what ends them, and what they say."""

from __future__ import annotations

import contextlib
import signal
import socket
from pathlib import Path

import psutil
import pytest

from tests.serving.support import (
    ALGORITHM,
    GOOD,
    Container,
    RunningServer,
    Start,
    write_algorithm,
)


@pytest.mark.parametrize(
    ("change", "exit_status", "told"),
    [
        ("raise RuntimeError('no such layer')", 1, "RuntimeError"),
        ("import sys; sys.exit(7)", 1, "SystemExit"),
        ("artifacts.state_dict('other.safetensors')", 1, "CR-SRV-011"),
    ],
)
def test_a_model_that_cannot_load_ends_at_once_with_the_reason(
    container: Container, start_server: Start, tmp_path: Path, change: str, exit_status: int, told: str
) -> None:
    text = ALGORITHM.replace("    def load(self, artifacts):\n", f"    def load(self, artifacts):\n        {change}\n")
    root = tmp_path / "ml"
    root.mkdir()
    (root / "model").symlink_to(container.root / "model")
    server = start_server(Container(root, write_algorithm(tmp_path, text)), wait=False)
    assert server.process.wait(60) == exit_status
    assert told in server.log.read_text()
    assert "CR-" in server.log.read_text()
    assert told in (root / "output" / "failure").read_text()


def test_a_taken_port_ends_at_once_with_the_reason(start_server: Start, container: Container, tmp_path: Path) -> None:
    root = tmp_path / "ml"
    root.mkdir()
    (root / "model").symlink_to(container.root / "model")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        server = start_server(Container(root, container.algorithm), wait=False, SAGEMAKER_BIND_TO_PORT=port)
        assert server.process.wait(60) == 1
    failure = (root / "output" / "failure").read_text()
    assert "CR-SRV-010" in failure
    assert f"127.0.0.1:{port}" in failure
    assert "127.0.0.1" in server.log.read_text()


def test_a_model_directory_without_manifest(start_server: Start, container: Container, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    server = start_server(Container(tmp_path, container.algorithm), wait=False)
    assert server.process.wait(60) == 1
    assert "manifest.json cannot be read" in (tmp_path / "output" / "failure").read_text()


def test_a_model_that_does_not_predict_ends_the_server(
    container: Container, start_server: Start, tmp_path: Path
) -> None:
    text = ALGORITHM + "        raise ArithmeticError\n"
    text = text.replace("        arrays =", "        raise ArithmeticError\n        arrays =")
    root = tmp_path / "ml"
    root.mkdir()
    (root / "model").symlink_to(container.root / "model")
    server = start_server(
        Container(root, write_algorithm(tmp_path, text)), wait=False, CLEANROOM_ALGO_SERVE_PRELOAD="true"
    )
    assert server.process.wait(60) == 1
    assert "ArithmeticError" in (root / "output" / "failure").read_text()


def _started(start_server: Start, container: Container, folder: Path, text: str, **environment: str) -> RunningServer:
    """Start an algorithm with a root of its own, which takes its failure file."""
    root = folder / "ml"
    root.mkdir()
    (root / "model").symlink_to(container.root / "model")
    return start_server(Container(root, write_algorithm(folder, text)), wait=False, **environment)


def _in_load(statement: str) -> str:
    return ALGORITHM.replace("artifacts):\n", f"artifacts):\n        {statement}\n", 1)


def _in_predict(statement: str) -> str:
    return ALGORITHM.replace("        arrays =", f"        {statement}\n        arrays =")


PANIC = "type('Secret', (BaseException,), {})"  # as native code's: no Exception
EXIT = "import os; os._exit({})"
CRASH = "import ctypes; ctypes.string_at(0)"
KILL = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"


@pytest.mark.parametrize(
    ("preload", "text", "told"),
    [
        ("true", _in_load(EXIT.format(0)), "exit status 0 while loading"),
        ("true", _in_load(CRASH), "SIGSEGV while loading"),
        ("false", _in_load(KILL), "SIGKILL while loading"),
        ("true", _in_predict(EXIT.format(9)), "exit status 9 while warming up"),
        ("false", _in_predict(CRASH), "SIGSEGV while warming up"),
    ],
)
def test_a_process_that_dies_before_it_serves_is_told_with_how_and_when(
    container: Container, start_server: Start, tmp_path: Path, preload: str, text: str, told: str
) -> None:
    server = _started(start_server, container, tmp_path, text, CLEANROOM_ALGO_SERVE_PRELOAD=preload)
    assert server.process.wait(60) == 1
    failure = (tmp_path / "ml" / "output" / "failure").read_text()
    assert failure.startswith("CR-SRV-016")
    assert told in failure
    log = server.log.read_text()
    assert "Traceback" not in log
    assert log.rstrip().endswith(failure.rstrip())  # the reason is the last thing said
    if "SIGSEGV" in told:
        assert f"in {'load' if 'load' in told else 'predict'}\n" in log  # the stack that led to it


@pytest.mark.parametrize(
    ("preload", "text"), [("true", _in_load(f"raise {PANIC}")), ("false", _in_predict("raise ArithmeticError"))]
)
def test_the_last_line_of_the_log_is_the_first_reason(
    container: Container, start_server: Start, tmp_path: Path, preload: str, text: str
) -> None:
    server = _started(start_server, container, tmp_path, text, CLEANROOM_ALGO_SERVE_PRELOAD=preload)
    assert server.process.wait(60) == 1
    log = server.log.read_text()
    last = log.rstrip().splitlines()[-1]
    assert "serve ends with exit status 1: CR-SRV-0" in last
    raised = "BaseException" if "Secret" in text else "ArithmeticError"
    assert f"{raised} at serving_algorithm.py" in last
    assert "Traceback" not in log
    assert "Secret" not in log
    assert raised in (tmp_path / "ml" / "output" / "failure").read_text()


@pytest.mark.parametrize(
    ("preload", "text", "phase"),
    [("true", _in_load("import time; time.sleep(600)"), "loading the model"), ("false", None, "warming up")],
)
def test_a_start_that_hangs_is_told_while_it_does_and_ended_at_the_limit(
    container: Container, start_server: Start, tmp_path: Path, preload: str, text: str | None, phase: str
) -> None:
    server = _started(
        start_server,
        container,
        tmp_path,
        text or _in_predict("import time; time.sleep(600)"),
        CLEANROOM_ALGO_SERVE_PRELOAD=preload,
        CLEANROOM_ALGO_SERVE_WORKERS="2",
        CLEANROOM_ALGO_SERVE_START_SECONDS="10",  # importing torch takes some of them where all cores are busy
    )
    processes = [psutil.Process(server.process.pid)]
    while server.process.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            processes = [*{*processes, *processes[0].children(recursive=True)}]
    assert server.process.wait() == 1
    log = server.log.read_text()
    assert f"still {phase} after " in log
    assert f"in {'load' if text else 'predict'}\n" in log  # the stack of the process that hangs
    failure = (tmp_path / "ml" / "output" / "failure").read_text()
    assert failure.startswith("CR-SRV-017")
    assert phase in failure
    assert log.rstrip().endswith(failure.rstrip())
    assert psutil.wait_procs(processes, timeout=10)[1] == []  # nothing of it is left


def test_sigterm_ends_a_load_that_hangs(container: Container, start_server: Start, tmp_path: Path) -> None:
    text = _in_load("print('here', flush=True); import time; time.sleep(600)")
    server = _started(start_server, container, tmp_path, text, CLEANROOM_ALGO_SERVE_PRELOAD="true")
    while "here" not in server.log.read_text():
        assert server.process.poll() is None
    assert server.stop() == 128 + signal.SIGTERM
    assert not (tmp_path / "ml" / "output" / "failure").exists()


def test_a_server_that_is_killed_while_it_serves_is_told(
    container: Container, start_server: Start, tmp_path: Path
) -> None:
    server = _started(start_server, container, tmp_path, ALGORITHM, CLEANROOM_ALGO_SERVE_WORKERS="2")
    server.wait_until_ready()
    processes = [psutil.Process(pid) for pid in server.workers()]
    server.master().kill()
    assert server.process.wait(30) == 1
    assert "SIGKILL while serving" in (tmp_path / "ml" / "output" / "failure").read_text()
    assert psutil.wait_procs(processes, timeout=10)[1] == []


def test_nothing_serves_on_where_the_first_process_is_killed(container: Container, start_server: Start) -> None:
    server = start_server(container, CLEANROOM_ALGO_SERVE_WORKERS="2")
    processes = psutil.Process(server.process.pid).children(recursive=True)
    server.process.kill()
    assert psutil.wait_procs(processes, timeout=30)[1] == []


def test_a_load_that_starts_threads_is_not_taken_through_a_fork(
    container: Container, start_server: Start, tmp_path: Path
) -> None:
    text = ALGORITHM.replace(
        "    def load(self, artifacts):\n",
        "    def load(self, artifacts):\n        import polars\n"
        "        polars.DataFrame({'a': range(100000)}).lazy().group_by('a').len().collect()\n",
    )
    server = start_server(Container(container.root, write_algorithm(tmp_path, text)), CLEANROOM_ALGO_SERVE_WORKERS="2")
    assert server.invoke(GOOD)
    assert "which do not survive a fork" in server.log.read_text()
    assert server.stop() == 0
