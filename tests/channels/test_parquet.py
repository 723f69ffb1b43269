"""Parquet: what is cast, what is told of columns, values and files that do not fit, mapped and front to back alike."""

from __future__ import annotations

import datetime as dt
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cleanroom_algo.channels.formats.parquet.reader import read_parquet
from cleanroom_algo.channels.formats.protocol import Wanted
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.errors import CleanroomError, ColumnsMismatchError, CorruptObjectError, RowMismatchError
from tests.channels.support import parquet, read, write

DAY_BEFORE_EPOCH = -1
DAY_IN_10000 = 2_932_897


def faults(path: Path, schema: Schema, *, streamed: bool) -> tuple[type[CleanroomError], list[tuple[str, str]]]:
    """Return the error of reading a file, and its problems."""
    with pytest.raises(CleanroomError) as caught:
        list(read_parquet(path, Wanted(schema, 100), source="x", streamed=streamed))
    return caught.type, [(problem.path, problem.message) for problem in caught.value.problems]


def written(path: Path, **columns: pa.Array) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_parquet_is_read_by_name_and_cast_where_nothing_is_lost(tmp_path: Path) -> None:
    moment = dt.datetime(2013, 1, 2, 3, tzinfo=dt.UTC)
    table = pa.table(
        {
            "more": [1, 2],
            "ratio": pa.array([1, None], pa.decimal128(5, 2)),
            "n": pa.array([1, 2], pa.int64()),
            "sum": pa.array([9007199254740993, -(2**63)], pa.decimal128(38, 0)),
            "at": pa.array([moment, None], pa.timestamp("ms", "Europe/Paris")),
            "word": pa.array(["x", "y"]).dictionary_encode(),
        }
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    schema = Schema.of(n="int16", sum="int64", word="string", ratio="float32?", at="timestamp?", extra_columns="ignore")
    rows = read(write(tmp_path, "x.csv", buffer.getvalue()), schema).rows()
    assert rows == [
        (1, 9007199254740993, "x", 1.0, moment.replace(tzinfo=None)),
        (2, -(2**63), "y", None, None),
    ]


@pytest.mark.parametrize("streamed", [False, True])
def test_bytes_are_text_and_dates_are_timestamps(tmp_path: Path, streamed: bool) -> None:
    path = written(
        tmp_path / "x",
        text=pa.array([b"x", None, "\u00e9".encode()]),
        at=pa.array([0, None, DAY_BEFORE_EPOCH], pa.int32()).cast(pa.date32()),
    )
    schema = Schema.of(at="timestamp?", text="string?")
    (frame,) = read_parquet(path, Wanted(schema, 100), source="x", streamed=streamed)
    assert frame.schema == schema.polars_schema()
    assert frame.rows() == [(dt.datetime(1970, 1, 1), "x"), (None, None), (dt.datetime(1969, 12, 31), "\u00e9")]


@pytest.mark.parametrize("streamed", [False, True])
def test_columns_that_cannot_be_read_are_all_told(tmp_path: Path, streamed: bool) -> None:
    path = written(tmp_path / "x", a=pa.array([1]), b=pa.array(["t"]), Carrier=pa.array(["UA"]))
    schema = Schema.of(a="string", b="int8", c="bool", carrier="string")
    assert faults(path, schema, streamed=streamed) == (
        ColumnsMismatchError,
        [
            ("x:a", 'is Int64, declared as string; declare "category"'),
            ("x:b", 'is String, declared as int8; declare "string"'),
            ("x:c", "is missing"),
            ("x:carrier", "is missing, but there is one whose name differs only in case"),
        ],
    )


@pytest.mark.parametrize("streamed", [False, True])
def test_values_out_of_range_and_nulls_are_told(tmp_path: Path, streamed: bool) -> None:
    path = written(
        tmp_path / "x",
        small=pa.array([1, 300, None]),
        maybe=pa.array([None, 300, 301]),
        total=pa.array([1, 2, 2**63], pa.decimal128(38, 0)),
        text=pa.array([b"x", b"y", b"\xff"]),
        day=pa.array([0, DAY_IN_10000, 2**31 - 1], pa.int32()).cast(pa.date32()),
        at=pa.array([None, 1, DAY_IN_10000 * 86_400_000_000], pa.timestamp("us")),
        filled=pa.array([1, None, None]),
    )
    schema = Schema.of(
        small="int8", maybe="int8?", total="int64", text="string", day="timestamp", at="timestamp?", filled="int64"
    )
    assert faults(path, schema, streamed=streamed) == (
        RowMismatchError,
        [
            ("x:row 1:small", "out of the range of int8"),
            ("x:row 2:small", "null, but int8 is not nullable"),
            ("x:row 1:maybe", "out of the range of int8; 2 such rows, this is the first"),
            ("x:row 2:total", "out of the range of int64"),
            ("x:row 2:text", "not valid UTF-8"),
            ("x:row 1:day", "out of the range of timestamp or the years 1 to 9999; 2 such rows, this is the first"),
            ("x:row 2:at", "out of the range of timestamp or the years 1 to 9999"),
            ("x:row 1:filled", "null, but int64 is not nullable; 2 such rows, this is the first"),
        ],
    )


@pytest.mark.parametrize("streamed", [False, True])
def test_columns_of_one_name_are_told(tmp_path: Path, streamed: bool) -> None:
    nested = pa.array([{"a": [1], "b": {"a": 1}}])
    columns = [pa.array([1]), nested, pa.array([2]), pa.array([3]), pa.array([4])]
    pq.write_table(pa.table(columns, names=["a", "n", "b", "b", "c"]), tmp_path / "x")
    assert faults(tmp_path / "x", Schema.of(a="int64"), streamed=streamed) == (
        ColumnsMismatchError,
        [("x:b", "occurs 2 times")],
    )


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda data: data[:4], "shorter than a Parquet file can be"),
        (lambda data: data[:-1], "no footer at its end"),
        (lambda data: data[:100] + data[-8:], "no footer at its end"),
        (lambda data: data[:-40] + b"\xff" * 32 + data[-8:], "its footer cannot be parsed"),
        (lambda data: data[:30] + b"\xff" * 300 + data[330:], "its pages cannot be decoded"),
    ],
)
def test_a_damaged_file_says_what_is_damaged(tmp_path: Path, change: Any, what: str, streamed: bool) -> None:
    (tmp_path / "x").write_bytes(change(parquet(100)))
    with pytest.raises(CorruptObjectError, match=what):
        list(read_parquet(tmp_path / "x", Wanted(Schema.of(a="int64", b="string"), 9), source="x", streamed=streamed))


@pytest.mark.parametrize("engine", ["polars", "pyarrow"])
@pytest.mark.parametrize("change", [lambda d: d[:-1], lambda d: d[:-8], lambda d: d[:20], lambda d: d[:-20] + d[-8:]])
def test_parquet_without_its_footer_is_damaged(tmp_path: Path, engine: str, change: Any) -> None:
    with pytest.raises(CorruptObjectError):
        read(write(tmp_path, "x", change(parquet(100, engine=engine))), Schema.of(a="int64", b="string"))
