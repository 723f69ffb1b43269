"""Parquet read front to back: every row group as a file of its own holds what it held in its file."""

from __future__ import annotations

import datetime as dt
import io
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleanroom_algo.channels.formats.parquet.footer import TAIL_BYTES, NotParquetError, read_footer
from cleanroom_algo.channels.formats.parquet.groups import group_files, without_rows
from cleanroom_algo.channels.formats.parquet.reader import read_parquet
from cleanroom_algo.channels.formats.parquet.thrift import read_struct, write_struct
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.errors import ColumnsMismatchError, CorruptObjectError

ROWS = 1000
TABLE = pl.DataFrame(
    {
        "a": range(ROWS),
        "text": [f"text {number % 7}" if number % 5 else None for number in range(ROWS)],
        "x": [number / 3 for number in range(ROWS)],
        "flag": [number % 3 == 0 for number in range(ROWS)],
        "at": [dt.datetime(2013, 1, 1) + dt.timedelta(minutes=number) for number in range(ROWS)],
        "list": [[number] * (number % 4) for number in range(ROWS)],
        "nested": [{"p": number, "q": [str(number)]} for number in range(ROWS)],
    }
)


def by_polars(table: pl.DataFrame, **options: Any) -> bytes:
    buffer = io.BytesIO()
    table.write_parquet(buffer, **options)
    return buffer.getvalue()


def by_pyarrow(table: pl.DataFrame, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table.to_arrow(), buffer, **options)
    return buffer.getvalue()


WHOLE = {
    "polars": by_polars(TABLE, row_group_size=128),
    "polars, uncompressed, no statistics": by_polars(
        TABLE, row_group_size=300, compression="uncompressed", statistics=False
    ),
    "pyarrow": by_pyarrow(TABLE, row_group_size=100),
    "pyarrow, one row group, pages with indexes": by_pyarrow(
        TABLE, write_page_index=True, data_page_version="2.0", data_page_size=512
    ),
    "no rows": by_polars(TABLE.clear()),
    "no rows in a row group": by_pyarrow(TABLE.clear()),
}


def groups(data: bytes, columns: list[str]) -> list[pl.DataFrame]:
    file = io.BytesIO(data)
    footer = read_footer(file, len(data))
    found = group_files(file, footer, columns, range(len(footer.groups)))
    return [pl.read_parquet(each, columns=columns) for each in found]


@pytest.mark.parametrize("data", WHOLE.values(), ids=WHOLE)
def test_each_row_group_is_a_file_that_holds_its_rows(data: bytes) -> None:
    expected = pl.read_parquet(data)
    footer = read_footer(io.BytesIO(data), len(data))
    found = groups(data, TABLE.columns)
    assert [table.height for table in found] == [group.rows for group in footer.groups if group.rows]
    assert pl.concat([expected.clear(), *found]).equals(expected)
    assert pl.read_parquet(without_rows(footer)).schema == expected.schema


@given(st.sampled_from([name for name in WHOLE if not name.startswith("no")]), st.sets(st.sampled_from(TABLE.columns)))
@settings(max_examples=40)
def test_any_columns_are_read_with_nothing_outside_of_them(name: str, columns: set[str]) -> None:
    wanted = [column for column in TABLE.columns if column in columns]
    if wanted:
        assert pl.concat(groups(WHOLE[name], wanted)).equals(TABLE.select(wanted))


@pytest.mark.parametrize("data", WHOLE.values(), ids=WHOLE)
def test_a_footer_that_is_written_again_is_the_same(data: bytes) -> None:
    file = io.BytesIO(data)
    start = read_footer(file, len(data)).start
    footer = data[start:-TAIL_BYTES]
    assert write_struct(read_struct(footer)) == footer


def test_many_columns_have_long_lists() -> None:
    wide = pl.DataFrame({f"column {number}": [number] * 3 for number in range(300)})
    assert pl.concat(groups(by_polars(wide), wide.columns)).equals(wide)


def test_a_file_that_shrinks_is_told() -> None:
    data = WHOLE["polars"]
    footer = read_footer(io.BytesIO(data), len(data))
    with pytest.raises(NotParquetError, match="it ends after"):
        list(group_files(io.BytesIO(data[: len(data) // 2]), footer, TABLE.columns, range(len(footer.groups))))


SCHEMA = Schema.of(a="int64", x="float32", text="string?")


def streamed(folder: Path, data: bytes, schema: Schema = SCHEMA, **more: Any) -> pl.DataFrame:
    path = folder / "part"
    path.write_bytes(data)
    tables = list(read_parquet(path, schema, source="part", batch_rows=64, streamed=True, **more))
    assert all(table.height <= 64 for table in tables)
    return pl.concat(tables) if tables else pl.DataFrame()


@pytest.mark.parametrize("data", [WHOLE["polars"], WHOLE["pyarrow"]], ids=["polars", "pyarrow"])
def test_the_rows_are_those_of_the_file(tmp_path: Path, data: bytes) -> None:
    expected = TABLE.select("a", pl.col("x").cast(pl.Float32), "text")
    assert streamed(tmp_path, data).equals(expected)
    assert streamed(tmp_path, WHOLE["no rows"]).height == 0


def test_pieces_are_row_groups(tmp_path: Path) -> None:
    found = [streamed(tmp_path, WHOLE["polars"], groups=each) for each in (range(3), range(3, 8))]
    assert pl.concat(found)["a"].to_list() == list(range(ROWS))


@pytest.mark.parametrize("data", [WHOLE["polars"], WHOLE["no rows"]], ids=["rows", "no rows"])
def test_missing_columns_are_told(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ColumnsMismatchError):
        streamed(tmp_path, data, Schema.of(a="int64", b="int64"))


def test_damaged_pages_are_told(tmp_path: Path) -> None:
    data = bytearray(WHOLE["polars"])
    data[100:4000] = bytes(3900)
    with pytest.raises(CorruptObjectError):
        streamed(tmp_path, bytes(data))


def test_types_of_arrow_stay_known(tmp_path: Path) -> None:
    table = pa.table({"c": pa.array(["u", "v"] * 50).dictionary_encode()})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    assert streamed(tmp_path, buffer.getvalue(), Schema.of(c="string"))["c"].to_list() == ["u", "v"] * 50
