"""Removes files of jobs and resources. Files that were removed meanwhile are not an error."""

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
"""Member of a record for the names of an inference job's outputs while they are being stored."""
_GUARDS_SECONDS: Final = 2.0  # for guards to end after their job, which takes a fraction of a second
_RETRY_SECONDS: Final = 0.05
_KEPT: Final = frozenset({LOG_FILE, USAGE_FILE})


def tidy(directory: Path) -> None:
    """Remove all files of a run except its log and its hosts' usage.

    Raises:
        OSError: something cannot be removed.
    """
    _remove_all_but(_KEPT, directory)


def tidy_unfinished(directory: Path) -> None:
    """Remove all files of a run that did not succeed except those that `tidy` keeps and checkpoints to continue from.

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
    """Remove all files of a resource except its log; its record stays.

    Args:
        workspace: of the room.
        record: of the resource.
        unfinished: whether its job did not succeed, so that checkpoints are kept.

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
    """Remove a resource whose job has ended, with all its files.

    Raises:
        OSError: something cannot be removed.
    """
    discard(workspace, record)
    remove(workspace.files.run(record))
    workspace.store.delete(record)


def discard_stored(workspace: Workspace, record: Record) -> None:
    """Remove what a killed or cancelled job had stored for its receiver, who gets all outputs or none.

    Raises:
        ObjectStoreError: CR-ROM-004, it cannot be removed.
    """
    names = (MODEL_ARCHIVE, OUTPUT_ARCHIVE) if record.kind == EXPORT_JOB else record.private.get(STORED, ())
    for name in names:
        workspace.objects.delete(f"{record.private['output']}/{name}")


def remove(path: Path) -> None:
    """Remove files of a container; they may be read-only, and in more folders than Python can recurse.

    The guards of a killed job also remove its folders, and end a little later than the job, so conflicts are retried
    for a moment.

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
    """Remove everything of a room, and its folder if it contains nothing else; the user's `settings.toml` is kept.

    Args:
        home: the state folder.

    Returns:
        The removed paths.

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
