"""Packs the files of all hosts into one archive: merged, complete, and with the same bytes for the same files."""

from __future__ import annotations

import gzip
import os
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from cleanroom_algo.contract.sizes import format_bytes
from cleanroom_algo.contract.tree import Tree, TreeEntry
from cleanroom_algo.errors import (
    ArtifactsClashError,
    ArtifactsTooLargeError,
    ArtifactsUnreadableError,
    JobStoppedError,
    Problem,
)

_COMPRESSION = 1  # weights hardly compress; a higher level takes many times as long for a few percent
_COMPARE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file that a host has written.

    Attributes:
        host: the host.
        tree: the open folder that contains it.
        entry: its name, size and permissions.
    """

    host: str
    tree: Tree
    entry: TreeEntry

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open it for reading.

        Raises:
            ArtifactsUnreadableError: CR-JOB-104, it cannot be read, or is no longer a file.
        """
        with _telling(self.host):
            file = self.tree.open(self.entry.name, links=True)
        with file:
            yield file


@dataclass(frozen=True, slots=True)
class Artifacts:
    """What all hosts of a job have written into one of their folders.

    Attributes:
        files: by path.
        folders: the permissions of each, by path.
        left_out: entries that are neither files nor folders.
    """

    files: dict[str, Artifact] = field(default_factory=dict)
    folders: dict[str, int] = field(default_factory=dict)
    left_out: list[Problem] = field(default_factory=list)


def merge(trees: Mapping[str, Tree], *, volume_bytes: int | None = None) -> Artifacts:
    """Return what several hosts have written; equal files at one path count as one.

    Args:
        trees: by host name.
        volume_bytes: of a host's disk; None: not known.

    Raises:
        ArtifactsClashError: CR-JOB-101, hosts wrote different files at one path; with all of these paths.
        ArtifactsTooLargeError: CR-JOB-102, sparse files are larger than the disk that contains them.
        ArtifactsUnreadableError: CR-JOB-104, a link leads elsewhere, or something cannot be read.
    """
    merged = Artifacts()
    clashes: list[Problem] = []
    for host, tree in sorted(trees.items()):
        with _telling(host):
            entries = list(tree.walk())
        size = sum(each.size for each in entries if each.is_file)
        if volume_bytes is not None and size > volume_bytes:
            raise ArtifactsTooLargeError(
                f"{host} left files of {format_bytes(size)} together",
                expected=f"at most {format_bytes(volume_bytes)}, its disk (resourceConfig.volumeSizeInGB)",
                fix="do not write sparse files (truncate, memmap) that are larger than their content",
            )
        for entry in entries:
            _add(merged, Artifact(host, tree, entry), clashes)
    if clashes:
        raise ArtifactsClashError(
            f"{len(clashes)} file(s) of several hosts have the same path",
            expected="different names on different hosts, or only one host that writes",
            fix="write on the first host only, or put the name of the host into the file name",
            problems=clashes,
        )
    return merged


def _add(merged: Artifacts, found: Artifact, clashes: list[Problem]) -> None:
    name, entry = found.entry.name, found.entry
    if not (entry.is_file or entry.is_folder):
        merged.left_out.append(Problem(name, f"is {entry.kind} ({found.host})"))
    elif name in (merged.folders if entry.is_file else merged.files):
        clashes.append(Problem(name, f"is a file on one host and a folder on another ({found.host})"))
    elif entry.is_folder:
        merged.folders.setdefault(name, entry.mode)
    elif (other := merged.files.setdefault(name, found)) is not found and not _equal(other, found):
        clashes.append(Problem(name, f"differs between {other.host} and {found.host}"))


def _equal(one: Artifact, other: Artifact) -> bool:
    if one.entry.size != other.entry.size:
        return False
    with one.open() as first, other.open() as second:
        while piece := first.read(_COMPARE_BYTES):
            if piece != second.read(_COMPARE_BYTES):
                return False
        return not second.read(1)


def pack(artifacts: Artifacts, archive: Path, stopped: threading.Event | None = None) -> int:
    """Write a complete tar.gz, or none, and return its size in bytes.

    Files and folders keep their permissions, without setuid, setgid and the sticky bit. Every file is packed with its
    content, even if it has several names.

    Args:
        artifacts: the content.
        archive: its path.
        stopped: set when the job should end.

    Raises:
        ArtifactsUnreadableError: CR-JOB-104, a file cannot be read, or has changed.
        JobStoppedError: CR-JOB-302, the job should end.
        OSError: the disk is full.
    """
    archive.parent.mkdir(parents=True, exist_ok=True)
    draft = archive.with_name(f".{archive.name}")
    with draft.open("wb") as raw:
        with (
            gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=_COMPRESSION, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            for name in sorted(artifacts.files.keys() | artifacts.folders.keys()):
                if name in artifacts.folders:
                    tar.addfile(_member(name, artifacts.folders[name], tarfile.DIRTYPE))
                    continue
                found = artifacts.files[name]
                with found.open() as file:
                    member = _member(name, found.entry.mode)
                    member.size = found.entry.size
                    tar.addfile(member, _Content(found, file, stopped))  # type: ignore[arg-type]  # has `read`
        raw.flush()
        os.fsync(raw.fileno())
    draft.replace(archive)
    return archive.stat().st_size


class _Content:
    """A file that is being packed: an error if its size changes, or if the job should end."""

    def __init__(self, artifact: Artifact, file: BinaryIO, stopped: threading.Event | None) -> None:
        self._artifact, self._file, self._stopped = artifact, file, stopped

    def read(self, count: int) -> bytes:
        if self._stopped is not None and self._stopped.is_set():
            raise JobStoppedError(
                "the job was stopped while its artifacts were packed",
                expected="a job that runs to its end",
                fix="start it again",
            )
        with _telling(self._artifact.host):
            data = self._file.read(count)
            if len(data) < count:
                raise OSError(None, "has become shorter", self._artifact.entry.name)
        return data


def _member(name: str, mode: int, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)  # without owner and time
    member.type, member.mode = kind, mode & 0o777
    return member


@contextmanager
def _telling(host: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ArtifactsUnreadableError(
            f"{error.filename} on {host}: {error.strerror}",
            expected="readable files and folders, and links to something in the same folder",
            fix="copy the target of the link, or remove what cannot be packed",
        ) from error
