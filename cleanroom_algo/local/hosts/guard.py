"""Stands between the clean room and a container's main process, so that nothing of it is ever left behind.

Run as a script with nothing but the standard library: `guard.py ORDERS COMMAND...`. ORDERS is a JSON object:

- `lifeline`: the descriptor of a pipe that only the clean room holds open: when the clean room ends in any way, SIGKILL
  included, the pipe closes and the guard ends everything;
- `inner`: whether COMMAND is bubblewrap, and the main process is what it starts; the word `INFO-FD` in the command then
  becomes the descriptor on which it says which process that is;
- `memory`, `disk`: bytes that the tree and what lies below `folders` may take, or null;
- `scratch`: a folder that is removed at the end, or null;
- `end`: a command that ends what COMMAND, an engine's client, has started elsewhere; `at_end`: one that removes what
  COMMAND may leave.

SIGTERM goes to the main process alone, as `docker stop` does; when that has ended, whatever it started is killed. The
exit status is the main process's, 128 + number for a signal. Process 1 of a sandbox never sees a signal that it does
not handle: there SIGTERM waits until it does, so that none is lost on a program that is still starting.
"""

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LINUX = sys.platform == "linux"
_PASSED_ON = {signal.SIGTERM, signal.SIGUSR1}
_LOOK_SECONDS = 0.5  # between two looks at memory and disk: each reads a file of every process
_HANDLER_SECONDS = 0.02  # between two looks at whether a program handles SIGTERM by now
_KILLED = 128 + signal.SIGKILL


def main() -> int:
    """Run the command to its end."""
    orders, command = json.loads(sys.argv[1]), sys.argv[2:]
    if _LINUX:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)  # orphans of the container come to us
    signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)  # until there is a child to pass them on to
    container = _Container(command, orders)
    signal.signal(signal.SIGTERM, lambda *_: container.terminate())
    signal.signal(signal.SIGUSR1, lambda *_: _kill_once(container))
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the terminal's signals are the clean room's affair
    threading.Thread(target=_watch, args=(orders["lifeline"], container), daemon=True).start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
    status = container.process.wait()
    for number in _PASSED_ON:
        signal.signal(number, signal.SIG_IGN)  # a late signal shall not take the place of the exit status
    container.kill()
    if container.over_limit:
        return _KILLED  # what the kernel would have done to the largest of its processes
    return 128 - status if status < 0 else status


def _kill_once(container: "_Container") -> None:
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # it may be sent again before this is through
    container.kill()


class _Container:
    def __init__(self, command: list[str], orders: dict[str, Any]) -> None:
        self.over_limit = False
        self._orders = orders
        self._main: int | None = None
        self._asked_to_end = False
        told, tells = os.pipe() if orders["inner"] else (-1, -1)
        command = [str(tells) if word == "INFO-FD" else word for word in command]
        passed = [tells] if orders["inner"] else []
        self.process = subprocess.Popen(command, start_new_session=True, preexec_fn=_prepare_child, pass_fds=passed)
        if orders["inner"]:
            os.close(tells)
            threading.Thread(target=self._learn, args=(told,), daemon=True).start()
        if _LINUX and (orders["memory"] or orders["disk"]):
            threading.Thread(target=self._look, daemon=True).start()

    def terminate(self) -> None:
        if self._orders["inner"] and not self._asked_to_end:
            threading.Thread(target=self._terminate_inner, daemon=True).start()
        elif not self._orders["inner"]:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGTERM)
        self._asked_to_end = True

    def kill(self) -> None:
        if self._orders["end"] and self.process.poll() is None:
            _run_quietly(self._orders["end"])  # its own processes first: an engine without them waits in vain
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        if self._orders["at_end"]:
            _run_quietly(self._orders["at_end"])
        while _LINUX and (orphans := _children() - {self.process.pid}):
            for pid in orphans:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)
            time.sleep(0.001)  # children of the killed ones arrive
        if self._orders["scratch"]:
            shutil.rmtree(self._orders["scratch"], ignore_errors=True)

    def _learn(self, told: int) -> None:
        with os.fdopen(told, "rb") as file:
            text = file.read()
        with contextlib.suppress(ValueError, KeyError):  # bubblewrap failed, and has said why
            self._main = json.loads(text)["child-pid"]

    def _terminate_inner(self) -> None:
        while self.process.poll() is None:
            if self._main is not None and _handles(self._main, signal.SIGTERM):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._main, signal.SIGTERM)
                return
            time.sleep(_HANDLER_SECONDS)

    def _look(self) -> None:
        memory, disk = self._orders["memory"], self._orders["disk"]
        while self.process.poll() is None:
            if memory and _memory() > memory:
                self._end(f"its memory of {memory / 2**30:.1f} GiB is used up")
            elif disk and sum(map(_disk, self._orders["folders"])) > disk:
                self._end(f"its disk of {disk / 2**30:.1f} GiB is full")
            time.sleep(_LOOK_SECONDS)

    def _end(self, why: str) -> None:
        self.over_limit = True
        os.write(2, f"the host was ended: {why}\n".encode())
        self.kill()


def _run_quietly(command: list[str]) -> None:
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def _prepare_child() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
    if _LINUX:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _watch(lifeline: int, container: _Container) -> None:
    while os.read(lifeline, 1):
        pass
    container.kill()
    os._exit(_KILLED)


def _handles(pid: int, number: signal.Signals) -> bool:
    with contextlib.suppress(OSError, IndexError, ValueError):
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
        caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
        return bool(int(caught, 16) >> (number - 1) & 1)
    return False


def _parents() -> dict[int, int]:
    """Return the parent of each process."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                stat = (entry / "stat").read_text(encoding="ascii", errors="replace")
                found[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    return found


def _children() -> set[int]:
    own = os.getpid()
    return {pid for pid, parent in _parents().items() if parent == own}


def _memory() -> int:
    """Return the bytes that the tree takes, shared pages counted once."""
    parents, total, own = _parents(), 0, os.getpid()
    for pid in parents:
        above = pid
        while above in parents and above != own:
            above = parents[above]
        if above == own and pid != own:
            with contextlib.suppress(OSError):
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
                total += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total * 1024


def _disk(folder: str) -> int:
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(where, name)).st_blocks * 512  # noqa: PTH118 (called for every file)
    return total


if __name__ == "__main__":
    os._exit(main())  # the end of the interpreter would bring the signals' defaults back
