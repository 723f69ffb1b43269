"""The objects of members: s3:// URIs, stored in a local folder, or in S3 if the room's settings say so.

By default, `s3://bucket/key` is the file `<home>/s3/bucket/key`: nothing leaves the machine, and any program can open a
result. Objects are stored completely or not at all.
"""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from cleanroom_algo.contract.sizes import DISK_FULL
from cleanroom_algo.errors import ObjectStoreError
from cleanroom_algo.local.objects.s3 import client, split_uri, telling


class Objects(Protocol):
    """Stores the objects of s3:// URIs."""

    def put(self, source: Path, uri: str) -> str:
        """Store a file under a URI and return its location for users: a path, or the URI itself."""

    def list(self, uri: str) -> list[str]:
        """Return the URIs that start with this one, sorted."""

    def fetch(self, uri: str, target: Path) -> None:
        """Copy an object to a file."""

    def delete(self, uri: str) -> None:
        """Remove the object of a URI, if there is one."""


def put_all(objects: Objects, files: Mapping[str, Path]) -> list[str]:
    """Store all files under their URIs, or none, and return their locations for users."""
    try:
        return [objects.put(path, uri) for uri, path in files.items()]
    except BaseException:
        for uri in files:
            with contextlib.suppress(ObjectStoreError):  # the first cause is the one to report
                objects.delete(uri)
        raise


class FolderObjects:
    """Objects as files below a folder.

    Args:
        root: the folder; one folder below it for each bucket.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, uri: str) -> Path:
        """Return the file of a URI.

        Raises:
            ObjectStoreError: CR-ROM-004, it is not an s3:// URI, or its file would be outside its bucket's folder.
        """
        bucket, key = split_uri(uri)
        parts = PurePosixPath(key).parts
        if ".." in parts or bucket in {".", ".."} or key.startswith("/"):
            raise _unusable(f"{uri} would be outside the folder of its bucket", "use a key without `..`")
        return self.root.joinpath(bucket, *parts)

    def put(self, source: Path, uri: str) -> str:
        """Copy a file to its location: first under a temporary name, then renamed.

        Raises:
            ObjectStoreError: CR-ROM-004, the location cannot be written to.
            OSError: the disk is full.
        """
        target = self.path(uri)
        try:
            self._put(source, target)
        except OSError as error:
            if error.errno in DISK_FULL:
                raise
            fix = f"remove or rename {target}; the folders above it must be writable"
            raise _unusable(f"{uri} cannot be written: {error.strerror}", fix) from error
        return str(target)

    def _put(self, source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".incomplete-{target.name}-")
        try:
            with os.fdopen(handle, "wb") as file, source.open("rb") as reader:
                shutil.copyfileobj(reader, file, 1 << 20)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, target)  # noqa: PTH105 (a name, not a Path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def list(self, uri: str) -> list[str]:
        """Return the URIs that start with this one, sorted."""
        bucket, key = split_uri(uri)
        folder = self.root / bucket
        names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        return sorted(f"s3://{bucket}/{name}" for name in names if name.startswith(key) and not _incomplete(name))

    def fetch(self, uri: str, target: Path) -> None:
        """Copy an object to a file."""
        try:
            shutil.copyfile(self.path(uri), target)
        except OSError as error:
            raise _unusable(f"{uri} cannot be read: {error.strerror}", "check the URI") from error

    def delete(self, uri: str) -> None:
        """Remove the object of a URI, if there is one, and temporary files of killed copies to it.

        Raises:
            ObjectStoreError: CR-ROM-004, it cannot be removed.
        """
        place = self.path(uri)
        for left in (place, *place.parent.glob(f".incomplete-{glob.escape(place.name)}-*")):
            try:
                if left.is_file():
                    left.unlink(missing_ok=True)
            except OSError as error:
                raise _unusable(f"{uri} cannot be removed: {error.strerror}", f"remove {left}") from error


class S3Objects:
    """Objects in S3, or in a service with the same protocol.

    Args:
        endpoint: its URL; None: as boto3 finds it.
        region: of the client; None: as boto3 finds it.
    """

    def __init__(self, endpoint: str | None = None, region: str | None = None) -> None:
        self.client = client(endpoint, region)

    def put(self, source: Path, uri: str) -> str:
        """Upload a file; S3 stores it completely or not at all."""
        bucket, key = split_uri(uri)
        with telling(uri):
            self.client.upload_file(str(source), bucket, key)
        return uri

    def send(self, source: BinaryIO, uri: str) -> None:
        """Upload the content of a file that may be elsewhere."""
        bucket, key = split_uri(uri)
        with telling(uri):
            self.client.upload_fileobj(source, bucket, key)

    def list(self, uri: str) -> list[str]:
        """Return the URIs that start with this one, sorted."""
        bucket, key = split_uri(uri)
        with telling(uri):
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
            return sorted(f"s3://{bucket}/{each['Key']}" for page in pages for each in page.get("Contents", ()))

    def fetch(self, uri: str, target: Path) -> None:
        """Download an object to a file."""
        bucket, key = split_uri(uri)
        with telling(uri):
            self.client.download_file(bucket, key, str(target))

    def delete(self, uri: str) -> None:
        """Remove the object of a URI, if there is one."""
        bucket, key = split_uri(uri)
        with telling(uri):
            self.client.delete_object(Bucket=bucket, Key=key)


def _incomplete(name: str) -> bool:
    return name.rpartition("/")[2].startswith(".incomplete-")


def _unusable(what: str, fix: str) -> ObjectStoreError:
    return ObjectStoreError(what, expected="an s3:// URI with an accessible bucket", fix=fix)
