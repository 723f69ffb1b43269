"""Serves the mount of a job: `python -m cleanroom_algo.local.objects.mount_server`, its orders the first line of stdin.

The orders are a JSON object: `folder`, where to mount; `objects`, each with bucket, key, ETag, endpoint, time and
bytes; `trees`, by folder below the mount the number of the object of each path. An empty line on stdout says that all
is there; each further line is the fault of an object. The mount goes when stdin ends.
"""

# ruff: noqa: ARG002  (libfuse says more than is needed)

from __future__ import annotations

import errno
import itertools
import json
import os
import stat
import sys
import threading
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any, Final

import mfusepy

from cleanroom_algo.errors import CleanroomError
from cleanroom_algo.local.objects.mount import unmount
from cleanroom_algo.local.objects.ranges import RangeReader, Ranges
from cleanroom_algo.local.objects.s3 import S3Object

_KNOWN_SECONDS: Final = 86_400  # nothing changes: the kernel need not ask again
_FUSE_CONF = Path("/etc/fuse.conf")


class Objects:
    """The objects of a job as a tree of files that nobody can change: what libfuse calls, by the names it has for it.

    Args:
        objects: bucket, key, ETag, endpoint, time and bytes of each.
        trees: the number of the object by path, for each folder.
    """

    use_ns = True

    def __init__(self, objects: list[list[Any]], trees: dict[str, dict[str, int]]) -> None:
        self._files: dict[str, tuple[S3Object, int]] = {}
        self._folders: dict[str, dict[str, None]] = {"/": {}}  # as a dict, they keep their order
        self._ranges = Ranges()
        self._open: dict[int, RangeReader] = {}
        self._handles = itertools.count(1)
        places = [
            (S3Object(bucket, key, etag, endpoint, time), size) for bucket, key, etag, endpoint, time, size in objects
        ]
        for folder, tree in trees.items():
            self._add_folder(f"/{folder}")
            for key, number in tree.items():
                path = f"/{folder}/{key}"
                self._files[path] = places[number]
                self._add_folder(str(PurePosixPath(path).parent))
                self._folders[str(PurePosixPath(path).parent)][PurePosixPath(path).name] = None

    def init(self, path: str) -> None:
        """Say that the mount is there."""
        _tell("")

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        """Return what `stat` shows."""
        owner = {"st_uid": os.getuid(), "st_gid": os.getgid()}
        if path in self._files:
            place, size = self._files[path]
            times = dict.fromkeys(("st_atime", "st_mtime", "st_ctime"), int(place.modified * 1_000_000_000))
            return {"st_mode": stat.S_IFREG | 0o444, "st_nlink": 1, "st_size": size, **owner, **times}
        if path in self._folders:
            return {"st_mode": stat.S_IFDIR | 0o555, "st_nlink": 2, **owner}
        raise mfusepy.FuseOSError(errno.ENOENT)

    def readdir(self, path: str, fh: int) -> Iterable[str]:
        """Return the names in a folder."""
        return (".", "..", *self._folders[path])

    def open(self, path: str, flags: int) -> int:
        """Return a handle; nothing is read before somebody reads."""
        place, size = self._files[path]
        handle = next(self._handles)
        self._open[handle] = self._ranges.open(place, size)
        return handle

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        """Return bytes of an object; where S3 does not give them, the reader gets EIO and the clean room the reason."""
        try:
            return self._open[fh].read(offset, size)
        except CleanroomError as error:
            _tell(json.dumps({"code": error.code, "what": error.what, "expected": error.expected, "fix": error.fix}))
            raise mfusepy.FuseOSError(errno.EIO) from error
        except ValueError as error:  # closed while the kernel was reading ahead
            raise mfusepy.FuseOSError(errno.EBADF) from error

    def release(self, path: str, fh: int) -> int:
        """Let go of a handle."""
        self._open.pop(fh).close()
        return 0

    def _add_folder(self, path: str) -> None:
        if path not in self._folders:
            above = PurePosixPath(path).parent
            self._add_folder(str(above))
            self._folders[str(above)][PurePosixPath(path).name] = None
            self._folders[path] = {}


def main() -> None:
    """Mount what the orders say, and serve it until stdin ends."""
    orders = json.loads(sys.stdin.readline())
    objects = Objects(orders["objects"], orders["trees"])
    threading.Thread(target=_end_with_stdin, args=(orders["folder"],), daemon=True).start()
    others = {"allow_other": True, "default_permissions": True} if _others_may() else {}
    mfusepy.FUSE(
        objects,
        orders["folder"],
        foreground=True,
        ro=True,
        nosuid=True,
        nodev=True,
        fsname="s3",
        subtype="cleanroom-algo",
        attr_timeout=_KNOWN_SECONDS,
        entry_timeout=_KNOWN_SECONDS,
        negative_timeout=_KNOWN_SECONDS,
        **others,
    )


def _others_may() -> bool:
    """Whether other users may be let in: docker's daemon, and users of containers."""
    if os.geteuid() == 0:
        return True
    lines = _FUSE_CONF.read_text(encoding="utf-8").splitlines() if _FUSE_CONF.exists() else ()
    return any(line.strip() == "user_allow_other" for line in lines)


def _end_with_stdin(folder: str) -> None:
    while sys.stdin.readline():
        pass
    unmount(Path(folder))
    os._exit(0)  # libfuse would wait for whoever still has a file open there


_telling = threading.Lock()


def _tell(line: str) -> None:
    with _telling:
        print(line, flush=True)


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as failed:  # libfuse has said why
        sys.exit(f"libfuse: {failed}")
