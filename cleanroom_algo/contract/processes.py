"""How processes end: the same words and the same handling wherever one process of a container runs another."""

import atexit
import contextlib
import ctypes
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

_PR_SET_PDEATHSIG = 1


def signal_name(number: int) -> str:
    """Return what a signal is called; a real-time signal has no name but its number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def how_ended(exit_code: int) -> str:
    """Return how a process ended, as part of a sentence; the exit code is negative if a signal ended it."""
    return f"ended with exit status {exit_code}" if exit_code >= 0 else f"was ended by {signal_name(-exit_code)}"


def signal_when_orphaned(number: signal.Signals) -> None:
    """Have the kernel send this process a signal when the one that started it has ended, on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)


@contextlib.contextmanager
def imports_for_good() -> Iterator[None]:
    """Import in a process of our own whose modules stay until its end: no garbage collection looks through them.

    Collections take a sixth of the time to import torch, and each later one that looks through all of it takes 0.15 s.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def run_program(main: Callable[[], int]) -> NoReturn:
    """Run a program, and end the process with its status once its threads and exit handlers are done.

    The interpreter does not destroy what was imported: for torch, that takes up to a second.

    Args:
        main: returns the exit status.
    """
    status: int | None = None

    def leave() -> None:
        with contextlib.suppress(OSError):  # the interpreter itself reports a stream that cannot be written
            sys.stdout.flush()
            sys.stderr.flush()
            if status is not None:
                os._exit(status)

    atexit.register(leave)  # exit handlers run in reverse order: all others come before
    status = main()
    sys.exit(status)
