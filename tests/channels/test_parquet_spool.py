"""Parquet from files that may stream: what is wanted of them is copied front to back, and read as it is in the file."""

from __future__ import annotations

import datetime as dt
import io
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cleanroom_algo.channels.formats.parquet.footer import read_footer
from cleanroom_algo.channels.formats.parquet.reader import read_parquet
from cleanroom_algo.channels.formats.parquet.spool import spool_groups
from cleanroom_algo.channels.formats.protocol import Wanted
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


SCHEMA = Schema.of(a="int64", x="float32", text="string?", extra_columns="ignore")


def streamed(folder: Path, data: bytes, schema: Schema = SCHEMA, **more: Any) -> pl.DataFrame:
    path = folder / "part"
    path.write_bytes(data)
    tables = list(read_parquet(path, Wanted(schema, 64), source="part", streamed=True, **more))
    assert all(table.height <= 64 for table in tables)
    return pl.concat(tables) if tables else pl.DataFrame()


@pytest.mark.parametrize("data", [data for name, data in WHOLE.items() if not name.startswith("no")])
def test_the_rows_are_those_of_the_file(tmp_path: Path, data: bytes) -> None:
    expected = TABLE.select("a", pl.col("x").cast(pl.Float32), "text")
    assert streamed(tmp_path, data).equals(expected)
    assert streamed(tmp_path, WHOLE["no rows"]).height == 0


def test_splits_are_row_groups(tmp_path: Path) -> None:
    found = [streamed(tmp_path, WHOLE["polars"], groups=each) for each in (slice(0, 3), slice(3, 8))]
    assert pl.concat(found)["a"].to_list() == list(range(ROWS))


@pytest.mark.parametrize("data", [WHOLE["polars"], WHOLE["no rows"]], ids=["rows", "no rows"])
def test_missing_columns_are_told(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ColumnsMismatchError):
        streamed(tmp_path, data, Schema.of(a="int64", b="int64", extra_columns="ignore"))


def test_of_a_file_that_is_divided_only_the_wanted_row_groups_are_copied(tmp_path: Path) -> None:
    path = tmp_path / "part"
    path.write_bytes(WHOLE["polars"])
    footer = read_footer(io.BytesIO(WHOLE["polars"]), len(WHOLE["polars"]))
    with spool_groups(path, footer, slice(3, 5), source="part") as copy:
        data = copy.read_bytes()
    start, end = footer.groups[2].end, footer.groups[4].end
    assert (
        data
        == b"PAR1"
        + bytes(start - 4)
        + WHOLE["polars"][start:end]
        + bytes(footer.groups[-1].end - end)
        + (WHOLE["polars"][footer.groups[-1].end :])
    )


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
