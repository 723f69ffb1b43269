"""Stands between the clean room and a container's main process, so that nothing of it is ever left behind.

Run as a script with nothing but the standard library: `guard.py LIFELINE COMMAND...`. LIFELINE is the descriptor of a
pipe that only the clean room holds open: when the clean room ends in any way, SIGKILL included, the pipe closes and the
guard ends everything. SIGTERM goes to the main process alone, as `docker stop` does; when that has ended, whatever it
started is killed. The exit status is the main process's, 128 + number for a signal.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LINUX = sys.platform == "linux"
_PASSED_ON = {signal.SIGTERM, signal.SIGUSR1}


def main() -> int:
    """Run the command to its end."""
    lifeline = int(sys.argv[1])
    if _LINUX:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)  # orphans of the container come to us
    signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)  # until there is a child to pass them on to
    child = subprocess.Popen(sys.argv[2:], start_new_session=True, preexec_fn=_prepare_child)
    signal.signal(signal.SIGTERM, lambda *_: _pass_on(child))
    signal.signal(signal.SIGUSR1, lambda *_: _kill_all(child))
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the terminal's signals are the clean room's affair
    threading.Thread(target=_watch, args=(lifeline, child), daemon=True).start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
    status = child.wait()
    for number in _PASSED_ON:
        signal.signal(number, signal.SIG_IGN)  # a late signal shall not take the place of the exit status
    _kill_all(child)
    return 128 - status if status < 0 else status


def _prepare_child() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
    if _LINUX:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _pass_on(child: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        child.send_signal(signal.SIGTERM)


def _watch(lifeline: int, child: "subprocess.Popen[bytes]") -> None:
    while os.read(lifeline, 1):
        pass
    _kill_all(child)
    os._exit(128 + signal.SIGKILL)


def _kill_all(child: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    while _LINUX and (orphans := _children() - {child.pid}):
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        time.sleep(0.001)  # children of the killed ones arrive


def _children() -> set[int]:
    own = str(os.getpid())
    found = set()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, IndexError):
            if entry.name.isdigit():
                stat = (entry / "stat").read_text(encoding="ascii", errors="replace")
                if stat.rpartition(")")[2].split()[1] == own:
                    found.add(int(entry.name))
    return found


if __name__ == "__main__":
    os._exit(main())  # the end of the interpreter would bring the signals' defaults back
