"""Writes the objects of a channel into its named pipes: one pipe for each epoch, nothing between the objects.

The next pipe is created when the previous one is finished, and closing a pipe early ends its epoch.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Final

from cleanroom_algo.contract.paths import Paths
from cleanroom_algo.errors import ObjectLostError
from cleanroom_algo.local.objects.reference import ObjectRef
from cleanroom_algo.local.objects.stream import S3Stream

_PIPE_BYTES: Final = 1 << 20  # the most that Linux grants any process; twice as fast as the default
_LOOK_SECONDS = 0.02  # opening a pipe for writing fails before it has a reader, and there is nothing to wait for
_OBJECTS_AHEAD = 8  # whose beginnings are requested from S3 while one is written


class Feeder:
    """The pipes of one channel of a host.

    Args:
        paths: of the host's tree.
        channel: its name.
        objects: returns the objects of an epoch.
        fail: called with the reason if a pipe cannot be fed; the pipe stays open, because its end would mean end of
            data.
    """

    def __init__(
        self,
        paths: Paths,
        channel: str,
        objects: Callable[[int], Sequence[ObjectRef]],
        fail: Callable[[Exception], None],
    ) -> None:
        self._paths, self._channel, self._objects, self._fail = paths, channel, objects, fail
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"feed-{channel}")
        _make(paths.fifo(channel, 0))

    def start(self) -> None:
        """Start feeding each reader that opens a pipe."""
        self._thread.start()

    def end(self) -> None:
        """Stop; all readers have ended, so that none waits for bytes."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        epoch = 0
        while True:
            fifo = self._paths.fifo(self._channel, epoch)
            descriptor = self._open(fifo)
            if descriptor is None:
                return
            with os.fdopen(descriptor, "wb", buffering=0) as pipe:
                try:
                    # The next pipe must exist before this one ends, because a reader may look for it immediately.
                    with contextlib.suppress(FileExistsError):
                        _make(self._paths.fifo(self._channel, epoch + 1))
                    self._write(pipe, self._objects(epoch))
                except BrokenPipeError:
                    pass
                except Exception as error:  # of any class
                    self._fail(error)
                    self._stop.wait()
            fifo.unlink(missing_ok=True)
            epoch += 1

    def _write(self, pipe: io.RawIOBase, objects: Sequence[ObjectRef]) -> None:
        buffer = memoryview(bytearray(_PIPE_BYTES))
        with contextlib.closing(_opened(objects)) as sources:
            for reference, source in sources:
                written = 0
                while count := _read(reference, source, buffer):
                    written += count
                    part = buffer[:count]
                    while part:
                        part = part[pipe.write(part) or 0 :]
                if written != reference.size:
                    raise _lost(reference, f"has {written} bytes, not the {reference.size} that were planned")

    def _open(self, fifo: Path) -> int | None:
        """Open a pipe when it has a reader; return None if the job ends before that."""
        while not self._stop.is_set():
            try:
                descriptor = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
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


def _make(fifo: Path) -> None:
    os.mkfifo(fifo)
    fifo.chmod(0o644)  # regardless of the user's umask: the container may run as another user


def _opened(objects: Sequence[ObjectRef]) -> Generator[tuple[ObjectRef, io.BufferedReader]]:
    """Yield objects as open files; the beginnings of the next ones are already requested."""
    ahead: deque[tuple[ObjectRef, io.BufferedReader]] = deque()
    left = iter(objects)
    try:
        while True:
            for reference in left:
                ahead.append((reference, _open(reference)))
                if len(ahead) > _OBJECTS_AHEAD:
                    break
            if not ahead:
                return
            yield ahead[0]
            ahead.popleft()[1].close()
    finally:
        for _, source in ahead:
            source.close()


def _open(reference: ObjectRef) -> io.BufferedReader:
    try:
        source = reference.open()
    except OSError as error:
        raise _lost(reference, f"cannot be opened ({error.strerror})") from error
    if isinstance(source.raw, S3Stream):
        source.raw.prepare()
    return source


def _read(reference: ObjectRef, source: io.BufferedReader, buffer: memoryview) -> int:
    try:
        return source.readinto(buffer)
    except OSError as error:
        raise _lost(reference, f"cannot be read ({error.strerror})") from error


def _lost(reference: ObjectRef, what: str) -> ObjectLostError:
    return ObjectLostError(
        f"{reference.key} {what}",
        expected="objects that do not change until the job has ended",
        fix="start the job again when no program writes to the folder",
    )
