"""Removing what jobs and resources leave on the disk. Whatever somebody else has removed meanwhile is removed."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Final

from cleanroom_algo.errors import RoomInUseError, RoomStateError
from cleanroom_algo.local.plans.run_files import CHECKPOINTS_FOLDER, LOG_FILE, MODEL_ARCHIVE, OUTPUT_ARCHIVE, USAGE_FILE
from cleanroom_algo.local.resources.arns import EXPORT_JOB, INPUT_CHANNEL, TRAINED_MODEL
from cleanroom_algo.local.resources.owners import Owners, take_server_lock
from cleanroom_algo.local.resources.private_folder import OWN_FILES, OWN_FOLDERS
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.resources.workspace import Workspace

STORED: Final = "stored"
"""What a record calls the outputs of an inference job that are being stored, by their names."""
_GUARDS_SECONDS: Final = 2.0  # for guards to end after their job; they take a fraction of one
_RETRY_SECONDS: Final = 0.05
_KEPT: Final = frozenset({LOG_FILE, USAGE_FILE})


def tidy(directory: Path) -> None:
    """Remove everything of a run but its log and what its hosts took.

    Raises:
        OSError: something cannot be removed.
    """
    _remove_all_but(_KEPT, directory)


def tidy_unfinished(directory: Path) -> None:
    """Remove everything of a run that did not end well but what `tidy` keeps, and checkpoints to continue from.

    Raises:
        OSError: something cannot be removed.
    """
    kept = directory / CHECKPOINTS_FOLDER
    for left in directory.glob("hosts/*/ml/checkpoints"):
        host = left.parents[1].name
        if not left.is_symlink() and left.is_dir() and any(left.iterdir()):
            kept.mkdir(exist_ok=True)
            left.rename(kept / host)
    _remove_all_but(_KEPT | {CHECKPOINTS_FOLDER}, directory)


def discard(workspace: Workspace, record: Record, *, unfinished: bool = False) -> None:
    """Remove what a resource holds besides its record and its log.

    Args:
        workspace: of the room.
        record: of the resource.
        unfinished: whether its job did not end well, so that checkpoints stay.

    Raises:
        OSError: something cannot be removed.
    """
    files = workspace.files
    if record.kind == TRAINED_MODEL:
        remove(files.artifacts(record.key, record.version))
    elif record.kind == INPUT_CHANNEL:
        remove(files.channel(record))
    (tidy_unfinished if unfinished else tidy)(files.run(record))


def forget(workspace: Workspace, record: Record) -> None:
    """Remove a resource whose job has ended, and all that there is of it.

    Raises:
        OSError: something cannot be removed.
    """
    discard(workspace, record)
    remove(workspace.files.run(record))
    workspace.store.delete(record)


def discard_stored(workspace: Workspace, record: Record) -> None:
    """Remove what a job had stored for its receiver when it was killed or cancelled: a receiver gets all of it or none.

    Raises:
        ObjectStoreError: CR-ROM-004, it cannot be removed.
    """
    names = (MODEL_ARCHIVE, OUTPUT_ARCHIVE) if record.kind == EXPORT_JOB else record.private.get(STORED, ())
    for name in names:
        workspace.objects.delete(f"{record.private['output']}/{name}")


def remove(path: Path) -> None:
    """Remove what a container may have written to; it may be read-only, and deeper than Python can recurse.

    The guards of a job that was killed remove its folders, too, and end a little later than it: what they are at is
    tried again for a moment.

    Raises:
        OSError: something cannot be removed.
    """
    limit = time.monotonic() + _GUARDS_SECONDS
    while os.path.lexists(path):
        try:
            _remove_once(path)
        except FileNotFoundError:
            continue
        except (OSError, RecursionError) as error:
            _remove_by_force(path)
            if os.path.lexists(path) and time.monotonic() > limit:
                raise OSError(errno.EACCES, f"cannot be removed ({error})", str(path)) from error
            time.sleep(_RETRY_SECONDS)


def _remove_all_but(kept: frozenset[str], directory: Path) -> None:
    for path in directory.iterdir() if directory.exists() else ():
        if path.name not in kept:
            remove(path)


def _remove_once(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _remove_by_force(path: Path) -> None:
    for command in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
        subprocess.run([*command, "--", str(path)], stderr=subprocess.DEVNULL, check=False)


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
                f"another command uses {home}, or one that was killed is still ending",
                expected="a state folder that no other process uses",
                fix="try again in a few seconds, wait for the other command, or end it with Ctrl-C",
            )
        found = [home / name for name in (*OWN_FILES, *OWN_FOLDERS) if (home / name).exists()]
        for path in found:
            remove(path)
    except OSError as error:
        raise RoomStateError.refused(Path(error.filename or home), error) from error
    finally:
        lock.release()
    if not any(home.iterdir()):
        home.rmdir()
    return [path for path in found if path.name != "server.lock"]
