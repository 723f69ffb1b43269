"""Removing what jobs and resources leave on the disk. Whatever somebody else has removed meanwhile is removed."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Final

from cleanroom_algo.errors import RoomInUseError, RoomStateError
from cleanroom_algo.local.objects.mount import unmount_below
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
    unmount_below(directory)
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
    """Remove a file or a folder with all that is in it, read-only folders included.

    Raises:
        OSError: it cannot be removed.
    """
    with contextlib.suppress(FileNotFoundError):  # a guard removes its job's folders, too
        if path.is_dir() and not path.is_symlink():
            # Delivered objects and unpacked archives may be read-only; their folders decide whether they can go.
            for folder in (path, *(each for each in path.rglob("*") if each.is_dir() and not each.is_symlink())):
                folder.chmod(folder.stat().st_mode | 0o700)
            shutil.rmtree(path)
        else:
            path.unlink()


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
        unmount_below(home)
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
