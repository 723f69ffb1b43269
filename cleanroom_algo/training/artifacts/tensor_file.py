"""Writes tensors into the artifacts: checks the size before the first byte, and hashes while the disk writes."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from cleanroom_algo.contract.manifest import FileEntry

if TYPE_CHECKING:
    from torch import Tensor

    from cleanroom_algo.training.artifacts.writer import Draft

INDEX_SUFFIX = ".index.json"
_HEADER_BYTES = 8 + 8 + 32  # its length, its padding, the braces and the key of the metadata
_ENTRY_BYTES = 140  # of a tensor in the header beside name and shape: keys, type, and two offsets of 20 digits at most


def largest_size(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> int:
    """Return an upper bound of the size of a safetensors file of these tensors in bytes."""
    header = _HEADER_BYTES + len(json.dumps(dict(metadata or {})))
    header += sum(
        len(json.dumps(name)) + len(str(list(tensor.shape))) + _ENTRY_BYTES for name, tensor in tensors.items()
    )
    return header + sum(_bytes(tensor) for tensor in tensors.values())


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> FileEntry:
    """Write tensors, from any device, as one safetensors file, and wait until it is on the disk.

    Returns:
        The size and the SHA-256, for the manifest.

    Raises:
        OSError: it cannot be written to the disk; an incomplete file may remain.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file(_storable(tensors), path, dict(metadata) if metadata else None)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error
    path.chmod(0o644)  # the library makes it readable only by its owner; another user may serve it
    with path.open("rb") as file, ThreadPoolExecutor(1) as pool:
        synced = pool.submit(os.fsync, file.fileno())  # meanwhile, the hash is computed from the page cache
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        synced.result()
    return FileEntry(bytes=path.stat().st_size, sha256=digest)


def add_tensors(
    draft: Draft,
    name: str,
    tensors: Mapping[str, Tensor],
    *,
    metadata: Mapping[str, str] | None = None,
    shard_bytes: int | None = None,
) -> None:
    """Write tensors into the artifacts, in shards of at most `shard_bytes` if it is given.

    Shards are named `model-00001-of-00003.safetensors`, with an index `model.safetensors.index.json` in the form that
    the Hugging Face libraries use. A tensor is never split.

    Raises:
        ArtifactTooLargeError: CR-ART-003, before a byte is written.
        ArtifactClashError: CR-ART-005.
    """
    shards = list(_shards(tensors, shard_bytes)) if shard_bytes else [dict(tensors)]
    if len(shards) == 1:
        files = [name]
    else:
        stem = name.removesuffix(".safetensors")
        files = [f"{stem}-{number + 1:05}-of-{len(shards):05}.safetensors" for number in range(len(shards))]
    sizes = [largest_size(shard, metadata) for shard in shards]
    draft.check_cap(dict(zip(files, sizes, strict=True)))
    for file, size, shard in zip(files, sizes, shards, strict=True):
        draft.entries[file] = write_tensors(draft.reserve(file, size), shard, metadata)
    if len(shards) > 1:
        where = {tensor: file for file, shard in zip(files, shards, strict=True) for tensor in shard}
        total = sum(_bytes(tensor) for tensor in tensors.values())
        draft.write_json(name + INDEX_SUFFIX, {"metadata": {"total_size": total}, "weight_map": where})


def _shards(tensors: Mapping[str, Tensor], limit: int) -> Iterator[dict[str, Tensor]]:
    shard: dict[str, Tensor] = {}
    size = 0
    for name, tensor in tensors.items():
        count = _bytes(tensor)
        if shard and size + count > limit:
            yield shard
            shard, size = {}, 0
        shard[name] = tensor
        size += count
    yield shard


def _storable(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors dense, on the CPU, and without shared memory, as safetensors requires.

    Tied weights are stored under each of their names, because a strict load requires all names.
    """
    stored: dict[str, Tensor] = {}
    taken: set[int] = set()
    for name, tensor in tensors.items():
        dense = tensor.detach().to("cpu").contiguous()
        place = dense.untyped_storage().data_ptr()
        stored[name] = dense.clone() if place in taken else dense
        taken.add(place)
    return stored


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
