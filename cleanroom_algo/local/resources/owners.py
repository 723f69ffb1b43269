"""The processes that use a state folder, recognized by locks, which the kernel releases when a process ends."""

from __future__ import annotations

import fcntl
import os
import uuid
from pathlib import Path
from typing import Self

from cleanroom_algo.errors import RoomInUseError, RoomStateError


class Lock:
    """A file that one process at a time can lock."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: Path) -> Self | None:
        """Return the lock, or None if another process holds it.

        Raises:
            RoomStateError: CR-ROM-002, it cannot be written to the disk.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise RoomStateError.refused(path, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return cls(path, descriptor)

    def release(self) -> None:
        """Release the lock, and remove its file."""
        self.path.unlink(missing_ok=True)
        os.close(self._descriptor)


def take_server_lock(home: Path) -> Lock:
    """Return the lock of the only server of a state folder.

    Raises:
        RoomInUseError: CR-ROM-001, another server holds it.
    """
    lock = Lock.take(home / "server.lock")
    if lock is None:
        raise RoomInUseError(
            f"another server uses {home}, or one that was killed is still ending",
            expected="one server for each state folder",
            fix="try again in a few seconds, use or stop the other server, or choose another folder with --home",
        )
    return lock


class Owners:
    """The processes that run jobs of a room."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "owners"

    def join(self) -> tuple[str, Lock]:
        """Return a name for this process, and the lock that shows that it is alive."""
        name = f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
        lock = Lock.take(self.folder / name)
        assert lock is not None
        return name, lock

    def is_alive(self, name: str) -> bool:
        """Whether the process with this name is alive."""
        path = self.folder / name
        if not path.exists():
            return False
        lock = Lock.take(path)
        if lock is None:
            return True
        lock.release()
        return False

    def alive(self) -> list[str]:
        """Return the names of all processes that are alive."""
        names = [path.name for path in self.folder.iterdir()] if self.folder.is_dir() else []
        return [name for name in names if self.is_alive(name)]
