"""Bringing the objects of the channels to a host, in each of the three input modes.

File: a private copy of each object, all there before the start. FastFile: the same tree at once, as links to objects
that a host with walls cannot write to; where there are no walls, private copies without the right to write, which are
looked at afterwards, as permissions do not bind root. Pipe: a named pipe per channel and epoch into which all objects
are written with nothing between them; the next pipe appears when the one before is done with, and closing a pipe early
ends its epoch.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import sys
import tarfile
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from cleanroom_algo.contract.channel import InputMode
from cleanroom_algo.contract.paths import Paths
from cleanroom_algo.local.jobs.files import MODEL_ARCHIVE
from cleanroom_algo.local.jobs.plan import BaseModel, HostPlan, ObjectRef, TrainingPlan, epoch_objects

_PIPE_BYTES = 1 << 20  # the most that any process may ask for on Linux; twice the rate of the default
_LOOK_SECONDS = 0.02  # opening a pipe for writing before its reader is there fails, and there is nothing to wait on


class Delivery:
    """The channels of one host; use it as a context manager around the container's life.

    Args:
        plan: of the job.
        host: the host and its objects.
        paths: its tree, laid out.
        walls: whether the host can be kept from writing through links.

    Attributes:
        linked: the folders that links in the tree point into.
        written: what the container changed in a channel that is read-only on the platform; known when it has ended.
    """

    def __init__(self, plan: TrainingPlan, host: HostPlan, paths: Paths, *, walls: bool = False) -> None:
        self._plan, self._host, self._paths = plan, host, paths
        self._stop = threading.Event()
        self._feeders: list[threading.Thread] = []
        self._guarded: dict[Path, dict[Path, tuple[int, int]]] = {}
        self.linked: set[Path] = set()
        self.written: list[str] = []
        channels = {name: list(objects) for name, objects in host.objects.items()}
        base = plan.base_model
        self._base: dict[str, tuple[ObjectRef, ...]] = {}
        if base is not None and base.packed:
            self._base[base.channel] = (ObjectRef(MODEL_ARCHIVE, base.archive, base.archive.stat().st_size),)
        elif base is not None and plan.input_mode is InputMode.PIPE:
            self._base[base.channel] = tuple(_unpack(base, plan.run_directory / f"{host.name}-{base.channel}"))
        elif base is not None:
            _unpack(base, paths.channel(base.channel))
        channels |= {name: list(objects) for name, objects in self._base.items()}
        for name, objects in channels.items():
            if plan.input_mode is InputMode.PIPE:
                os.mkfifo(paths.fifo(name, 0))
                feeder = threading.Thread(target=self._feed, args=(name,), name=f"{host.name}-{name}")
                self._feeders.append(feeder)
            elif plan.input_mode is InputMode.FAST_FILE and walls:
                _place(paths, name, objects, copy=False)
                self.linked |= {each.path.absolute().parent for each in objects}
            else:
                _place(paths, name, objects, copy=True)
                if plan.input_mode is InputMode.FILE:
                    _write_manifest(paths, name, objects)
                else:
                    self._guarded[paths.channel(name)] = _make_read_only(paths.channel(name))

    def __enter__(self) -> Self:
        for feeder in self._feeders:
            feeder.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the feeders; the container has ended by now, so none of them waits for a reader that reads."""
        self._stop.set()
        for feeder in self._feeders:
            feeder.join()
        for root, before in self._guarded.items():
            now = _states(root)
            changed = sorted(path for path in before.keys() | now.keys() if before.get(path) != now.get(path))
            self.written += [path.relative_to(root.parent).as_posix() for path in changed]
            for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]:
                folder.chmod(0o755)  # or it could not be removed

    def _feed(self, name: str) -> None:
        paths = self._paths
        epoch = 0
        while True:
            fifo = paths.fifo(name, epoch)
            if not fifo.exists():
                os.mkfifo(fifo)
            descriptor = self._open(fifo)
            if descriptor is None:
                return
            # The next pipe is there before this one ends, as a reader may look for it at once.
            with contextlib.suppress(FileExistsError):
                os.mkfifo(paths.fifo(name, epoch + 1))
            with os.fdopen(descriptor, "wb", buffering=0) as pipe, contextlib.suppress(BrokenPipeError):
                for each in self._base.get(name) or epoch_objects(self._plan, self._host, name, epoch):
                    with each.path.open("rb") as source:
                        shutil.copyfileobj(source, pipe, _PIPE_BYTES)
            fifo.unlink(missing_ok=True)
            epoch += 1

    def _open(self, fifo: Path) -> int | None:
        """Open a pipe once it has a reader; None when the job has ended before."""
        while not self._stop.is_set():
            try:
                descriptor = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                self._stop.wait(_LOOK_SECONDS)
                continue
            os.set_blocking(descriptor, True)
            if sys.platform == "linux":
                with contextlib.suppress(OSError):
                    fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            return descriptor
        return None


def _place(paths: Paths, name: str, objects: Sequence[ObjectRef], *, copy: bool) -> None:
    root = paths.channel(name)
    root.mkdir()
    for each in objects:
        target = root / each.key
        target.parent.mkdir(parents=True, exist_ok=True)
        if copy:
            shutil.copyfile(each.path, target)
        else:
            target.symlink_to(each.path.absolute())


def _write_manifest(paths: Paths, name: str, objects: Sequence[ObjectRef]) -> None:
    # Real jobs have this file; what it holds is not documented.
    manifest = [{"prefix": f"s3://channel/{name}/"}, *(each.key for each in objects)]
    paths.manifest(name).write_text(json.dumps(manifest), encoding="utf-8")


def _make_read_only(root: Path) -> dict[Path, tuple[int, int]]:
    """Take away the right to write; return the states of the files."""
    for path in [*root.rglob("*"), root]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    return _states(root)


def _states(root: Path) -> dict[Path, tuple[int, int]]:
    files = ((path, path.stat()) for path in root.rglob("*") if path.is_file())
    return {path: (state.st_size, state.st_mtime_ns) for path, state in files}


def _unpack(base: BaseModel, target: Path) -> list[ObjectRef]:
    """Unpack a base model, and return its files in the order of their keys."""
    target.mkdir()
    with tarfile.open(base.archive) as archive:
        archive.extractall(target, filter="data")
    files = {path.relative_to(target).as_posix(): path for path in target.rglob("*") if path.is_file()}
    return [ObjectRef(key, files[key], files[key].stat().st_size) for key in sorted(files, key=str.encode)]
