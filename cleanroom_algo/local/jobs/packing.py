"""From what the hosts leave to one archive: merged, whole, and the same bytes for the same files."""

from __future__ import annotations

import filecmp
import gzip
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path

from cleanroom_algo.contract.sizes import format_bytes
from cleanroom_algo.errors import ArtifactsClashError, ArtifactsTooLargeError, Problem

_COMPRESSION = 1  # weights hardly compress; a higher level costs many times the time for a few percent


def merge(folders: Mapping[str, Path]) -> dict[str, Path]:
    """Return the files of several hosts by relative path; equal files under one path count as one.

    Args:
        folders: by host name.

    Raises:
        ArtifactsClashError: CR-JOB-101, hosts left different files under one path; all of them at once.
    """
    merged: dict[str, Path] = {}
    owner: dict[str, str] = {}
    problems: list[Problem] = []
    for host, folder in sorted(folders.items()):
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
            name = path.relative_to(folder).as_posix()
            if name in merged and not filecmp.cmp(merged[name], path, shallow=False):
                problems.append(Problem(name, f"differs between {owner[name]} and {host}"))
            elif name not in merged:
                merged[name], owner[name] = path, host
    if problems:
        raise ArtifactsClashError(
            f"{len(problems)} file(s) of several hosts have the same path",
            expected="different names on different hosts, or one host that writes",
            fix="write from the first host alone, or put the host's name into the file's",
            problems=problems,
        )
    return merged


def check_sizes(sizes: Mapping[str, int], cap: int | None) -> int:
    """Return the size of all files together in bytes.

    Args:
        sizes: of the files, by name.
        cap: in bytes; None: none.

    Raises:
        ArtifactsTooLargeError: CR-JOB-102, it is over the cap.
    """
    total = sum(sizes.values())
    if cap is not None and total > cap:
        largest = max(sizes, key=lambda name: sizes[name])
        raise ArtifactsTooLargeError(
            f"the job left {format_bytes(total)} (largest: {largest} {format_bytes(sizes[largest])})",
            expected=f"at most {format_bytes(cap)}, the cap of this association (trainedModels.maxArtifactSize)",
            fix="leave the optimizer out (save_optimizer = False), store halves (save_dtype), or raise the cap",
        )
    return total


def fitting(sizes: Mapping[str, int], cap: int) -> set[str]:
    """Return the names of the files that fit under a cap: each in turn, if it fits beside those before it."""
    kept: set[str] = set()
    left = cap
    for name, size in sizes.items():
        if size <= left:
            kept.add(name)
            left -= size
    return kept


def pack(files: Mapping[str, Path], archive: Path) -> int:
    """Write a tar.gz that appears whole or not at all, and return its size in bytes."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    draft = archive.with_name(f".{archive.name}")
    with draft.open("wb") as raw:
        with (
            gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=_COMPRESSION, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            for name, path in sorted(files.items()):
                tar.add(path, arcname=name, recursive=False, filter=_anonymous)
        raw.flush()
        os.fsync(raw.fileno())
    draft.replace(archive)
    return archive.stat().st_size


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    member.mode = 0o644
    return member
