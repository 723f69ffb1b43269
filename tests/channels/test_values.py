"""Values that a type cannot hold are faults in every format and input mode, and never something else in silence."""

from __future__ import annotations

import decimal
import io
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.errors import ColumnsMismatchError, InvalidSchemaError, RowMismatchError
from tests.channels.support import decode_stream, read, squeeze, write

NAN, INFINITE = float("nan"), float("inf")


def parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


OBJECTS = {
    "CSV": lambda value: b"n,x\n1,2.5\n" + f"2,{value}\n".encode(),
    "JSON Lines": lambda value: b'{"n":1,"x":2.5}\n' + f'{{"n":2,"x":{value}}}\n'.replace("nan", "NaN").encode(),
    "Parquet": lambda value: parquet(pa.table({"n": [1, 2], "x": pa.array([2.5, float(value)], pa.float64())})),
}


def values(tmp_path: Path, data: bytes, dtype: str) -> list[float | None]:
    """Return what the column x reads as, from a file and from a pipe."""
    schema = Schema.of(n="int8", x=dtype)
    found = read(write(tmp_path, "x", data), schema)["x"]
    frames = decode_stream(iter([data]), schema, source="x", batch_rows=9, concatenated=True)
    assert pl.concat(frames)["x"].equals(found)
    return found.to_list()


@pytest.mark.parametrize("kind", OBJECTS)
@pytest.mark.parametrize(
    ("value", "what"), [("1e39", "too large for float32"), ("-3.5e38", "too large for float32"), ("nan", "NaN")]
)
def test_a_float_that_the_type_cannot_hold_is_a_fault(tmp_path: Path, kind: str, value: str, what: str) -> None:
    with pytest.raises(RowMismatchError) as caught:
        values(tmp_path, OBJECTS[kind](value), "float32?")
    assert what in caught.value.problems[0].message


@pytest.mark.parametrize("kind", OBJECTS)
def test_nan_is_what_the_column_declares_and_overflow_a_fault_all_the_same(tmp_path: Path, kind: str) -> None:
    assert values(tmp_path, OBJECTS[kind]("nan"), "float32? nan=null") == [2.5, None]
    kept = values(tmp_path, OBJECTS[kind]("nan"), "float32 nan=keep")[1]
    assert kept is not None
    assert kept != kept
    for dtype in ("float32? nan=null", "float32 nan=keep"):
        with pytest.raises(RowMismatchError, match="too large for float32"):
            values(tmp_path, OBJECTS[kind]("1e39"), dtype)


@pytest.mark.parametrize("kind", ["CSV", "Parquet"])
def test_infinity_is_treated_as_nan_is(tmp_path: Path, kind: str) -> None:
    assert values(tmp_path, OBJECTS[kind]("inf"), "float32? nan=null") == [2.5, None]
    assert values(tmp_path, OBJECTS[kind]("-inf"), "float64 nan=keep") == [2.5, -INFINITE]


@pytest.mark.parametrize("dtype", ["float32 nan=null", "int8 nan=keep", "float32 nan=zero", "float32 ?"])
def test_a_declaration_of_nan_that_cannot_be_is_refused(dtype: str) -> None:
    with pytest.raises(InvalidSchemaError):
        Schema.of(x=dtype)


def test_dates_and_decimals_that_are_not_read_are_told_as_that(tmp_path: Path) -> None:
    day = write(tmp_path, "day", parquet(pa.table({"d": pa.array([0, 10**7], pa.date32())})))
    with pytest.raises(RowMismatchError, match="the years 1 to 9999"):
        read(day, Schema.of(d="date32"))
    wide = pa.array([decimal.Decimal("1" * 45)], pa.decimal256(50, 0))
    with pytest.raises(ColumnsMismatchError, match="a decimal of 50 digits, and at most 38 are read"):
        read(write(tmp_path, "wide", parquet(pa.table({"w": wide}))), Schema.of(w="float64"))


@pytest.mark.parametrize("sizes", [1, 2, 7, 1000])
def test_objects_in_gzip_and_plain_ones_follow_each_other_in_a_pipe(sizes: int) -> None:
    parts = [b"1,2\n", squeeze(b"n,x\n3,4\n"), squeeze(b"5,6\n") + b"\0\0", b"n,x\n7,8\n", squeeze(b"9,10")]
    data = b"".join(parts)
    chunks = (data[start : start + sizes] for start in range(0, len(data), sizes))
    frames = decode_stream(chunks, Schema.of(n="int8", x="int8"), source="x", batch_rows=9, concatenated=True)
    assert pl.concat(frames).rows() == [(1, 2), (3, 4), (5, 6), (7, 8), (9, 10)]
