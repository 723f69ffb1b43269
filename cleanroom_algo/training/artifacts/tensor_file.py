"""Writing safetensors: the size is known before a byte is written, and the hash when the last one is.

The format is safetensors' own (8 bytes of header length, a JSON header, the tensors' bytes) and is read by that library
everywhere. It is written here because the library's writer copies each tensor once more, and a hash over the finished
file would read it all again.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cleanroom_algo.contract.manifest import FileEntry

if TYPE_CHECKING:
    import torch

    from cleanroom_algo.training.artifacts.writer import Draft

INDEX_SUFFIX = ".index.json"
_CHUNK_BYTES = 16 << 20  # small enough that writing and hashing one chunk overlap, large enough for full speed
_NAMES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "uint16": "U16",
    "uint32": "U32",
    "uint64": "U64",
    "bool": "BOOL",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
}


@dataclass(frozen=True, slots=True)
class Layout:
    """How tensors will lie in a file.

    Attributes:
        header: the first bytes of the file.
        names: in the order of the file.
        size: bytes of the whole file.
    """

    header: bytes
    names: tuple[str, ...]
    size: int


def layout(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None) -> Layout:
    """Plan a file; nothing is copied or written."""
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))  # the widest first keeps alignment
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    for name in names:
        tensor = tensors[name]
        end = offset + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": _dtype(tensor), "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return Layout(len(text).to_bytes(8, "little") + text, tuple(names), 8 + len(text) + offset)


def write_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None
) -> FileEntry:
    """Write tensors, on whatever device they are, as one safetensors file, and wait until it is on the disk.

    Returns:
        The size and the SHA-256, for the manifest.

    Raises:
        OSError: the disk did not take it; half a file may be left.
    """
    plan = layout(tensors, metadata)
    hasher = _Hasher()
    try:
        with path.open("wb", buffering=0) as file:
            for chunk in _chunks(plan, tensors):
                hasher.add(chunk)
                rest = chunk
                while rest:
                    rest = rest[file.write(rest) :]
            os.fsync(file.fileno())  # here, while the last chunks are still being hashed
    finally:
        digest = hasher.finish()
    return FileEntry(bytes=plan.size, sha256=digest)


def add_tensors(
    draft: Draft,
    name: str,
    tensors: Mapping[str, torch.Tensor],
    *,
    metadata: Mapping[str, str] | None = None,
    shard_bytes: int | None = None,
) -> None:
    """Write tensors into the artifacts, in shards of at most `shard_bytes` where that is given.

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
    sizes = [layout(shard, metadata).size for shard in shards]
    draft.check_cap(dict(zip(files, sizes, strict=True)))
    for file, size, shard in zip(files, sizes, shards, strict=True):
        draft.entries[file] = write_tensors(draft.reserve(file, size), shard, metadata)
    if len(shards) > 1:
        where = {tensor: file for file, shard in zip(files, shards, strict=True) for tensor in shard}
        draft.write_json(name + INDEX_SUFFIX, {"metadata": {"total_size": sum(sizes)}, "weight_map": where})


def _shards(tensors: Mapping[str, torch.Tensor], limit: int) -> Iterator[dict[str, torch.Tensor]]:
    shard: dict[str, torch.Tensor] = {}
    size = 0
    for name, tensor in tensors.items():
        count = tensor.numel() * tensor.element_size()
        if shard and size + count > limit:
            yield shard
            shard, size = {}, 0
        shard[name] = tensor
        size += count
    yield shard


def _chunks(plan: Layout, tensors: Mapping[str, torch.Tensor]) -> Iterator[memoryview]:
    import torch

    yield memoryview(plan.header)
    small = bytearray()
    for name in plan.names:
        flat = tensors[name].detach().to("cpu").contiguous().reshape(-1).view(torch.uint8)
        data = memoryview(flat.numpy().data)
        if len(data) < _CHUNK_BYTES // 16:
            small += data  # many small tensors would be many small writes
            if len(small) >= _CHUNK_BYTES:
                yield memoryview(bytes(small))
                small.clear()
            continue
        if small:
            yield memoryview(bytes(small))
            small.clear()
        for start in range(0, len(data), _CHUNK_BYTES):
            yield data[start : start + _CHUNK_BYTES]
    if small:
        yield memoryview(bytes(small))


def _dtype(tensor: torch.Tensor) -> str:
    name = str(tensor.dtype).removeprefix("torch.")
    if name not in _NAMES:
        raise TypeError(f"tensors of type {name} cannot be stored as safetensors")
    return _NAMES[name]


class _Hasher:
    """Hashes chunks in a thread of its own, as both hashing and writing leave the interpreter free."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._queue: queue.Queue[memoryview | None] = queue.Queue(maxsize=64)  # at most 1 GiB waits
        self._thread = threading.Thread(target=self._run, name=f"sha256-{os.getpid()}", daemon=True)
        self._thread.start()

    def add(self, chunk: memoryview) -> None:
        self._queue.put(chunk)

    def finish(self) -> str:
        self._queue.put(None)
        self._thread.join()
        return self._digest.hexdigest()

    def _run(self) -> None:
        while (chunk := self._queue.get()) is not None:
            self._digest.update(chunk)
