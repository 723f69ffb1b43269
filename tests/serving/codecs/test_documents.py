"""Bodies that are not made of lines, part by part."""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.errors import BadRecordError
from cleanroom_algo.serving.codecs.documents import BATCH_ROWS, decode_document
from cleanroom_algo.serving.codecs.media_types import MediaType

SCHEMA = Schema.of(x="int32", text="string?")
ROWS = 3 * BATCH_ROWS + 5


def parquet(frame: pl.DataFrame, **options: int) -> bytes:
    out = io.BytesIO()
    frame.write_parquet(out, **options)  # type: ignore[arg-type]
    return out.getvalue()


@pytest.mark.parametrize("group", [1000, BATCH_ROWS + 1, ROWS])
def test_parquet_comes_in_order_whatever_its_row_groups(group: int) -> None:
    frame = pl.DataFrame({"text": ["a", None, "b", "c", "d"], "x": range(5)}, schema_overrides={"x": pl.Int32})
    frame = pl.concat([frame] * (ROWS // 5)).with_columns(x=pl.int_range(ROWS // 5 * 5, dtype=pl.Int32))
    parts = [rows.frame for rows in decode_document(parquet(frame, row_group_size=group), MediaType.PARQUET, SCHEMA)]
    assert len(parts) > 1
    assert pl.concat(parts).equals(frame.select("x", "text"))


def test_a_bad_record_of_parquet_is_placed_in_the_whole() -> None:
    frame = pl.DataFrame({"x": pl.int_range(ROWS, eager=True), "text": pl.repeat("a", ROWS, eager=True)})
    frame = frame.with_columns(x=pl.when(pl.col("x") == BATCH_ROWS + 7).then(1 << 40).otherwise("x"))
    with pytest.raises(BadRecordError, match=r"do not fit") as caught:
        list(decode_document(parquet(frame, row_group_size=1000), MediaType.PARQUET, SCHEMA))
    assert str(BATCH_ROWS + 7) in caught.value.problems[0].path + caught.value.problems[0].message
    lenient = list(decode_document(parquet(frame, row_group_size=1000), MediaType.PARQUET, SCHEMA, lenient=True))
    assert sum(rows.frame.height for rows in lenient) == ROWS - 1
    assert sum(len(rows.bad) for rows in lenient) == 1


@pytest.mark.parametrize("damage", [lambda body: body[:-100], lambda body: body[:4] + bytes(40) + body[44:]])
def test_damaged_parquet_is_refused(damage: object) -> None:
    body = parquet(pl.DataFrame({"x": pl.int_range(5000, dtype=pl.Int32, eager=True), "text": ["a"] * 5000}))
    assert callable(damage)
    with pytest.raises(BadRecordError):
        list(decode_document(damage(body), MediaType.PARQUET, SCHEMA))


def npy(array: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


def npy_of(shape: str, version: bytes = b"\x01\x00") -> bytes:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY" + version + len(header).to_bytes(2 if version[0] == 1 else 4, "little") + header + bytes(8)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (npy(np.array([[1, None]], dtype=object)), "pickled"),
        (npy(np.zeros((), dtype=[("x", "i4"), ("text", "U1")])), "0 axes"),
        (npy(np.zeros((2, 2), dtype="M8[s]")), r"datetime64\[s\]"),
        (npy(np.zeros(2, dtype=[("x", "M8[s]"), ("text", "U1")])), "are not read"),
        (npy(np.zeros((2, 2), "f4")) + b"more", "length"),
        (npy(np.zeros((2, 2), "f4"))[:-1], "length"),
        (npy_of("(4294967296, 4294967296)"), "length"),
        (npy_of("(0, 4611686018427387904)")[:-8], "not an array of shape"),
        (npy_of("(-1, 2)"), "length"),
        (npy_of("(-1, -2)"), "not an array of shape"),
        (npy_of("(1, 2)", version=b"\x09\x00"), "not a plain array"),
        (npy_of("(1L, 'not closed)"), "not a plain array"),
        (npy_of("-" * 9000 + "1"), "not a plain array"),
        (npy_of("(" * 300), "not a plain array"),
        (npy(np.zeros(2, dtype=[("x", [("q", "i4")]), ("text", "U1")])), "are not read|do not fit"),
    ],
)
def test_npy_that_is_no_plain_rows_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(BadRecordError, match=why):
        list(decode_document(body, MediaType.NPY, SCHEMA))


@given(
    body=st.sampled_from([npy(np.zeros((2, 2), kind)) for kind in ("f4", ">f8", "U2", "M8[s]", "?")]), data=st.data()
)
@settings(deadline=None)
def test_a_damaged_npy_is_an_array_or_refused(body: bytes, data: st.DataObject) -> None:
    damaged = bytearray(body)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BadRecordError), warnings.catch_warnings(action="ignore"):
        list(decode_document(bytes(damaged), MediaType.NPY, SCHEMA))


def test_text_of_an_npy_that_is_no_character_is_refused() -> None:
    body = npy(np.zeros((1, 2), "U1"))[:-4] + (0x110000).to_bytes(4, "little")
    with pytest.raises(BadRecordError):
        list(decode_document(body, MediaType.NPY, SCHEMA))


def test_numbers_of_another_byte_order_keep_their_values() -> None:
    schema = Schema.of(a="float32", b="float64")
    [rows] = decode_document(npy(np.array([[1.5, -2.25]], ">f8")), MediaType.NPY, schema)
    assert rows.frame.rows() == [(1.5, -2.25)]


@pytest.mark.parametrize(
    "body",
    [
        b'[[1, "1.10"], [2, "x"]]',
        b'{"instances": [{"x": 1, "text": "1.10"}, {"features": [2, "x"]}]}',
        b'{ "signature_name": "s", "instances": [\n[1, "1.10"],\n{"features":\n[2, "x"]}\n] }',
    ],
)
def test_json_of_each_form(body: bytes) -> None:
    [rows] = decode_document(body, MediaType.JSON, SCHEMA)
    assert rows.frame.rows() == [(1, "1.10"), (2, "x")]


@pytest.mark.parametrize(
    "body",
    [
        b'[{"x": 1, "text": 1.10}]',
        b"[[1, 1.10]]",
        b'[{"features": [1, 1.10]}]',
        b'{"x": 1,\n"text": 1.10}',
        b'{"signature_name": "s", "instances": [{"x": 1, "text": 1.10}]}',
    ],
)
def test_a_number_in_a_text_column_keeps_its_digits(body: bytes) -> None:
    [rows] = decode_document(body, MediaType.JSON, SCHEMA)
    assert rows.frame.rows() == [(1, "1.10")]


def test_json_may_begin_with_a_byte_order_mark() -> None:
    (rows,) = decode_document(b'\xef\xbb\xbf[[1,"a"]]', MediaType.JSON, SCHEMA)
    assert rows.frame.rows() == [(1, "a")]
