"""Frames that are written as CSV are read as they were, however the schema declares CSV."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest

from cleanroom_algo.channels.formats.csv.writing import csv_of
from cleanroom_algo.channels.modes.file import read_object
from cleanroom_algo.channels.objects import Object
from cleanroom_algo.channels.schema import Column, Csv, Schema

pytestmark = pytest.mark.unit

FRAME = pl.DataFrame(
    {
        "text": ["a", "NA", 'q"x', "", None, "back\\slash", "a;b,c\td", "line\nbreak"],
        'odd "name"': [1.5, None, 1e-9, 1e20, -0.0, 2.0, 3.25, 1234.5],
        "count": [1, None, 3, 4, 5, 6, 7, 8],
        "late": [True, False, None, True, True, True, True, True],
        "day": [date(2020, 1, 2), None, *[date(1999, 12, 31)] * 6],
        "moment": [datetime(2020, 1, 2, 3, 4, 5, 6), None, *[datetime(1999, 12, 31)] * 6],
        "tags": [[1.5, 2.0], [], None, [3.0], [-1e-7], [0.0], [4.0], [5.0]],
    }
)
TYPES = ("string", "float64", "int32", "bool", "date32", "timestamp", "list[float64]")


@pytest.mark.parametrize(
    "csv",
    [
        Csv(),
        Csv(null_values=["NA"]),
        Csv(delimiter=";", decimal=","),
        Csv(delimiter="\t", header="none"),
        Csv(dialect="spark"),
        Csv(dialect="rfc4180", header="each", delimiter="|", decimal=",", null_values=("NA", "-")),
    ],
)
def test_what_is_written_is_read(tmp_path: Path, csv: Csv) -> None:
    # Without a declared dialect, texts that Spark would read differently are errors.
    frame = FRAME if csv.dialect else FRAME.filter(~pl.col("text").str.contains(r'["\\]').fill_null(value=False))
    columns = [Column(name, dtype) for name, dtype in zip(frame.columns, TYPES, strict=True)]
    path = tmp_path / "a.csv"
    path.write_bytes(csv_of(frame, csv, header=csv.header != "none"))
    schema = Schema(columns, csv=csv)
    read = pl.concat(read_object(Object("a.csv", path, path.stat().st_size), schema, batch_rows=100))
    assert read.equals(frame.cast({"count": pl.Int32}))
