"""What a channel is bound to, and the objects in it: listed once, by key."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from cleanroom_algo.errors import NoObjectsError, Problem
from cleanroom_algo.local.jobs.plan import ObjectRef
from cleanroom_algo.local.sources.s3 import SCHEME, S3Prefix, list_objects

Source = Path | S3Prefix
"""A folder whose files are the objects, or one file; the same in S3."""
_SHOWN = 5  # keys in one message


def source_of(text: str) -> Source:
    """Return what a text names: an s3:// URI, or a path, made absolute.

    Raises:
        ObjectStoreError: CR-ROM-004, it begins with s3:// and names no bucket.
    """
    return S3Prefix.parse(text) if text.startswith(SCHEME) else Path(text).absolute()


def objects_of(source: Source, endpoint: str | None = None) -> tuple[ObjectRef, ...]:
    """Return the objects of a channel by key, hidden files left out; in S3 there is nothing that counts as hidden.

    Args:
        source: where they are.
        endpoint: the URL of an S3 service; as boto3 finds it if None.

    Raises:
        NoObjectsError: CR-ROM-007, there are none in S3, or some whose keys are no paths.
        ObjectStoreError: CR-ROM-004, S3 refuses or does not answer.
    """
    return _in_s3(source, endpoint) if isinstance(source, S3Prefix) else _in_folder(source)


def _in_folder(folder: Path) -> tuple[ObjectRef, ...]:
    if folder.is_file():
        return (ObjectRef(folder.name, folder, folder.stat().st_size),)
    paths = (path for path in folder.rglob("*") if path.is_file())
    named = ((path.relative_to(folder), path) for path in paths)
    found = [(name.as_posix(), path) for name, path in named if not any(p.startswith(".") for p in name.parts)]
    return tuple(ObjectRef(key, path, path.stat().st_size) for key, path in sorted(found))


def _in_s3(prefix: S3Prefix, endpoint: str | None) -> tuple[ObjectRef, ...]:
    # A key that ends with `/` stands for a folder in S3's console, and holds nothing.
    listed = [(place, size) for place, size in list_objects(prefix, endpoint) if not place.key.endswith("/")]
    if [place.key for place, _ in listed] == [prefix.key]:
        place, size = listed[0]
        return (ObjectRef(PurePosixPath(place.key).name, place, size),)
    if not listed:
        raise NoObjectsError(
            f"no object begins with {prefix}",
            expected="a prefix with objects, or an object",
            fix=f"correct the URI; `aws s3 ls {prefix}` shows what is there",
        )
    folder = prefix.key if prefix.key.endswith("/") or not prefix.key else prefix.key + "/"
    _refuse_partial(prefix, folder, [place.key for place, _ in listed])
    found = [ObjectRef(place.key.removeprefix(folder), place, size) for place, size in listed]
    _refuse_no_paths(prefix, [each.key for each in found])
    return tuple(sorted(found, key=lambda each: each.key))


def _refuse_partial(prefix: S3Prefix, folder: str, keys: Sequence[str]) -> None:
    """Refuse a prefix that is a part of a name: the platform would take all that begins so."""
    if others := [key for key in keys if not key.startswith(folder)]:
        raise NoObjectsError(
            f"{prefix} is the beginning of other names, too",
            expected="a prefix that ends where a name ends (SageMaker developer guide, Access training data)",
            fix=f"write {prefix}/ for what is below it, or correct the URI",
            problems=[Problem(key, "begins so, and lies elsewhere") for key in others[:_SHOWN]],
        )


def _refuse_no_paths(prefix: S3Prefix, keys: Sequence[str]) -> None:
    """Refuse keys that no folder can hold: each must be a path, and no object the folder of another."""
    files = set(keys)
    problems = [
        Problem(key, "is no path")
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
            expected="keys that are paths: as files they are what the container sees",
            fix="rename these objects, or choose a narrower prefix",
            problems=problems[:_SHOWN],
        )
