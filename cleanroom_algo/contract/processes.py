"""How processes end, told and arranged alike wherever one process of a container runs another."""

import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1


def signal_name(number: int) -> str:
    """Return what a signal is called; a real-time signal has no name but its number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def how_ended(exit_code: int) -> str:
    """Return how a process ended, as a part of a sentence; the exit code is negative after a signal."""
    return f"ended with exit status {exit_code}" if exit_code >= 0 else f"was ended by {signal_name(-exit_code)}"


def signal_when_orphaned(number: signal.Signals) -> None:
    """Have the kernel send this process a signal when the one that started it has ended, on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
