"""Downloads objects in S3 to the disk before a job starts: several at once; copies those that another host has."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cleanroom_algo.contract.sizes import format_bytes
from cleanroom_algo.errors import JobStoppedError
from cleanroom_algo.local.objects.reference import ObjectRef
from cleanroom_algo.local.objects.s3 import S3Object

OBJECTS_AT_ONCE: Final = 16
_PIECE_BYTES = 4 << 20
_TELL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Downloaded:
    """The progress of downloading the objects of a channel for a host."""

    host: str
    channel: str
    objects: int
    all_objects: int
    bytes: int
    all_bytes: int

    def __str__(self) -> str:
        done = f"{format_bytes(self.bytes)} of {format_bytes(self.all_bytes)}"
        return f"downloading {self.channel} to {self.host}: {self.objects} of {self.all_objects} objects, {done}"


class Downloads:
    """The downloads of a job.

    Args:
        stopped: set when the job should end early.
        tell: called about once per second with the progress of a channel.
    """

    def __init__(self, stopped: threading.Event, tell: Callable[[Downloaded], None]) -> None:
        self._stopped = stopped
        self._tell = tell
        self._copies: dict[S3Object, Path] = {}

    def bring(self, host: str, channel: str, objects: Sequence[ObjectRef], root: Path) -> None:
        """Download objects into a folder; if one fails, no more are started, and the job must not start.

        Args:
            host: the host of the folder.
            channel: its name.
            objects: in S3.
            root: the existing folder of the channel.

        Raises:
            CleanroomError: CR-ROM-004 or CR-ROM-008, see `get_range`. JobStoppedError: CR-JOB-302, the job should end.
        """
        progress = _Progress(host, channel, objects, self._tell)
        with ThreadPoolExecutor(OBJECTS_AT_ONCE, thread_name_prefix="download") as pool:
            running = [pool.submit(self._bring, each, root / each.key, progress) for each in objects]
            wait(running, return_when=FIRST_EXCEPTION)
            progress.failed = any(each.done() and each.exception() for each in running)
            pool.shutdown(cancel_futures=True)
        for each in running:
            if not each.cancelled():
                each.result()
        progress.tell()

    def _bring(self, reference: ObjectRef, target: Path, progress: _Progress) -> None:
        assert isinstance(reference.place, S3Object)
        target.parent.mkdir(parents=True, exist_ok=True)
        if (copy := self._copies.get(reference.place)) is not None:
            shutil.copyfile(copy, target)
            progress.add(reference.size)
        else:
            self._download(reference, target, progress)
            self._copies[reference.place] = target
        progress.add_object()

    def _download(self, reference: ObjectRef, target: Path, progress: _Progress) -> None:
        with reference.open() as source, target.open("wb", buffering=0) as file:
            while piece := source.read(_PIECE_BYTES):
                if self._stopped.is_set():
                    raise JobStoppedError(
                        "the job was stopped while its data was downloaded",
                        expected="a job that runs to its end",
                        fix="start it again",
                    )
                if progress.failed:
                    return
                file.write(piece)
                progress.add(len(piece))


class _Progress:
    """Counts what has arrived, from several threads."""

    def __init__(
        self, host: str, channel: str, objects: Sequence[ObjectRef], tell: Callable[[Downloaded], None]
    ) -> None:
        self.failed = False
        self._host, self._channel = host, channel
        self._all_objects, self._all_bytes = len(objects), sum(each.size for each in objects)
        self._objects = self._bytes = 0
        self._listener = tell
        self._due = time.monotonic() + _TELL_SECONDS
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        with self._lock:
            self._bytes += count
            if time.monotonic() < self._due:
                return
            self._due = time.monotonic() + _TELL_SECONDS
        self.tell()

    def add_object(self) -> None:
        with self._lock:
            self._objects += 1

    def tell(self) -> None:
        self._listener(
            Downloaded(self._host, self._channel, self._objects, self._all_objects, self._bytes, self._all_bytes)
        )
