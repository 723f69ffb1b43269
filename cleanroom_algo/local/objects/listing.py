"""The source of a channel, and the objects in it: listed once, by key."""

from __future__ import annotations

import logging
import os
import shlex
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath

from cleanroom_algo.errors import NoObjectsError, ObjectStoreError, Problem
from cleanroom_algo.local.objects.reference import ObjectRef
from cleanroom_algo.local.objects.s3 import SCHEME, S3Prefix, list_objects

Source = Path | S3Prefix
"""A folder whose files are the objects, or one file; or a prefix or object in S3."""
_SHOWN = 5  # keys in one message

log = logging.getLogger("cleanroom_algo.local")


def source_of(text: str) -> Source:
    """Return the source that a text names: an s3:// URI, or a path, which becomes absolute.

    Raises:
        ObjectStoreError: CR-ROM-004, it begins with s3:// and names no bucket.
    """
    return S3Prefix.parse(text) if text.startswith(SCHEME) else Path(text).absolute()


def objects_of(source: Source, endpoint: str | None = None) -> tuple[ObjectRef, ...]:
    """Return the objects of a channel by key.

    Links count as their targets. Hidden files in a folder are left out and logged: engines write checksums, and
    desktops write notes, but a query that writes to S3 writes neither. In S3, nothing is hidden.

    Args:
        source: their location.
        endpoint: the URL of an S3 service; None: as boto3 finds it.

    Raises:
        NoObjectsError: CR-ROM-007, there are none in S3, or some have keys that are not paths.
        ObjectStoreError: CR-ROM-004, S3 refuses or does not answer; or the folder contains something that is neither
            file nor folder, or that cannot be read.
    """
    return _in_s3(source, endpoint) if isinstance(source, S3Prefix) else _in_folder(source)


def _in_folder(folder: Path) -> tuple[ObjectRef, ...]:
    walk = _Walk()
    walk.enter(folder, folder.name, ())
    if walk.problems:
        raise ObjectStoreError(
            f"{folder}: {len(walk.problems)} entries in it cannot be objects of a channel",
            expected="files and folders that this user can read, and links to them",
            fix="remove these entries, or move the objects of the channel to another folder",
            problems=walk.problems[:_SHOWN],
        )
    if walk.hidden:
        _tell_hidden(folder, tuple(sorted(walk.hidden)))
    return tuple(sorted(walk.found, key=lambda each: each.key))


@cache  # a job lists its channels several times
def _tell_hidden(folder: Path, keys: tuple[str, ...]) -> None:
    more = ", ..." if len(keys) > _SHOWN else ""
    log.warning("%s: %d hidden file(s) or folder(s) left out: %s", folder, len(keys), ", ".join(keys[:_SHOWN]) + more)


@dataclass
class _Walk:
    """Collects the files below a folder; their paths contain no links, so that hosts can be shown the real files."""

    found: list[ObjectRef] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def enter(self, path: Path, key: str, above: tuple[tuple[int, int], ...]) -> None:
        """Add a file, or all files in a folder.

        Args:
            path: of the file or folder.
            key: of the file; for a folder below the channel's own, the beginning of its files' keys, which ends with
                `/`.
            above: device and inode of the folders above, to which a link may lead back.
        """
        try:
            place = path if above and not path.is_symlink() else path.resolve(strict=True)
            status = place.stat()
            if stat.S_ISREG(status.st_mode):
                os.close(os.open(place, os.O_RDONLY))  # find out now if it cannot be read
                self.found.append(ObjectRef(key, place, status.st_size))
            elif not stat.S_ISDIR(status.st_mode):
                self.problems.append(Problem(key, "is neither a file nor a folder"))
            elif (identity := (status.st_dev, status.st_ino)) in above:
                self.problems.append(Problem(key, "is a link to a folder that contains it"))
            else:
                self._take_folder(place, f"{key}/" if above else "", (*above, identity))
        except (OSError, RuntimeError) as error:  # RuntimeError: a circle of links
            what = "leads nowhere" if path.is_symlink() else "cannot be read"
            why = error.strerror if isinstance(error, OSError) else error
            self.problems.append(Problem(key, f"{what} ({why})"))

    def _take_folder(self, place: Path, prefix: str, above: tuple[tuple[int, int], ...]) -> None:
        with os.scandir(place) as entries:
            names = [entry.name for entry in entries]
        for name in names:
            if name.startswith("."):
                self.hidden.append(prefix + name)
            else:
                self.enter(place / name, prefix + name, above)


def _in_s3(prefix: S3Prefix, endpoint: str | None) -> tuple[ObjectRef, ...]:
    # A key that ends with `/` stands for a folder in S3's console, and has no content.
    listed = [(place, size) for place, size in list_objects(prefix, endpoint) if not place.key.endswith("/")]
    if [place.key for place, _ in listed] == [prefix.key]:
        place, size = listed[0]
        return (ObjectRef(PurePosixPath(place.key).name, place, size),)
    if not listed:
        raise NoObjectsError(
            f"no object begins with {prefix}",
            expected="a prefix with objects, or an object",
            fix=f"correct the URI; `aws s3 ls {shlex.quote(str(prefix))}` lists the objects",
        )
    folder = prefix.key if prefix.key.endswith("/") or not prefix.key else prefix.key + "/"
    _refuse_partial(prefix, folder, [place.key for place, _ in listed])
    found = [ObjectRef(place.key.removeprefix(folder), place, size) for place, size in listed]
    _refuse_no_paths(prefix, [each.key for each in found])
    return tuple(sorted(found, key=lambda each: each.key))


def _refuse_partial(prefix: S3Prefix, folder: str, keys: Sequence[str]) -> None:
    """Refuse a prefix that ends inside a name: the platform would read all objects that begin like it."""
    if others := [key for key in keys if not key.startswith(folder)]:
        raise NoObjectsError(
            f"{prefix} is also the beginning of other names",
            expected="a prefix that ends where a name ends (SageMaker developer guide, Access training data)",
            fix=f"write {prefix}/ for the objects below it, or correct the URI",
            problems=[Problem(key, "begins with the prefix, but is not below it") for key in others[:_SHOWN]],
        )


def _refuse_no_paths(prefix: S3Prefix, keys: Sequence[str]) -> None:
    """Refuse keys that a folder cannot contain: each must be a path, and no object the folder of another one."""
    files = set(keys)
    problems = [
        Problem(key, "is not a path")
        for key in keys
        if "\0" in key or any(part in {"", ".", ".."} or len(part.encode()) > 255 for part in key.split("/"))
    ]
    problems += [
        Problem(key, f"lies below the object {parent}")
        for key in keys
        for parent in map(str, PurePosixPath(key).parents)
        if parent in files
    ]
    if problems:
        raise NoObjectsError(
            f"{len(problems)} key(s) below {prefix} cannot be files of a folder",
            expected="keys that are valid paths, because the container sees each object as a file",
            fix="rename these objects, or choose a narrower prefix",
            problems=problems[:_SHOWN],
        )
