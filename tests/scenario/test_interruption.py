"""Ctrl-C and SIGTERM at the command: its jobs end with it, and the records say so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from cleanroom_algo.contract.exit_codes import ExitCode
from tests.scenario.conftest import Desk

WAIT = """
import os, time
print("waiting as", os.getpid(), flush=True)
while True:
    time.sleep(0.05)
"""


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.STOPPED)]
)
def test_a_command_that_is_ended_ends_its_job(
    desk_with: Callable[..., Desk], number: signal.Signals, status: ExitCode
) -> None:
    desk = desk_with(fit=WAIT)
    command = start(desk)
    assert command.stderr is not None
    container = next(int(line.split()[-1]) for line in command.stderr if "waiting as" in line)
    command.send_signal(number)
    command.communicate(timeout=60)
    assert command.returncode == status
    assert not psutil.pid_exists(container)
    record = desk.model()
    assert record["status"] in {"CREATE_FAILED", "INACTIVE"}
    assert desk.artifacts() == []


def test_a_command_that_is_killed_leaves_a_truthful_record(desk_with: Callable[..., Desk]) -> None:
    desk = desk_with(fit=WAIT)
    command = start(desk)
    assert command.stderr is not None
    container = next(int(line.split()[-1]) for line in command.stderr if "waiting as" in line)
    processes = psutil.Process(command.pid).children(recursive=True)
    command.kill()
    command.communicate(timeout=60)
    gone, alive = psutil.wait_procs(processes, timeout=30)
    assert not alive
    assert container in {process.pid for process in gone}
    record = desk.model()
    assert record["status"] == "CREATE_FAILED"
    assert "ended without a word" in record["statusDetails"]["message"]
    assert desk.run("clean", "--yes").status == ExitCode.OK


def start(desk: Desk) -> subprocess.Popen[str]:
    words = ["train", desk.algorithm, "--channel", f"train={desk.data}", "--home", desk.home]
    return subprocess.Popen(
        [sys.executable, "-m", "cleanroom_algo.cli", *map(str, words)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
