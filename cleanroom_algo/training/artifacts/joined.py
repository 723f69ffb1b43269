"""Files of a base model that arrive one after another in a pipe, with nothing between them and without their names.

In Pipe mode the objects of a channel follow each other in the order of their keys (SageMaker developer guide, Pipe
mode), so an unpacked base model is one stream. A Trainer's manifest lists all files with their sizes; where it begins
in the stream is where the files that come before it in this order end. Without a manifest, one file is understood.
"""

from __future__ import annotations

import mmap
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from cleanroom_algo.contract.archive import BASE_MODEL, DEFAULT_LIMITS, Limits, check_room, safe_path
from cleanroom_algo.contract.manifest import MANIFEST_FILE, WEIGHTS_FILE, Manifest
from cleanroom_algo.contract.sizes import format_bytes
from cleanroom_algo.errors import BaseModelUnreadableError, UnsafeArchiveError

_COPY_BYTES = 1 << 20
_MANIFEST_START = b'{\n  "format_version"'
_TORCH_FILE = "model.pt"
_ZIP_START = b"PK\x03\x04"  # torch's own format


def separate(stream: BinaryIO, target: Path, *, source: str, limits: Limits = DEFAULT_LIMITS) -> None:
    """Write the files of a stream into a directory, which appears whole or not at all.

    Args:
        stream: the bytes.
        target: a directory that does not exist.
        source: the stream's name, for errors.
        limits: of what is written.

    Raises:
        UnsafeArchiveError: CR-BAS-001, a name of the manifest leads elsewhere, or a limit is broken.
        BaseModelUnreadableError: CR-BAS-006, the files cannot be told apart, or the disk is full.
    """
    draft = target.with_name(f".{target.name}-{os.getpid()}")
    draft.mkdir(parents=True)
    spool = draft.with_name(f"{draft.name}-stream")
    try:
        if not _store(stream, spool, limits):
            raise _unknown(source)
        with spool.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for name, start, end in _parts(data, source, limits):
                path = draft / safe_path(name)
                check_room(name, end - start, draft, BASE_MODEL, limits)
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("xb") as out:
                    for position in range(start, end, _COPY_BYTES):
                        out.write(data[position : min(position + _COPY_BYTES, end)])
        draft.rename(target)
    finally:
        spool.unlink(missing_ok=True)
        shutil.rmtree(draft, ignore_errors=True)


def _store(stream: BinaryIO, spool: Path, limits: Limits) -> int:
    total = 0
    with spool.open("wb") as file:
        while block := stream.read(_COPY_BYTES):
            total += len(block)
            if total > limits.bytes:
                raise UnsafeArchiveError(
                    f"the base model is refused: it is larger than {format_bytes(limits.bytes)}",
                    expected="artifacts within the service's largest cap",
                    fix="check which channel of the request is the incremental one",
                )
            check_room(spool.name, len(block), spool.parent, BASE_MODEL, limits)
            file.write(block)
    return total


def _parts(data: mmap.mmap, source: str, limits: Limits) -> Iterator[tuple[str, int, int]]:
    """Return name, start and end of each file."""
    position = data.find(_MANIFEST_START)
    while position >= 0:
        parts = _listed(data, position, limits)
        if parts is not None:
            return iter(parts)
        position = data.find(_MANIFEST_START, position + 1)
    if int.from_bytes(data[:8], "little") < len(data) and data[8:9] == b"{":
        return iter([(WEIGHTS_FILE, 0, len(data))])
    if data[:4] == _ZIP_START:
        return iter([(_TORCH_FILE, 0, len(data))])
    raise _unknown(source)


def _listed(data: mmap.mmap, position: int, limits: Limits) -> list[tuple[str, int, int]] | None:
    """Return the parts as the manifest at a position lists them; None where it is none, or not of this stream."""
    end = data.find(b"\n}\n", position)
    if end < 0:
        return None
    end += 3
    try:
        files = Manifest.model_validate_json(data[position:end]).files
    except ValidationError:
        return None
    if len(files) > limits.files:
        return None
    sizes = {name: entry.bytes for name, entry in files.items()} | {MANIFEST_FILE: end - position}
    parts = []
    start = 0
    for name in sorted(sizes, key=str.encode):
        parts.append((name, start, start + sizes[name]))
        start += sizes[name]
    fits = start == len(data) and (MANIFEST_FILE, position, end) in parts
    return parts if fits else None


def _unknown(source: str) -> BaseModelUnreadableError:
    return BaseModelUnreadableError(
        f"{source} is neither an archive nor files that can be told apart",
        expected="model.tar.gz, one file of weights, or all files of a Trainer's artifacts in the order of their names",
        fix="give the incremental channel the artifacts of one version, or use File mode",
    )
