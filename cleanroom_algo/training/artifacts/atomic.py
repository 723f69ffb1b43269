"""Directories whose content is replaced completely or not at all."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
from pathlib import Path

from cleanroom_algo.contract.manifest import MANIFEST_FILE

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_RENAME_SWAP = 2  # macOS, renamex_np
_UNSUPPORTED = {errno.EXDEV, errno.EBUSY, errno.EINVAL, errno.ENOSYS, errno.EPERM}
_REPLACING = ".replacing"  # exists while files are moved one by one


def draft_directory(target: Path) -> Path:
    """Create an empty directory beside the target, or inside it if the target is a mount point."""
    target.mkdir(parents=True, exist_ok=True)
    name = f".{target.name}-draft-{os.getpid()}"
    draft = target.with_name(name)
    if _own_disk(target) or not os.access(target.parent, os.W_OK):
        draft = target / name
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    return draft


def sync_tree(directory: Path) -> None:
    """Wait until the directory and everything below it is on the disk."""
    for path in [*directory.rglob("*"), directory]:
        if path.is_file() or path.is_dir():
            _sync(path)


def replace_directory(draft: Path, target: Path) -> None:
    """Replace the target by a complete draft; a kill at any time leaves either the old or the new content.

    A mount point cannot be exchanged: its files are moved one by one, the manifest last. A kill in between leaves a
    directory without a manifest, which does not count as complete and which `recover` empties.
    """
    try:
        _exchange(draft, target)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        try:
            _replace_files(draft, target)
        except OSError:
            recover(target)  # else the platform would pack a mixture of old and new files
            raise
    shutil.rmtree(draft, ignore_errors=True)
    _sync(target.parent)


def recover(target: Path) -> None:
    """Remove what killed writers have left."""
    for parent in (target.parent, target):
        for left in parent.glob(f".{target.name}-draft-*"):
            shutil.rmtree(left, ignore_errors=True)
    mark = target / _REPLACING
    if mark.exists():
        if not (target / MANIFEST_FILE).exists():
            for path in _content(target):
                _remove(path)
        mark.unlink()


def _exchange(first: Path, second: Path) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    paths = os.fsencode(first), os.fsencode(second)
    if sys.platform == "linux" and hasattr(library, "renameat2"):
        failed = library.renameat2(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE)
    elif sys.platform == "darwin":
        failed = library.renamex_np(*paths, _RENAME_SWAP)
    else:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if failed:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(second))


def _replace_files(draft: Path, target: Path) -> None:
    mark = target / _REPLACING
    mark.touch()
    (target / MANIFEST_FILE).unlink(missing_ok=True)  # first: without a manifest, nothing here counts as complete
    for path in _content(target):
        if path != draft:
            _remove(path)
    for path in sorted(draft.iterdir(), key=lambda path: path.name == MANIFEST_FILE):
        path.replace(target / path.name)
    mark.unlink()
    _sync(target)


def _content(target: Path) -> list[Path]:
    return [path for path in target.iterdir() if path.name != _REPLACING]


def _own_disk(directory: Path) -> bool:
    return directory.is_mount() or directory.stat().st_dev != directory.parent.stat().st_dev


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
