"""Removing what jobs and resources leave on the disk. Whatever somebody else has removed meanwhile is removed."""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path
from typing import Final

from cleanroom_algo.errors import RoomInUseError, RoomStateError
from cleanroom_algo.local.plans.run_files import LOG_FILE, USAGE_FILE
from cleanroom_algo.local.resources.arns import INPUT_CHANNEL, TRAINED_MODEL
from cleanroom_algo.local.resources.owners import Owners, take_server_lock
from cleanroom_algo.local.resources.room_files import RoomFiles
from cleanroom_algo.local.resources.store import Record

_KEPT: Final = frozenset({LOG_FILE, USAGE_FILE})
_OWN: Final = (  # what a room makes in its state folder; settings.toml is its user's
    *("room.sqlite", "room.sqlite-wal", "room.sqlite-shm", "server.lock"),
    *("jobs", "models", "channels", "owners", "s3"),
)


def tidy(directory: Path) -> None:
    """Remove everything of a run but its log and what its hosts took.

    Raises:
        OSError: something cannot be removed.
    """
    for path in directory.iterdir():
        if path.name not in _KEPT:
            remove(path)


def discard(files: RoomFiles, record: Record) -> None:
    """Remove what a resource holds besides its record and its log.

    Raises:
        OSError: something cannot be removed.
    """
    if record.kind == TRAINED_MODEL:
        remove(files.artifacts(record.key, record.version))
    elif record.kind == INPUT_CHANNEL:
        remove(files.channel(record))
    directory = files.run(record)
    if directory.exists():
        tidy(directory)


def remove(path: Path) -> None:
    """Remove what a container may have written to; it may be read-only, and deeper than Python can recurse.

    Raises:
        OSError: something cannot be removed.
    """
    removal = ["rm", "-rf", "--", str(path)]
    if subprocess.run(removal, stderr=subprocess.DEVNULL, check=False).returncode == 0:
        return
    subprocess.run(["chmod", "-R", "u+rwx", "--", str(path)], stderr=subprocess.DEVNULL, check=False)
    done = subprocess.run(removal, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(errno.EACCES, f"cannot be removed: {done.stderr.strip()[-200:]}", str(path))


def clean(home: Path) -> list[Path]:
    """Remove everything of a room, and its folder if nothing else is in it; `settings.toml` stays, as it was written.

    Args:
        home: the state folder.

    Returns:
        what was removed.

    Raises:
        RoomInUseError: CR-ROM-001, a process still uses it. RoomStateError: CR-ROM-002, something cannot be removed.
    """
    if not home.is_dir():
        return []
    lock = take_server_lock(home)
    try:
        if Owners(home).alive():
            raise RoomInUseError(
                f"jobs of another command are running in {home}",
                expected="a state folder that nothing uses",
                fix="wait for the command, or end it with Ctrl-C",
            )
        found = [home / name for name in _OWN if (home / name).exists()]
        for path in found:
            remove(path)
    except OSError as error:
        raise RoomStateError.refused(Path(error.filename or home), error) from error
    finally:
        lock.release()
    if not any(home.iterdir()):
        home.rmdir()
    return [path for path in found if path.name != "server.lock"]
