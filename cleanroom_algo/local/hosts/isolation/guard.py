"""Runs between the clean room and a container's main process, so that the container never leaves anything behind.

Run by `isolated_python` with the arguments ORDERS COMMAND..., where ORDERS is a JSON object with the attributes of
`Orders`. A host's start waits for this process: before the container runs, it only imports modules of the standard
library that every host needs.

SIGTERM goes only to the main process, as with `docker stop`; when that has ended, all processes that it started are
killed. The exit status is that of the main process, 128 + number for a signal. The kernel drops signals that process 1
of a sandbox does not handle: so SIGTERM waits until it has a handler, and is not lost while a program is starting.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LINUX = sys.platform == "linux"
_PASSED_ON = {signal.SIGTERM, signal.SIGUSR1}
_LOOK_SECONDS = 0.5  # between two checks of memory, disk and processes, which read files of every process
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 (the container's)
_USAGE_SECONDS = 5.0  # between two lines on CPU and memory; the platform writes one per minute
_HANDLER_SECONDS = 0.02  # between two checks whether a program handles SIGTERM
_KILLED = 128 + signal.SIGKILL


class Orders:
    """The instructions for the guard.

    Attributes:
        lifeline: the descriptor of a pipe that only the clean room holds open: when the clean room ends in any way,
            SIGKILL included, the pipe closes and the guard ends everything.
        inner: whether COMMAND is bubblewrap, which starts the main process; the word `INFO-FD` in the command then
            becomes the descriptor on which it reports the main process.
        passed: descriptors that COMMAND gets.
        memory: the most bytes of memory of the process tree, or None.
        disk: the most bytes of the files below `folders`, or None.
        folders: those into which the container writes.
        scratch: a folder that is removed at the end, or None.
        threads: the most threads of its processes together.
        stopped_seconds: after which a stopped process is reported.
        packages: the folder with the package psutil.
        usage: a file for the use of CPU and memory: a line each for CPUUtilization and MemoryUtilization, every 5 s;
            None: no file.
        host: its name in these lines.
        host_memory: memory of the host in bytes.
        main: a command that prints the container's main process if COMMAND is only a client of an engine.
        end: a command that ends the processes that COMMAND, a client of an engine, has started elsewhere.
        at_end: a command that removes what COMMAND may leave.
    """

    def __init__(self, text: str) -> None:
        found = json.loads(text)
        self.lifeline: int = found["lifeline"]
        self.inner: bool = found["inner"]
        self.passed: list[int] = found["passed"]
        self.memory: int | None = found["memory"]
        self.disk: int | None = found["disk"]
        self.folders: list[str] = found["folders"]
        self.scratch: str | None = found["scratch"]
        self.threads: int = found["threads"]
        self.stopped_seconds: float = found["stopped_seconds"]
        self.packages: str = found["packages"]
        self.usage: str | None = found["usage"]
        self.host: str = found["host"]
        self.host_memory: int = found["host_memory"]
        self.main: list[str] = found["main"]
        self.end: list[str] = found["end"]
        self.at_end: list[str] = found["at_end"]


def run() -> None:
    """Run the command to its end, and exit."""
    os._exit(_main())  # the end of the interpreter would restore the default handlers of signals


def _main() -> int:
    orders, command = Orders(sys.argv[1]), sys.argv[2:]
    if _LINUX:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)  # orphans of the container become children of this process
    signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)  # until there is a child process for them
    container = _Container(command, orders)
    signal.signal(signal.SIGTERM, lambda *_: container.terminate())
    signal.signal(signal.SIGUSR1, lambda *_: _kill_once(container))
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the clean room handles the terminal's signals
    threading.Thread(target=_watch, args=(orders.lifeline, container), daemon=True).start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
    status = container.process.wait()
    for number in _PASSED_ON:
        signal.signal(number, signal.SIG_IGN)  # a late signal must not replace the exit status
    container.kill()
    if container.over_limit:
        return _KILLED  # as if the kernel had killed the largest of its processes
    return 128 - status if status < 0 else status


def _kill_once(container: _Container) -> None:
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # it may be sent again before this has finished
    container.kill()


class _Container:
    def __init__(self, command: list[str], orders: Orders) -> None:
        self.over_limit = False
        self._orders = orders
        self._main: int | None = None
        self._asked_to_end = False
        # Of two threads that end the container, each would kill the commands with which the other removes what is left.
        self._ending = threading.RLock()  # a signal can come to the thread that holds it
        told, tells = os.pipe() if orders.inner else (-1, -1)
        command = [str(tells) if word == "INFO-FD" else word for word in command]
        passed = [*orders.passed, tells] if orders.inner else []
        self.process = subprocess.Popen(command, start_new_session=True, preexec_fn=_prepare_child, pass_fds=passed)
        if orders.inner:
            os.close(tells)
            threading.Thread(target=self._learn, args=(told,), daemon=True).start()
        if _LINUX:
            threading.Thread(target=self._look, daemon=True).start()

    def terminate(self) -> None:
        if self._orders.inner and not self._asked_to_end:
            threading.Thread(target=self._terminate_inner, daemon=True).start()
        elif not self._orders.inner:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGTERM)
        self._asked_to_end = True

    def kill(self) -> None:
        with self._ending:
            self._kill()

    def _kill(self) -> None:
        if self._orders.end and self.process.poll() is None:
            _run_quietly(self._orders.end)  # first the engine's own processes: an engine without them waits in vain
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        if self._orders.at_end:
            _run_quietly(self._orders.at_end)
        while _LINUX and (orphans := self._orphans()):
            for pid in orphans:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)
            time.sleep(0.001)  # wait for children of the killed processes
        if self._orders.scratch:
            removal = ["rm", "-rf", "--", self._orders.scratch]  # it may be deeper than Python can recurse
            if _run_quietly(removal):
                _run_quietly(["chmod", "-R", "u+rwx", "--", self._orders.scratch])
                _run_quietly(removal)

    def _orphans(self) -> list[int]:
        return [each.pid for each in _psutil(self._orders).Process().children() if each.pid != self.process.pid]

    def _learn(self, told: int) -> None:
        with os.fdopen(told, "rb") as file:
            text = file.read()
        with contextlib.suppress(ValueError, KeyError):  # bubblewrap failed, and has printed the reason
            self._main = json.loads(text)["child-pid"]

    def _terminate_inner(self) -> None:
        while self.process.poll() is None:
            if self._main is not None and _handles(self._main, signal.SIGTERM):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._main, signal.SIGTERM)
                return
            time.sleep(_HANDLER_SECONDS)

    def _look(self) -> None:
        psutil = _psutil(self._orders)
        meter = _Meter(self._orders, psutil) if self._orders.usage else None
        stopped_since: dict[int, float] = {}
        while self.process.poll() is None:
            if meter:
                meter.read()
            processes = _below(psutil, os.getpid())
            if why := self._over(psutil, processes):
                self._end(why)
            _tell_stopped(psutil, processes, stopped_since, self._orders.stopped_seconds)
            time.sleep(_LOOK_SECONDS)

    def _over(self, psutil: Any, processes: list[Any]) -> str | None:
        """Return which limit the container has exceeded; None if none."""
        memory, disk = self._orders.memory, self._orders.disk
        if memory and self._uses_more(memory, psutil, processes):
            return f"its memory of {memory / 2**30:.1f} GiB is used up"
        if disk and sum(map(_disk, self._orders.folders)) > disk:
            return f"its disk of {disk / 2**30:.1f} GiB is full"
        if sum(_read_or(psutil, each.num_threads, 0) for each in processes) > self._orders.threads:
            return f"it has more than {self._orders.threads:,} processes and threads"
        return None

    def _uses_more(self, limit: int, psutil: Any, processes: list[Any]) -> bool:
        resident = sum(_read_or(psutil, each.memory_info, (0,))[0] for each in processes)
        if resident + _shared_memory(self._main) <= limit:
            return False  # shared pages are counted several times; to count them once takes a hundred times as long
        return _memory([each.pid for each in processes], self._main) > limit

    def _end(self, why: str) -> None:
        self.over_limit = True
        os.write(2, f"the host was ended: {why}\n".encode())
        self.kill()


class _Meter:
    """Measures the use of CPU and memory by a process tree, and writes it to a file."""

    def __init__(self, orders: Orders, psutil: Any) -> None:
        self._file, self._host, self._memory = str(orders.usage), orders.host, orders.host_memory
        self._command, self._psutil = orders.main, psutil
        self._main = 0
        self._at, self._seconds = time.monotonic(), 0.0
        self._due = self._at + _LOOK_SECONDS  # so that even short jobs have a measurement

    def read(self) -> None:
        now = time.monotonic()
        if now < self._due:
            return
        tree = self._tree()
        if not tree:
            return  # the main process has not begun, or has ended
        # The time of a process and of those that it has waited for; the time of others is lost at their end.
        seconds = sum(sum(_read_or(self._psutil, each.cpu_times, (0.0,))[:4]) for each in tree)
        cpu = 100 * max(0.0, seconds - self._seconds) / (now - self._at)
        memory = _memory([each.pid for each in tree], None)
        self._write({"CPUUtilization": cpu, "MemoryUtilization": 100 * memory / self._memory})
        self._at, self._seconds, self._due = now, seconds, now + _USAGE_SECONDS

    def _tree(self) -> list[Any]:
        if not self._command:
            return _below(self._psutil, os.getpid())
        if not self._psutil.pid_exists(self._main) or not self._main:
            told = subprocess.run(self._command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
            self._main = int(told.stdout) if told.stdout.strip().isdigit() else 0
        if not self._main:
            return []
        below = _below(self._psutil, self._main)
        with contextlib.suppress(self._psutil.Error):
            return [self._psutil.Process(self._main), *below]
        return below

    def _write(self, values: dict[str, float]) -> None:
        import datetime as dt

        common = {"time": dt.datetime.now(dt.UTC).isoformat(), "host": self._host}
        lines = [json.dumps({**common, "name": name, "value": round(value, 2)}) for name, value in values.items()]
        with contextlib.suppress(OSError), open(self._file, "a", encoding="ascii") as file:
            file.write("".join(f"{line}\n" for line in lines))  # in one write, because the other hosts also write there


def _run_quietly(command: list[str]) -> int:
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode


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
        status = _read(f"/proc/{pid}/status")
        caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
        return bool(int(caught, 16) >> (number - 1) & 1)
    return False


def _psutil(orders: Orders) -> Any:
    """Return the library, which is imported when the container runs."""
    if orders.packages not in sys.path:
        sys.path.append(orders.packages)
    import psutil

    return psutil


def _below(psutil: Any, root: int) -> list[Any]:
    """Return the direct and indirect child processes of a process."""
    with contextlib.suppress(psutil.Error):
        found: list[Any] = psutil.Process(root).children(recursive=True)
        return found
    return []


def _read_or(psutil: Any, read: Callable[[], Any], instead: Any) -> Any:
    try:
        return read()
    except psutil.Error:
        return instead  # it has ended, or belongs to another user


def _tell_stopped(psutil: Any, processes: list[Any], since: dict[int, float], patience: float) -> None:
    """Log processes that have been stopped for a while, as by SIGSTOP, because they look as if they hung."""
    now = time.monotonic()
    stopped = {each.pid for each in processes if _read_or(psutil, each.status, "") == psutil.STATUS_STOPPED}
    for pid in since.keys() - stopped:
        del since[pid]
    for pid in stopped:
        if now - since.setdefault(pid, now) >= patience:
            since[pid] = float("inf")  # logged once
            os.write(2, f"process {pid} has been stopped for a minute (SIGSTOP); SIGCONT continues it\n".encode())


def _memory(processes: list[int], main: int | None) -> int:
    """Return the memory of processes in bytes, shared pages counted once if permitted, and that of /dev/shm."""
    total = mapped = 0
    for pid in processes:
        with contextlib.suppress(OSError):
            try:
                rollup = {line.split()[0]: int(line.split()[1]) << 10 for line in _rollup(pid)}
                total += rollup.get("Pss:", 0)
                mapped += rollup.get("Pss_Shmem:", 0)
            except PermissionError:  # an engine runs it as another user
                resident = _read(f"/proc/{pid}/statm").split()[1]
                total += int(resident) * os.sysconf("SC_PAGE_SIZE")
    return total + max(0, _shared_memory(main) - mapped)


def _rollup(pid: int) -> list[str]:
    return [line for line in _read(f"/proc/{pid}/smaps_rollup").splitlines() if line.startswith("Pss")]


def _shared_memory(main: int | None) -> int:
    """Return the bytes in files of a sandbox's /dev/shm, which need not be mapped by any process."""
    if main is None:
        return 0
    try:
        status = os.statvfs(f"/proc/{main}/root{_SHARED_MEMORY}")
    except OSError:
        return 0
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def _disk(folder: str) -> float:
    """Return the bytes of a folder, each file once for all its names; infinite if a path is too long to be read."""
    total = 0
    seen = set()
    left = [folder]
    while left:
        try:
            with os.scandir(left.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        left.append(entry.path)
                        continue
                    status = entry.stat(follow_symlinks=False)
                    if status.st_nlink == 1 or status.st_ino not in seen:
                        total += status.st_blocks * 512
                    if status.st_nlink > 1:
                        seen.add(status.st_ino)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                return float("inf")
    return total


def _read(path: str) -> str:
    with open(path, encoding="ascii", errors="replace") as file:
        return file.read()
