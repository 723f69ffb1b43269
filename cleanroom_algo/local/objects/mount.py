"""Channels in FastFile mode on S3: one read-only file system for a job, which a process of its own serves.

The process ends with the clean room, in whatever way that ends, and takes the mount along. It alone has the
credentials: a container sees files.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cleanroom_algo.contract.processes import signal_name
from cleanroom_algo.errors import CleanroomError, MountError, all_errors
from cleanroom_algo.local.objects.reference import ObjectRef
from cleanroom_algo.local.objects.s3 import S3Object

UNMOUNT = "fusermount3"
_DEVICE = Path("/dev/fuse")
_END_SECONDS = 10.0
_TOLD_BYTES = 300  # of what the process wrote when it failed


class S3Mount:
    """The mount of a job; use it as a context manager around the life of the containers.

    Args:
        folder: where it is mounted; made here.
        trees: the objects of each folder below it, by the folder's path; without any nothing is mounted.

    Attributes:
        folder: where it is mounted.
        fault: the first thing that went wrong with an object, or with the mount; None: nothing so far.
    """

    def __init__(self, folder: Path, trees: Mapping[str, Sequence[ObjectRef]]) -> None:
        self.folder = folder
        self.fault: CleanroomError | None = None
        self._trees = trees
        self._ending = False
        self._process: subprocess.Popen[bytes] | None = None
        self._reader = threading.Thread(target=self._listen, name="s3-mount", daemon=True)

    def __enter__(self) -> Self:
        """Mount.

        Raises:
            MountError: CR-HST-005, this machine cannot.
        """
        if not self._trees:
            return self
        if (why := missing()) is not None:
            raise _impossible(why)
        self.folder.mkdir(parents=True)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cleanroom_algo.local.objects.mount_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(self._orders()).encode() + b"\n")
            self._process.stdin.flush()
            ready = self._process.stdout.readline()
        except BrokenPipeError:
            ready = b""
        if not ready:
            _, told = self._process.communicate()
            raise _impossible(told.decode(errors="replace").strip()[-_TOLD_BYTES:])
        threading.Thread(target=_swallow, args=(self._process.stderr,), name="s3-mount-log", daemon=True).start()
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Unmount; nothing reads there any more."""
        self._ending = True
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        unmount_below(self.folder)
        self.folder.rmdir()

    def _orders(self) -> dict[str, Any]:
        places: dict[S3Object, int] = {}
        objects: list[tuple[str, str, str, str | None, float, int]] = []
        trees: dict[str, dict[str, int]] = {}
        for name, references in self._trees.items():
            tree = trees[name] = {}
            for each in references:
                place = each.place
                assert isinstance(place, S3Object)
                if place not in places:
                    places[place] = len(objects)
                    objects.append((place.bucket, place.key, place.etag, place.endpoint, place.modified, each.size))
                tree[each.key] = places[place]
        return {"folder": str(self.folder), "objects": objects, "trees": trees}

    def _listen(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                told = json.loads(line)
                kind = all_errors()[told.pop("code")]
                self.fault = self.fault or kind(**told)
        if not self._ending:
            self.fault = self.fault or _broken_off(self._process.wait())


def missing() -> str | None:
    """Return why S3 cannot be mounted on this machine; None where it can."""
    if sys.platform != "linux":
        return "it needs Linux"
    if not os.access(_DEVICE, os.R_OK | os.W_OK):
        return f"{_DEVICE} is not there, or may not be used"
    if shutil.which(UNMOUNT) is None:
        return f"{UNMOUNT} is not installed"
    try:
        import mfusepy  # noqa: F401 (loads libfuse)
    except (ImportError, OSError, AttributeError) as error:
        return f"libfuse cannot be loaded: {error}"
    return None


def unmount_below(folder: Path) -> None:
    """Unmount what a job has left mounted at a folder or below: its process was killed with the clean room's."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return  # no Linux, no mounts
    for line in reversed(lines):
        fields = line.split(" ")
        place = Path(fields[4].encode("latin-1", "surrogateescape").decode("unicode_escape"))
        if fields[fields.index("-") + 1].startswith("fuse") and (place == folder or folder in place.parents):
            unmount(place)


def unmount(folder: Path) -> None:
    """Take a mount away, also where somebody still uses it."""
    subprocess.run([UNMOUNT, "-u", "-z", "--", folder], stderr=subprocess.DEVNULL, check=False)


def _swallow(pipe: Any) -> None:
    with pipe:
        while pipe.read(1 << 16):
            pass


def _broken_off(status: int) -> MountError:
    """Return what to say of a mount that was there: this machine has what it takes, so nothing is to be installed."""
    how = f"was ended by {signal_name(-status)}" if status < 0 else f"ended with status {status}"
    return MountError(
        f"the mount of the channels on S3 broke off: the process that serves it {how}",
        expected="that it serves the mount until the job has ended",
        fix="start the job again; if it was SIGKILL, look whether this machine had run out of memory",
    )


def _impossible(why: str) -> MountError:
    return MountError(
        f"channels on S3 cannot be mounted: {why}",
        expected="Linux, /dev/fuse, the Debian package fuse3, and `pip install 'cleanroom-algo[local]'`",
        fix="install them, or take --input-mode File or Pipe (in the request: trainingInputMode)",
    )
