"""Files of a base model: what holds data alone is opened, and whatever could run code is not, however it is wrapped."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.ipc
import pytest
import torch
from safetensors.torch import load, save

from cleanroom_algo.errors import BaseModelError, BaseModelUnreadableError, CleanroomError, UnsafeFileError
from cleanroom_algo.training.artifacts.base_model import BaseModelFiles
from cleanroom_algo.training.artifacts.data_formats import is_plain_data
from cleanroom_algo.training.artifacts.optimizer_state import restore_optimizer
from cleanroom_algo.training.artifacts.weights import read_base_tensors, read_metadata


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("evil",)


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_dot_", "."), content)
    return buffer.getvalue()


def npy(array: np.ndarray, version: tuple[int, int] | None = None) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version=version)
    return buffer.getvalue()


def npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def arrow(file: bool) -> bytes:
    table = pa.table({"a": [1, 2]})
    sink = io.BytesIO()
    with (pyarrow.ipc.new_file if file else pyarrow.ipc.new_stream)(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def parquet() -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame({"a": [1]}).write_parquet(buffer)
    return buffer.getvalue()


NUMBERS = np.arange(6.0)
OBJECTS = np.array([Evil()], dtype=object)
PLAIN: dict[str, Callable[[], bytes]] = {
    "safetensors": lambda: save({"w": torch.ones(3)}, {"a": "b"}),
    "npy": lambda: npy(NUMBERS),
    "npy 2.0": lambda: npy(NUMBERS, (2, 0)),
    "npz": lambda: npz(a=NUMBERS, b=NUMBERS),
    "json": lambda: b' {"a": [1, 2.5, null]}\n',
    "json list": lambda: b"[1]",
    "parquet": parquet,
    "arrow file": lambda: arrow(file=True),
    "arrow stream": lambda: arrow(file=False),
    "lightgbm": lambda: b"tree\nversion=v4\nnum_class=1\n",
    "xgboost ubj": lambda: b"{L\0\0\0\0\0\0\0\7learner{",
    "skops": lambda: zipped(schema_dot_json=b"{}", a_dot_npy=npy(NUMBERS), b_dot_npz=npz(a=NUMBERS)),
}


@pytest.mark.parametrize("name", PLAIN)
def test_data_is_opened(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.bin").write_bytes(PLAIN[name]())
    assert is_plain_data(tmp_path / "file.bin")


def polyglot(length: int, start: bytes, rest: bytes) -> bytes:
    """A whole safetensors file whose first bytes, its header's length, lead a pickle reader over the header."""
    data = rest
    header = (
        start + json.dumps({"w": {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]}}).encode()[1:]
    )
    header = header[:-2] + b" " * (length - len(header) - 1) + b"\n}}"
    whole = struct.pack("<Q", len(header)) + header + data
    assert load(whole)["w"].numel() == len(data)
    return whole


WRAPPINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda b: lzma.compress(b, format=lzma.FORMAT_ALONE),
    "zlib": zlib.compress,
    "zip": lambda b: zipped(archive_data_dot_pkl=b),
    "zip with another name": lambda b: zipped(weights_dot_json=b),
    "zip with a prefix": lambda b: b"{}" + zipped(data_dot_pkl=b),
    "npz with a pickle": lambda b: zipped(a_dot_npy=npy(NUMBERS), b_dot_npy=b),
    "skops with a pickle": lambda b: zipped(schema_dot_json=b"{}", x_dot_bin=b),
    "npz in npz": lambda b: zipped(a_dot_npz=zipped(b_dot_npy=b)),
    "behind spaces": lambda b: b"   " + b,
    "behind json": lambda b: b"{}\n" + b,
    "named parquet": lambda b: b"PAR1" + b,
    "safetensors 0x56": lambda b: polyglot(0x56, b"{", b),
}


def hostile() -> Iterator[tuple[str, bytes]]:
    for protocol in range(6):
        body = pickle.dumps(Evil(), protocol=protocol)
        yield f"protocol {protocol}", body
        for name, wrap in WRAPPINGS.items():
            yield f"protocol {protocol}, {name}", wrap(body)
    yield "npy with objects", npy(OBJECTS)
    yield "npz with objects", npz(a=OBJECTS)
    fields = np.zeros(1, dtype=[(f"a_field_with_a_long_name_{number}", "f8") for number in range(90)] + [("o", "O")])
    yield "npy with objects behind a long header", npy(fields)
    yield "npy of version 9", b"\x93NUMPY\x09\x00" + npy(NUMBERS)[8:]
    yield "yaml", b"[!!python/object/apply:print [evil]]"
    yield (
        "zip in a safetensors file",
        save({"w": torch.frombuffer(bytearray(zipped(a_dot_pkl=b"x")), dtype=torch.uint8)}),
    )
    yield "deep json", b"[" * 100_000
    yield "deep json in safetensors", struct.pack("<Q", 100_008) + b'{"a":' + b"[" * 100_003
    for name, body in {"nothing": b"", "text": b"hello", "zeros": bytes(100), "short": b"PK"}.items():
        yield name, body


HOSTILE = dict(hostile())


