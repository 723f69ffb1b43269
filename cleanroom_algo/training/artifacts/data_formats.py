"""Formats that contain only data: no library that reads such a file runs code from it.

A file is allowed if its content, not its name, shows a known format. Most of these formats cannot be a pickle at the
same time, because no pickle begins like them. safetensors can, so every file is also tried as a pickle that may call
nothing.
"""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, NoReturn

KNOWN_FORMATS = (
    "safetensors, npy and npz without objects, JSON, Parquet, Arrow, skops, or a text, JSON or UBJ model of XGBoost or "
    "LightGBM"
)
_HEAD_BYTES = 64
_JSON_BYTES = 256 << 20  # read completely; a thousand times the size of a tokenizer
_SAFETENSORS_HEADER_BYTES = 100_000_000  # the library's own limit
_NPY_HEADER_BYTES = 10_000  # numpy's own limit for files that are not trusted
_ZIP_MEMBERS = 10_000
_INNER_ZIP_BYTES = 64 << 20  # a sparse matrix in a skops file
_ZIP_MAGIC = b"PK\x03\x04"
_UBJ_LENGTHS = b"iIUlL"  # of the first key of an object of XGBoost


def is_plain_data(path: Path) -> bool:
    """Return whether a file has a format that contains only data."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            known = any(_passes(check, file, head) for check in _CHECKS)
            hidden_zip = head[:4] != _ZIP_MAGIC and zipfile.is_zipfile(file)  # its reader would search from the end
            return known and not hidden_zip and not _calls_something(file)
    except OSError:
        return False


def _passes(check: Callable[[IO[bytes], bytes], bool], file: IO[bytes], head: bytes) -> bool:
    try:
        return check(file, head)
    except Exception:  # another party's bytes: a file that cannot be read does not have this format
        return False


class _CalledError(Exception):
    """A pickle would call something."""


class _Unpickler(pickle._Unpickler):  # type: ignore[misc, name-defined, unused-ignore]
    """In Python, because the one in C allocates memory for any number that a pickle gives to an object."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise _CalledError(f"{module}.{name}")

    def get_extension(self, code: int) -> NoReturn:
        raise _CalledError(str(code))

    def persistent_load(self, _pid: object) -> NoReturn:
        raise pickle.UnpicklingError


def _calls_something(file: IO[bytes]) -> bool:
    """Whether a file, read as a pickle, would call anything; here, nothing is called."""
    file.seek(0)
    try:
        _Unpickler(file).load()
    except _CalledError:
        return True
    except Exception:  # not a pickle
        return False
    return False


def _is_safetensors(file: IO[bytes], head: bytes) -> bool:
    (length,) = struct.unpack("<Q", head[:8])
    if head[8:9] != b"{" or length > _SAFETENSORS_HEADER_BYTES:
        return False
    file.seek(8)
    return isinstance(json.loads(file.read(length)), dict)


def _is_npy(file: IO[bytes], head: bytes) -> bool:
    from numpy.lib import format as npy

    if not head.startswith(npy.MAGIC_PREFIX):
        return False
    file.seek(0)
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    _, _, dtype = readers[npy.read_magic(file)](file, max_header_size=_NPY_HEADER_BYTES)
    return not dtype.hasobject


def _is_zip_of_arrays(file: IO[bytes], head: bytes) -> bool:
    """Whether it is an npz or a skops file; skops itself asks which types of its schema are trusted."""
    if head[:4] != _ZIP_MAGIC:
        return False
    with zipfile.ZipFile(file) as archive:
        arrays = [member for member in archive.infolist() if member.filename != "schema.json"]
        return len(arrays) <= _ZIP_MEMBERS and all(_is_array(archive, member) for member in arrays)


def _is_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bool:
    with archive.open(member) as content:
        if member.filename.endswith(".npy"):
            start = io.BytesIO(content.read(_NPY_HEADER_BYTES + _HEAD_BYTES))
            return _is_npy(start, start.getvalue())
        if not member.filename.endswith(".npz") or member.file_size > _INNER_ZIP_BYTES:
            return False
        inner = io.BytesIO(content.read(_INNER_ZIP_BYTES))
        return _is_zip_of_arrays(inner, inner.getvalue()[:_HEAD_BYTES])


def _is_json(file: IO[bytes], head: bytes) -> bool:
    if head.lstrip()[:1] not in (b"{", b"["):
        return False
    file.seek(0)
    text = file.read(_JSON_BYTES + 1)
    if len(text) > _JSON_BYTES:
        return False
    json.loads(text, parse_float=len, parse_int=len)
    return True


def _is_parquet(file: IO[bytes], head: bytes) -> bool:
    file.seek(-4, io.SEEK_END)
    return head[:4] == file.read() == b"PAR1"


def _is_arrow(_file: IO[bytes], head: bytes) -> bool:
    return head.startswith((b"ARROW1\0\0", b"\xff\xff\xff\xff"))


def _is_boosted_trees(_file: IO[bytes], head: bytes) -> bool:
    is_ubj = head[:1] == b"{" and head[1:2] != b"" and head[1:2] in _UBJ_LENGTHS and b"learner" in head
    return is_ubj or head.startswith(b"tree\nversion=")


_CHECKS = (_is_parquet, _is_arrow, _is_boosted_trees, _is_npy, _is_zip_of_arrays, _is_safetensors, _is_json)
