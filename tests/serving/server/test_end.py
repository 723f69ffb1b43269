"""How a server ends."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path

import pytest

from tests.serving.support import (
    ALGORITHM,
    Container,
    RunningServer,
    Start,
    dial,
    head,
    read_answer,
    write_algorithm,
)

END_DURING_FORK = """
import os, signal, time

def end_the_server():  # as a job does whose last row is predicted while another process starts
    os.kill(os.getppid(), signal.SIGTERM)
    limit = time.monotonic() + 5
    while signal.SIGTERM not in signal.sigpending() and time.monotonic() < limit:
        time.sleep(0.01)

os.register_at_fork(after_in_child=end_the_server)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_server_that_shall_end_answers_what_is_in_work(
    slow: RunningServer, slow_container: Container, number: int
) -> None:
    begun = slow_container.algorithm.with_name(f"{slow_container.algorithm.name}.begun")
    begun.unlink(missing_ok=True)
    with dial(slow) as connection:
        connection.sendall(head(10) + b"AA,1.5,77\n")
        while not begun.exists():
            assert slow.request("GET", "/ping")[0] == 200
        slow.process.send_signal(number)
        assert read_answer(connection)[0] == 200
    assert slow.process.wait(30) == 0


def test_sigterm_does_not_wait_for_silent_clients(slow: RunningServer) -> None:
    with dial(slow), dial(slow) as half, contextlib.closing(slow.connect()) as kept:
        half.sendall(b"POST /invocations HTTP/1.1\r\n")
        kept.request("GET", "/ping")
        kept.getresponse().read()
        assert slow.stop() == 0
        assert half.recv(1) == b""


def test_sigterm_reaches_a_process_that_is_being_forked(
    container: Container, start_server: Start, tmp_path: Path
) -> None:
    root = tmp_path / "ml"
    root.mkdir()
    (root / "model").symlink_to(container.root / "model")
    server = start_server(Container(root, write_algorithm(tmp_path, ALGORITHM + END_DURING_FORK)), wait=False)
    assert server.process.wait(60) == 0
    log = server.log.read_text()
    assert log.count("Worker exiting") == log.count("Booting worker") > 0  # none was killed at the end of the time


def test_other_arguments_are_refused(container: Container) -> None:
    import subprocess
    import sys

    done = subprocess.run([sys.executable, "-m", "cleanroom_algo.serving", "train"], capture_output=True, check=False)
    assert done.returncode == 2
    assert b"usage" in done.stderr
