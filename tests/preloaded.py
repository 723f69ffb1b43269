"""Python programs that start with torch already imported: forked from a process that has imported it once.

Importing torch takes longer than all else that most tests of containers do. The process has one thread and has run
nothing of torch's, so that a fork of it is what a new interpreter would be after its imports; the same holds for the
other packages that it imports. (polars starts threads
when it is imported, and is left to the programs.) A program that launches ranks has forked them before it begins.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import json
import os
import random
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from cleanroom_algo.contract.processes import imports_for_good, run_program

ROOT = Path(__file__).parents[1]
_RANKS = "CLEANROOM_ALGO_RANKS_PER_HOST"
_IMPORTED = (
    "torch.distributed.fsdp",
    "torch._dynamo",  # several ranks need it, and it takes as long as torch itself
    *(
        "flask",
        "gunicorn.app.base",
        "gunicorn.workers.gthread",
        "numpy.ma",
        "pydantic.dataclasses",
        "safetensors.torch",
    ),
)


class PreloadedProcess:
    """A running program, with those parts of `subprocess.Popen` that the tests use.

    Attributes:
        pid: of the process, which leads a session of its own.
        stdout: of the process, where it is read from here.
        stderr: the same.
    """

    def __init__(self, module: str, *words: str, env: Mapping[str, str], out: int | None = None) -> None:
        """Start `python -m MODULE WORDS`.

        Args:
            module: to run.
            words: behind its name.
            env: all variables.
            out: a descriptor for both streams; they are read from here if None.
        """
        self.stdout: IO[str] | None = None
        self.stderr: IO[str] | None = None
        streams = [out, out] if out is not None else [0, 0]
        if out is None:
            (ours, streams[0]), (errors, streams[1]) = os.pipe(), os.pipe()
            self.stdout, self.stderr = open(ours), open(errors)  # noqa: PTH123, SIM115 (descriptors, closed by `wait`)
        status, theirs = os.pipe()
        order = json.dumps({"words": [module, *words], "variables": dict(env), "folder": str(Path.cwd())}).encode()
        with _lock:
            server = _server(env.get("OMP_NUM_THREADS"))
            socket.send_fds(server, [len(order).to_bytes(4, "big")], [*streams, theirs])
            server.sendall(order)
        for descriptor in {theirs, *(streams if out is None else [])}:
            os.close(descriptor)
        self._status = open(status)  # noqa: PTH123, SIM115
        self.pid = int(self._status.readline())
        self.args = [sys.executable, "-m", module, *words]
        self.returncode: int | None = None
        self._readers: tuple[_Reader, _Reader] | None = None

    def poll(self) -> int | None:
        """Return the exit status, -N after signal N; None while it runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        if self.returncode is None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._status, selectors.EVENT_READ)
                if not selector.select(timeout):
                    raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            self.returncode = int(self._status.readline())
            self._status.close()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Return all that is left of both streams, when it has ended."""
        if self._readers is None:
            assert self.stdout is not None
            assert self.stderr is not None
            self._readers = _Reader(self.stdout), _Reader(self.stderr)
        self.wait(timeout)
        out, err = (each.all() for each in self._readers)
        return out, err

    def send_signal(self, number: int) -> None:
        """Send a signal, where it has not ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


