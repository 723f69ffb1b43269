"""Reading a folder that another program writes, without following links out of it.

A program that writes to a folder can put a link, a named pipe or a device where a file is expected, at any moment. So
each part of a path is opened relative to the folder before it, the kernel follows no link, no call blocks, and only
regular files are read.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Final, Self

MOST_ENTRIES: Final = 100_000
"""The most files and folders of one tree: links to folders could make any number of them."""
DEEPEST: Final = 64
"""The most folders inside folders, as for archives."""
_LINKS = 40  # in one path, the same limit as the kernel's
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_REASONS = {errno.ENOTDIR: "is not a folder", errno.EACCES: "may not be read"}
_KINDS = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

Identity = tuple[int, int]
"""Device and inode of a folder."""


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """What is at one path of a tree; a link counts as its target.

    Attributes:
        name: the path below the root.
        size: in bytes.
        mode: kind and permissions, as `os.stat` gives them.
        changed: when it was written to last, in nanoseconds since 1970.
    """

    name: str
    size: int
    mode: int
    changed: int

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.mode)

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return stat.S_ISDIR(self.mode)

    @property
    def kind(self) -> str:
        """What it is, with its article."""
        return kind_of(self.mode)


class Tree:
    """An open folder; use it as a context manager, or close it.

    All methods raise OSError, with a text in `strerror` and the path in `filename`, for what cannot be opened and for
    what is outside of the folder.

    Args:
        root: the folder; it must not be a link.
        seen_as: paths of the folder as seen by the programs that write links into it.
    """

    def __init__(self, root: Path, *, seen_as: Collection[Path] = ()) -> None:
        self._take(os.open(root, _FOLDER_FLAGS), seen_as)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the folder."""
        os.close(self._root)

    @property
    def identity(self) -> Identity:
        """The device and inode of the folder."""
        status = os.fstat(self._root)
        return status.st_dev, status.st_ino

    def folder(self, name: str) -> Tree:
        """Return a folder below this one; no part of its path may be a link."""
        with self._located(name, links=False) as (folder, part):
            below = Tree.__new__(Tree)
            below._take(os.open(part, _FOLDER_FLAGS, dir_fd=folder), [path / name for path in self._seen_as])
            return below

    def open(self, name: str, *, links: bool = False) -> io.BufferedReader:
        """Open a regular file.

        Args:
            name: its path below the root.
            links: whether parts of it may be links that lead to something below the root.
        """
        with self._located(name, links=links) as (folder, part):
            _require_file(os.stat(part, dir_fd=folder, follow_symlinks=False).st_mode, name)  # not to open a device
            file = os.fdopen(os.open(part, _FILE_FLAGS, dir_fd=folder), "rb")
        try:
            _require_file(os.fstat(file.fileno()).st_mode, name)
        except OSError:
            file.close()
            raise
        return file

    def entry(self, name: str) -> TreeEntry:
        """Return what is at a path; links are followed if they stay below the root."""
        with self._located(name, links=True) as (folder, part):
            status = os.stat(part, dir_fd=folder, follow_symlinks=False)
        return TreeEntry(name, status.st_size, status.st_mode, status.st_mtime_ns)

    def walk(self) -> Iterator[TreeEntry]:
        """Yield everything below the root, each folder before its content, in the order of the names.

        Targets of links appear under the names of the links, too.
        """
        left = MOST_ENTRIES
        for entry in self._walk("", ()):
            left -= 1
            if left < 0:
                raise OSError(errno.E2BIG, f"there are more than {MOST_ENTRIES:,} files and folders", entry.name)
            yield entry

    def _walk(self, name: str, above: tuple[Identity, ...]) -> Iterator[TreeEntry]:
        with self._located(name or ".", links=True) as (folder, part):
            descriptor = os.open(part, _FOLDER_FLAGS, dir_fd=folder)
            try:
                status = os.fstat(descriptor)
                found = sorted(os.listdir(descriptor))  # noqa: PTH208 (of a descriptor)
            finally:
                os.close(descriptor)
        identity = status.st_dev, status.st_ino
        if identity in above:
            raise OSError(errno.ELOOP, "is a link to a folder that contains it", name)
        if len(above) >= DEEPEST:
            raise OSError(errno.ENAMETOOLONG, f"lies below more than {DEEPEST} folders", name)
        for each in found:
            entry = self.entry(f"{name}/{each}" if name else each)
            yield entry
            if entry.is_folder:
                yield from self._walk(entry.name, (*above, identity))

    def _take(self, descriptor: int, seen_as: Collection[Path]) -> None:
        self._root = descriptor
        self._seen_as = tuple(seen_as)

    @contextmanager
    def _located(self, name: str, *, links: bool) -> Iterator[tuple[int, str]]:
        """Yield the open folder that contains the last part of a path, and the name of this part, which is no link."""
        descent = _Descent(self._root, self._seen_as, name, links=links)
        try:
            yield descent.go()
        except OSError as error:
            lost = descent.followed and error.errno == errno.ENOENT
            why = "is a link without a target" if lost else _REASONS.get(error.errno or 0, error.strerror)
            raise OSError(error.errno, why, name) from error
        finally:
            descent.close()


class _Descent:
    """The steps from an open folder down a path, one part after another."""

    def __init__(self, root: int, seen_as: Collection[Path], name: str, *, links: bool) -> None:
        self._root, self._seen_as, self._links = root, seen_as, links
        self._left = deque(PurePosixPath(name).parts)
        self._opened: list[int] = []
        self.followed = 0

    def go(self) -> tuple[int, str]:
        while True:
            part = self._left.popleft() if self._left else "."
            here = self._opened[-1] if self._opened else self._root
            if part == "..":
                self._go_up()
            elif (target := _link(here, part)) is not None:
                self._follow(target)
            elif not self._left:
                return here, part
            else:
                self._opened.append(os.open(part, _FOLDER_FLAGS, dir_fd=here))

    def close(self) -> None:
        while self._opened:
            os.close(self._opened.pop())

    def _go_up(self) -> None:
        if not self._opened:
            raise _outside()
        os.close(self._opened.pop())

    def _follow(self, target: PurePosixPath) -> None:
        if not self._links:
            raise OSError(errno.ELOOP, "is a link")
        self.followed += 1
        if self.followed > _LINKS:
            raise OSError(errno.ELOOP, "is a link in a circle of links")
        if target.is_absolute():
            self.close()
            target = self._below(target)
        self._left.extendleft(reversed(target.parts))

    def _below(self, target: PurePosixPath) -> PurePosixPath:
        for root in self._seen_as:
            if target.is_relative_to(root):
                return target.relative_to(root)
        raise _outside()


def kind_of(mode: int) -> str:
    """Return in words what kind of file a mode of `os.stat` describes."""
    return _KINDS.get(stat.S_IFMT(mode), "something unknown")


def identity_of(folder: Path) -> Identity:
    """Return the device and inode of the folder at a path; a link is not followed."""
    status = folder.lstat()
    return status.st_dev, status.st_ino


def _link(folder: int, part: str) -> PurePosixPath | None:
    try:
        return PurePosixPath(os.readlink(part, dir_fd=folder))
    except OSError as error:
        if error.errno == errno.EINVAL:
            return None  # something other than a link
        raise


def _require_file(mode: int, name: str) -> None:
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, f"is {kind_of(mode)}, not a file", name)


def _outside() -> OSError:
    return OSError(errno.EXDEV, "is a link to something outside its folder")