@pytest.mark.parametrize("name", HOSTILE)
def test_what_could_run_code_is_refused(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file.safetensors").write_bytes(HOSTILE[name])
    files = BaseModelFiles(tmp_path, None, frozenset())
    with pytest.raises(UnsafeFileError, match="trusted_pickles"):
        files.file("file.safetensors")
    assert BaseModelFiles(tmp_path, None, frozenset({"file.safetensors"})).file("file.safetensors").is_file()
    assert capsys.readouterr().out == ""  # nothing was called


def test_compressed_pickles_of_joblib_are_refused(tmp_path: Path) -> None:
    import joblib

    for method in ("zlib", "gzip", "bz2", "lzma", "xz"):
        for level in range(2, 6):
            joblib.dump({"weights": NUMBERS}, tmp_path / "file", compress=(method, level))
            assert not is_plain_data(tmp_path / "file"), (method, level)


def test_a_device_or_a_folder_is_no_data(tmp_path: Path) -> None:
    assert not is_plain_data(tmp_path)
    assert not is_plain_data(tmp_path / "missing")


def safetensors_of(header: object, data: bytes = bytes(8)) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(**members: object) -> bytes:
    return safetensors_of({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **members}})


DAMAGED = {
    "nothing": b"",
    "short": b"12",
    "no header": bytes(8),
    "huge header": b"\xff" * 16,
    "no json": safetensors_of(b"hello"),
    "deep json": safetensors_of(b'{"a":' * 50_000),
    "a list": safetensors_of([1]),
    "no entry": safetensors_of({"w": 1}),
    "no offsets": safetensors_of({"w": {"dtype": "F32", "shape": [2]}}),
    "three offsets": entry(data_offsets=[0, 4, 8]),
    "negative": entry(data_offsets=[-8, 0]),
    "overlong": entry(data_offsets=[0, 10**12]),
    "backwards": entry(data_offsets=[8, 0]),
    "other size": entry(shape=[3]),
    "huge shape": entry(shape=[2**62, 2**62]),
    "text shape": entry(shape="2"),
    "unknown type": entry(dtype="X9"),
    "many dimensions": entry(shape=[2, *[1] * 100_000]),
    "metadata": safetensors_of({"__metadata__": [1]}),
    "surrogate": safetensors_of(b'{"\\ud800":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'),
    "twice": safetensors_of(b'{"w":1,"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_safetensors_are_told_with_a_code(tmp_path: Path, name: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(DAMAGED[name])
    with pytest.raises(BaseModelError):
        read_base_tensors(BaseModelFiles(tmp_path, None, frozenset()))
    if name not in {"many dimensions", "surrogate", "twice"}:
        with pytest.raises(BaseModelUnreadableError):
            read_metadata(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_flipped_bytes_are_told_with_a_code_or_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    tensors = {"w": torch.ones(3, 4), "b": torch.zeros(2, dtype=torch.int64)}
    if suffix == ".pth":
        torch.save(tensors, path)
    else:
        path.write_bytes(save(tensors))
    whole = path.read_bytes()
    files = BaseModelFiles(tmp_path, None, frozenset())
    told = 0
    for at in range(0, len(whole), max(1, len(whole) // 150)):
        for change in (whole[at] ^ 0xFF, whole[at] ^ 0x08):
            path.write_bytes(whole[:at] + bytes([change]) + whole[at + 1 :])
            try:
                read_base_tensors(files)
            except BaseModelError:
                told += 1
        path.write_bytes(whole[:at])
        with pytest.raises(BaseModelError):
            read_base_tensors(files)
    assert told > 20


def test_many_dimensions_of_a_torch_file_are_refused(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(1).as_strided([1] * 5000, [1] * 5000)}, tmp_path / "model.pt")
    with pytest.raises(UnsafeFileError, match="dimensions"):
        read_base_tensors(BaseModelFiles(tmp_path, None, frozenset()))


@pytest.mark.parametrize(
    "index",
    [b"", b"[]", b'{"weight_map": 1}', b'{"weight_map": {"a": 5}}', b'{"weight_map": {"a": "\\u0000"}}', b"[" * 9999],
)
def test_a_damaged_index_is_told_with_a_code(tmp_path: Path, index: bytes) -> None:
    (tmp_path / "model.safetensors.index.json").write_bytes(index)
    with pytest.raises(BaseModelError):
        read_base_tensors(BaseModelFiles(tmp_path, None, frozenset()))


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b'{"columns": 1}', b"[" * 100_000])
def test_damaged_features_are_told_with_a_code(tmp_path: Path, document: bytes) -> None:
    (tmp_path / "features.json").write_bytes(document)
    with pytest.raises(CleanroomError):
        BaseModelFiles(tmp_path, None, frozenset()).features()


@pytest.mark.parametrize(
    "described",
    [
        "[" * 100_000,
        "[]",
        '{"groups": 1, "scalars": 1}',
        '{"kind": "SGD", "groups": [["weight", "bias"]], "scalars": {"weight.momentum_buffer": "text"}}',
        '{"kind": "SGD", "groups": [["weight", "bias"]], "scalars": {"other.momentum_buffer": 1}}',
    ],
)
def test_a_damaged_state_of_an_optimizer_starts_a_fresh_one(described: str) -> None:
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), momentum=0.9)
    assert not restore_optimizer(model, optimizer, {}, {"format": "1", "optimizer": described})
