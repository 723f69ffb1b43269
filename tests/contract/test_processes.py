"""How processes end, and what is said of it."""

import gc
import signal
import subprocess
import sys

import pytest

from cleanroom_algo.contract.processes import imports_for_good, signal_name


@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGKILL, "SIGKILL"), (signal.SIGSEGV, "SIGSEGV"), (40, "signal 40")]
)
def test_a_signal_has_its_name_or_its_number(number: int, name: str) -> None:
    assert signal_name(number) == name


def test_what_is_imported_for_good_is_not_looked_through_for_garbage() -> None:
    try:
        with imports_for_good():
            enabled, kept = gc.isenabled(), [object()]
        assert not enabled
        assert gc.isenabled()
        assert all(each is not kept for each in gc.get_objects())
    finally:
        gc.unfreeze()
    assert any(each is kept for each in gc.get_objects())


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
