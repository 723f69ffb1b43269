"""A container as a process tree of this machine, behind its guard: shared by process, sandbox and docker hosts."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from cleanroom_algo.local.hosts.isolation import guard
from cleanroom_algo.local.hosts.isolation.isolated_python import isolated_python
from cleanroom_algo.local.hosts.isolation.network import SERVE_PORT
from cleanroom_algo.local.hosts.protocol import HostSpec, Limits

_LINE_BYTES = 1 << 20  # a longer line is passed on in parts, so that memory is limited
_LINES_AHEAD = 10_000
MOST_THREADS = 16_384
"""The most processes of a container; half of Linux's default for a whole machine."""
STOPPED_SECONDS = 60.0
"""The time after which the log says that a process is stopped."""
_PACKAGES = Path(str(find_spec("psutil").origin)).parents[1]  # type: ignore[union-attr]  # it is a requirement

Connect = Callable[[float | None], socket.socket]


class GuardedHost:
    """A started container.

    Args:
        spec: of the host.
        command: the command that the guard starts.
        environment: the complete environment of the command.
        connect: opens a connection to the serving container; its argument is the timeout in seconds.
        inner: whether the command is bubblewrap.
        passed: descriptors that bubblewrap gets.
        stdin: the standard input of the command.
        user: who may open the command's output by name, as /dev/stdout; None: the user who runs it.
        end: ends processes that the command has started elsewhere.
        at_end: removes files that the command may leave.
        main: prints the container's main process if the command is only a client of an engine.
        limits: those that the guard enforces; by default all of the spec.
        scratch: a folder for the command's temporary files, counted with the rest and removed at the end.
        address: the address of the server, in words.
    """

    def __init__(
        self,
        spec: HostSpec,
        command: Sequence[str],
        environment: Mapping[str, str],
        connect: Connect,
        *,
        inner: bool = False,
        passed: Sequence[int] = (),
        stdin: bytes = b"",
        user: int | None = None,
        end: Sequence[str] = (),
        at_end: Sequence[str] = (),
        main: Sequence[str] = (),
        limits: Limits | None = None,
        scratch: Path | None = None,
        address: str = f"port {SERVE_PORT}",
    ) -> None:
        self.name = spec.name
        self.connect = connect
        self.address = address
        limits = limits or spec.limits
        theirs, self._lifeline = os.pipe()
        self._lock = threading.Lock()
        orders = {
            "lifeline": theirs,
            "inner": inner,
            "passed": list(passed),
            "end": list(end),
            "at_end": list(at_end),
            "main": list(main),
            "usage": str(spec.usage) if spec.usage else None,
            "host": spec.name,
            "host_memory": spec.limits.memory_bytes or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "folders": [str(path) for path in (spec.root, scratch) if path],
            "scratch": str(scratch) if scratch else None,
            "threads": MOST_THREADS,
            "stopped_seconds": STOPPED_SECONDS,
            "packages": str(_PACKAGES),
            "memory": limits.memory_bytes,
            "disk": limits.disk_bytes,
        }
        try:
            with tempfile.TemporaryFile() as file:
                file.write(stdin)
                file.seek(0)
                self._process = subprocess.Popen(
                    [*isolated_python(guard), json.dumps(orders), *command],
                    stdin=file,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    env=dict(environment),
                    cwd=Path(spec.root).parent,
                    pass_fds=[theirs, *passed],
                    start_new_session=True,
                )
        finally:
            os.close(theirs)
        self._queue: queue.Queue[tuple[str, str] | None] = queue.Queue(_LINES_AHEAD)
        for stream in ("stdout", "stderr"):
            pipe = getattr(self._process, stream)
            if user is not None:
                os.fchown(pipe.fileno(), user, user)
            threading.Thread(target=self._read, args=(stream, pipe), name=f"{self.name}-{stream}", daemon=True).start()

    @property
    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield ("stdout" or "stderr", line) until both streams have ended."""
        ended = 0
        while ended < 2:
            item = self._queue.get()
            if item is None:
                ended += 1
            else:
                yield item

    def wait(self, timeout: float | None = None) -> int | None:
        """Return the exit status, or None after the timeout in seconds."""
        try:
            status = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        self._let_go()
        return 128 - status if status < 0 else status

    def terminate(self) -> None:
        """Send SIGTERM to the main process."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End all processes immediately."""
        self._signal(signal.SIGUSR1)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def _let_go(self) -> None:
        with self._lock:  # several threads may wait, and a number closed twice could belong to another file
            if self._lifeline >= 0:
                os.close(self._lifeline)
            self._lifeline = -1

    def _read(self, stream: str, pipe: IO[bytes]) -> None:
        with pipe:
            while line := pipe.readline(_LINE_BYTES):
                self._queue.put((stream, line.decode("utf-8", errors="replace").rstrip("\r\n")))
        self._queue.put(None)
