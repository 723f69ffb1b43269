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

from cleanroom_algo.errors.exit_codes import ExitCode
from cleanroom_algo.local.hosts import sandbox
from tests.scenario.conftest import CliFixture
from tests.training.support import listing

WAIT = """
import tempfile, time
tempfile.mkdtemp()
print("waiting", flush=True)
while True:
    time.sleep(0.05)
"""


@pytest.fixture(params=["process", "sandbox"])
def waiting(request: pytest.FixtureRequest, desk_with: Callable[..., CliFixture]) -> CliFixture:
    """Return a desk whose algorithm waits for ever, on each kind of host."""
    if request.param == "sandbox" and (reason := sandbox.missing()):
        pytest.skip(reason)
    desk = desk_with(fit=WAIT)
    desk.run_on(request.param)
    return desk


@pytest.mark.parametrize(
    ("waiting", "number", "status"),
    [("process", signal.SIGINT, ExitCode.INTERRUPTED), ("sandbox", signal.SIGTERM, ExitCode.STOPPED)],
    indirect=["waiting"],
)
def test_a_command_that_is_ended_ends_its_job(waiting: CliFixture, number: signal.Signals, status: ExitCode) -> None:
    command, processes = start(waiting)
    command.send_signal(number)
    _, told = command.communicate(timeout=60)
    assert command.returncode == status
    assert "--resume" not in told  # there is no checkpoint
    assert not psutil.wait_procs(processes, timeout=30)[1]
    assert listing(waiting.folder / "tmp") == []
    record = waiting.model()
    assert record["status"] in {"CREATE_FAILED", "INACTIVE"}
    assert waiting.artifacts() == []


def test_a_command_that_is_killed_leaves_a_truthful_record(waiting: CliFixture) -> None:
    command, processes = start(waiting)
    command.kill()
    command.communicate(timeout=60)
    assert not psutil.wait_procs(processes, timeout=30)[1]
    assert listing(waiting.folder / "tmp") == []
    record = waiting.model()
    assert record["status"] == "CREATE_FAILED"
    assert "ended without a message" in record["statusDetails"]["message"]
    assert waiting.run("clean", "--yes").status == ExitCode.OK


def start(desk: CliFixture) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """Start the command; return it and its processes once the algorithm waits."""
    temporary = desk.folder / "tmp"
    temporary.mkdir()
    words = ["train", desk.algorithm, "--channel", f"train={desk.data}", "--home", desk.home]
    command = subprocess.Popen(
        [sys.executable, "-m", "cleanroom_algo.cli", *map(str, words)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONUNBUFFERED": "1", "TMPDIR": str(temporary)},
    )
    assert command.stderr is not None
    assert any("waiting" in line for line in command.stderr)
    processes = psutil.Process(command.pid).children(recursive=True)
    assert len(processes) > 1
    return command, processes