class _Reader:
    """Reads a stream to its end, so that its writer never waits."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._text = ""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with self._stream:
            self._text = self._stream.read()

    def all(self) -> str:
        self._thread.join()
        return self._text


@dataclass(frozen=True)
class _Order:
    words: list[str]
    variables: dict[str, str]
    folder: str
    out: int
    err: int
    status: int


_lock = threading.Lock()


@functools.cache
def _server(threads: str | None) -> socket.socket:
    """Return a connection to a process that forks, which ends with it.

    Args:
        threads: OMP_NUM_THREADS, which is read when torch is imported.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(theirs.fileno())],
            cwd=ROOT,
            env=os.environ | ({} if threads is None else {"OMP_NUM_THREADS": threads}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # Python chooses how it buffers by what is there when it starts
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def _serve(connection: socket.socket) -> _Order | None:
    """Fork for each order and report how each fork ended; return None at the end, and in each fork its order."""
    running: dict[int, int] = {}  # where to write the end of a process, by its number
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj == woken:
                    os.read(woken, 4096)
                    _reap(running)
                elif (order := _receive(connection)) is None:
                    return None
                elif process := os.fork():
                    for each in (order.out, order.err):
                        os.close(each)
                    running[process] = order.status
                    os.write(order.status, f"{process}\n".encode())
                else:
                    return order


def _reap(running: dict[int, int]) -> None:
    """Report every process that has ended."""
    for process in list(running):
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            descriptor = running.pop(process)
            os.write(descriptor, f"{os.waitstatus_to_exitcode(status)}\n".encode())
            os.close(descriptor)


def _receive(connection: socket.socket) -> _Order | None:
    size, descriptors, _, _ = socket.recv_fds(connection, 4, 3)
    if not size:
        return None
    wanted, text = int.from_bytes(size, "big"), b""
    while len(text) < wanted:
        text += connection.recv(wanted - len(text))
    return _Order(**json.loads(text), out=descriptors[0], err=descriptors[1], status=descriptors[2])


def _become(order: _Order) -> int:
    """Run a program as if this process were its own; return its status where it does not exit by itself."""
    signal.set_wakeup_fd(-1)
    os.dup2(order.out, 1)
    os.dup2(order.err, 2)
    os.chdir(order.folder)
    _forget(order.variables)
    if order.words[0] == "cleanroom_algo.training":
        _launch_with([_SpareRank() for _ in range(int(order.variables.get(_RANKS, 1)))])
    _run(order.words)
    return 0


def _forget(variables: Mapping[str, str]) -> None:
    """Leave behind what this process has of the one that it was forked from."""
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    os.setsid()
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.environ.clear()
    os.environ.update(variables)
    random.seed()


def _run(words: Sequence[str]) -> None:
    module, *rest = words
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


class _SpareRank:
    """A child of a launcher that waits to become one of its ranks, with what the launcher uses of `subprocess.Popen`.

    It is forked before the launcher imports polars, whose threads would be missing in it.
    """

    def __init__(self) -> None:
        order, self._order = os.pipe()
        self.returncode: int | None = None
        self.pid = os.fork()
        if not self.pid:
            try:
                self._become_rank(order)
            except BaseException:
                traceback.print_exc()
            os._exit(1)  # a rank ends itself
        os.close(order)

    def start(self, words: Sequence[str], variables: Mapping[str, str]) -> None:
        """Run `python -m WORDS`."""
        with open(self._order, "w") as file:  # noqa: PTH123 (a descriptor)
            json.dump([list(words), dict(variables)], file)

    def _become_rank(self, order: int) -> None:
        os.closerange(3, order)
        os.close(self._order)
        with open(order) as file:
            text = file.read()
        if not text:  # the launcher has ended
            os._exit(0)
        words, variables = json.loads(text)
        _forget(variables)
        _run(words)

    def poll(self) -> int | None:
        """Return the exit status, None while it runs."""
        if self.returncode is None:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if done else None
        return self.returncode

    def kill(self) -> None:
        """Send SIGKILL."""
        os.kill(self.pid, signal.SIGKILL)


def _launch_with(spares: list[_SpareRank]) -> None:
    """Let the launcher take these for ranks."""
    from cleanroom_algo.training.process import launch

    def start(variables: Mapping[str, str]) -> Any:
        rank = spares.pop()
        rank.start([launch.RANK_MODULE], {**os.environ, **variables})
        return rank

    launch.start_rank = start


def _main() -> None:
    # A fork that looks through all of this for garbage, or destroys it at its end, needs a core for a second.
    with imports_for_good():
        for name in _IMPORTED:
            importlib.import_module(name)
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        order = _serve(connection)
    if order is not None:
        run_program(lambda: _become(order))


if __name__ == "__main__":
    _main()
