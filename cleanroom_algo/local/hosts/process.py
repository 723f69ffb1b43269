"""Hosts as process trees of this machine: no rights needed, and no walls.

Each host has its own root, to which SAGEMAKER_BASE_DIR points; the hosts of a job meet on a free port of loopback.
"""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from cleanroom_algo.contract.paths import ROOT_VARIABLE
from cleanroom_algo.contract.settings import variable
from cleanroom_algo.errors import HostStartError
from cleanroom_algo.local.hosts import guard
from cleanroom_algo.local.hosts.protocol import HostSpec, Verb

PORT_VARIABLE = "SAGEMAKER_BIND_TO_PORT"
# What a container's image would set; nothing else of this process's environment, credentials above all, goes in.
_INHERITED = ("PATH", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "TZ")
_LINE_BYTES = 1 << 20  # a longer line is handed on in parts, so that memory stays bounded
_LINES_AHEAD = 10_000
_MODULES: dict[Verb, str] = {"train": "cleanroom_algo.training", "serve": "cleanroom_algo.serving"}


class ProcessHosts:
    """Runs algorithms that lie in a file or folder of this machine."""

    name = "process"

    def prepare(self, host_names: Sequence[str]) -> Mapping[str, str]:
        """Give a job of several hosts a place to meet; names such as `algo-1` resolve only where hosts have walls."""
        if len(host_names) == 1:
            return {}
        # Hosts of the platform have their cores for themselves; here they share them: more threads than cores stall.
        threads = max(1, (os.cpu_count() or 1) // len(host_names))
        return {variable("rendezvous"): f"127.0.0.1:{_free_port()}", "OMP_NUM_THREADS": str(threads)}

    def launch(self, spec: HostSpec) -> ProcessHost:
        """Start a host.

        Raises:
            HostStartError: CR-HST-001, what `source` names is not on this machine, or cannot be executed.
        """
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        environment |= {"HOME": str(spec.root.parent), "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        environment |= {**spec.job_environment, **spec.environment, ROOT_VARIABLE: str(spec.root)}
        port = 0
        if spec.verb == "serve":
            port = _free_port()
            environment[PORT_VARIABLE] = str(port)
            environment[variable("serve_host")] = "127.0.0.1"
        command = _command(spec, environment)
        return ProcessHost(spec.name, command, environment, cwd=spec.root.parent, port=port)


class ProcessHost:
    """A started process tree."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], cwd: Path, port: int) -> None:
        self.name = name
        self._port = port
        ours, theirs = os.pipe()[::-1]
        self._lifeline = ours
        self._lock = threading.Lock()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(guard.__file__), str(theirs), *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(environment),
                cwd=cwd,
                pass_fds=[theirs],
                start_new_session=True,
            )
        finally:
            os.close(theirs)
        self._queue: queue.Queue[tuple[str, str] | None] = queue.Queue(_LINES_AHEAD)
        for stream in ("stdout", "stderr"):
            pipe = getattr(self._process, stream)
            threading.Thread(target=self._read, args=(stream, pipe), name=f"{name}-{stream}", daemon=True).start()

    @property
    def address(self) -> tuple[str, int]:
        """Return host and port on which a serving container answers."""
        return "127.0.0.1", self._port

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
        """End the whole tree at once."""
        self._signal(signal.SIGUSR1)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def _let_go(self) -> None:
        with self._lock:  # several threads may wait, and a descriptor closed twice could be somebody else's
            if self._lifeline >= 0:
                os.close(self._lifeline)
            self._lifeline = -1

    def _read(self, stream: str, pipe: IO[bytes]) -> None:
        with pipe:
            while line := pipe.readline(_LINE_BYTES):
                self._queue.put((stream, line.decode("utf-8", errors="replace").rstrip("\r\n")))
        self._queue.put(None)


def _command(spec: HostSpec, environment: dict[str, str]) -> list[str]:
    """Return what `docker run` would start: the request's entrypoint and arguments, else the algorithm's own.

    (SageMaker developer guide, "How Amazon SageMaker runs your training image": an entrypoint or arguments in the
    request take the place of the default word `train`.)
    """
    path = spec.source.path
    if path is None:
        raise HostStartError(
            f"there is no algorithm at {spec.source.image_uri!r} on this machine",
            expected="a path of an algorithm's file or folder: process hosts do not run images",
            fix="give the algorithm's path as imageUri, or run the image with `--host docker`",
        )
    folder = path if path.is_dir() else path.parent
    environment["PATH"] = os.pathsep.join([str(folder), str(Path(sys.executable).parent), environment.get("PATH", "")])
    environment.setdefault(variable("algorithm"), str(path))
    if spec.source.entrypoint is not None:
        command = [*spec.source.entrypoint, *(spec.source.arguments or ())]
    else:
        own = folder / spec.verb
        entry = [str(own)] if path.is_dir() and os.access(own, os.X_OK) else [sys.executable, "-m", _MODULES[spec.verb]]
        command = [*entry, *(spec.source.arguments or (spec.verb,))]
    program = shutil.which(command[0], path=environment["PATH"])
    if program is None:
        raise HostStartError(
            f"{command[0]!r} cannot be executed on {spec.name}",
            expected="a program on PATH or in the algorithm's folder, with the right to execute",
            fix="correct trainingContainerConfig.entrypoint, or `chmod +x` the file",
        )
    return [program, *command[1:]]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
