"""How processes end, and what is said of it."""

import signal
import subprocess
import sys

import pytest

from cleanroom_algo.contract.processes import signal_name


@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGKILL, "SIGKILL"), (signal.SIGSEGV, "SIGSEGV"), (40, "signal 40")]
)
def test_a_signal_has_its_name_or_its_number(number: int, name: str) -> None:
    assert signal_name(number) == name


@pytest.mark.process
def test_a_program_runs_its_exit_handlers_and_threads_and_takes_nothing_apart() -> None:
    program = """
import atexit, threading
from cleanroom_algo.contract.processes import run_program

class Loaded:
    def __del__(self):
        print("taken apart")

loaded = Loaded()

def main():
    atexit.register(print, "handled")
    threading.Thread(target=lambda: (threading.main_thread().join(), print("worked"))).start()
    return 7

run_program(main)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (7, "worked\nhandled\n", "")
