"""Which format bytes are in: seen the same from a file and from a stream, however slowly it comes."""

from __future__ import annotations

import bz2
import lzma
from collections.abc import Iterable
from pathlib import Path

import polars as pl
import pytest

from cleanroom_algo.channels.modes.file import read_object
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.errors import RowMismatchError, UnknownFormatError
from tests.channels.support import MIXED, cut, decode_stream, read, write

TEXT = b"1,UA,2.5,2013-01-02,true\n2,,,,\n"
FOREIGN = [
    (b"ARROW1\0\0", "Arrow IPC", "resultFormat"),
    (b"Obj\x01\x04\x16avro", "Avro", "resultFormat"),
    (b"ORC\n\x06\x12\x04", "ORC", "resultFormat"),
    (b"PK\x03\x04\0", "ZIP", "CSV"),
    (bz2.compress(TEXT), "bzip2", "gzip"),
    (lzma.compress(TEXT), "xz", "gzip"),
    (b"\x28\xb5\x2f\xfd\0", "Zstandard", "gzip"),
    (TEXT.decode().encode("utf-16"), "UTF-16", "UTF-8"),
    (TEXT.decode().encode("utf-16-le"), "UTF-16", "UTF-8"),
    (TEXT.decode().encode("utf-16-be"), "UTF-16", "UTF-8"),
    (b"\x80\x04\x95\0\0\0pickle", "neither text nor", "resultFormat"),
]


@pytest.mark.parametrize(("data", "name", "fix"), FOREIGN, ids=[name for _, name, _ in FOREIGN])
@pytest.mark.parametrize("step", [1, 4096])
def test_other_formats_are_refused_by_name(tmp_path: Path, data: bytes, name: str, fix: str, step: int) -> None:
    with pytest.raises(UnknownFormatError, match=name) as of_file:
        read(write(tmp_path, "x.csv", data), MIXED)
    assert fix in of_file.value.fix
    with pytest.raises(UnknownFormatError, match=name):
        list(decode_stream(iter(cut(data, [step])), MIXED, source="x", batch_rows=10))


@pytest.mark.parametrize("start", ["ORC", "BZh", "PARE", "ORC\u00e9"])
def test_a_text_may_begin_as_other_formats_do(tmp_path: Path, start: str) -> None:
    assert read(write(tmp_path, "x", f"{start},1\n".encode()), Schema.of(a="string", b="int8")).rows() == [(start, 1)]


@pytest.mark.parametrize("before", [20, 2000, 5000])
@pytest.mark.parametrize("dtype", ["string", "int64"])
def test_a_nul_in_a_text_is_the_same_in_a_file_and_a_stream(tmp_path: Path, before: int, dtype: str) -> None:
    schema = Schema.of(a=dtype)
    data = b"1\n" * before + b"2\0\n"

    def outcome(frames: Iterable[pl.DataFrame]) -> object:
        try:
            return [row for frame in frames for row in frame.rows()]
        except RowMismatchError as error:
            return error.problems

    found = outcome(read_object(write(tmp_path, "x", data), schema, batch_rows=10))
    assert found == outcome(decode_stream(iter(cut(data, [16])), schema, source="x", batch_rows=10))
    assert isinstance(found, list) == (dtype == "string")
