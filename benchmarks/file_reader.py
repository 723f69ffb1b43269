"""Objects of a channel to float32 arrays: our reader beside polars' own, and beside reading the bytes alone."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.harness import Row, pairs
from cleanroom_algo.channels.features import Features
from cleanroom_algo.channels.objects import Object
from cleanroom_algo.channels.reader import read_object
from cleanroom_algo.channels.schema import Column, Schema

COLUMNS = 20
BATCH_ROWS = 65_536  # of the peers, too
SCHEMA = Schema([Column(f"c{number}", "float32", nullable=False) for number in range(COLUMNS)])


def run(small: bool) -> Iterator[Row]:
    """Measure CSV and Parquet of 1,000,000 rows x 20 float32, or of a fiftieth of it."""
    rows = 20_000 if small else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        frame = pl.DataFrame(np.random.default_rng(0).normal(size=(rows, COLUMNS)).astype(np.float32), SCHEMA.names)
        csv_file, parquet_file = Path(folder, "part.csv"), Path(folder, "part.parquet")
        frame.write_csv(csv_file)
        frame.write_parquet(parquet_file, row_group_size=100_000)
        yield _row("CSV to float32", csv_file, "polars batches", _polars(pl.scan_csv, csv_file), goal=0.85)
        few = csv_file.with_name("few.csv")
        frame.head(rows // 50).write_csv(few)
        yield _row("CSV to float32, a fiftieth", few, "csv module, row by row", lambda: _by_rows(few), goal=1)
        yield _row("Parquet to float32", parquet_file, "polars batches", _polars(pl.scan_parquet, parquet_file), 0.85)


def _row(what: str, path: Path, other_name: str, other: Callable[[], object], goal: float) -> Row:
    megabytes = path.stat().st_size / 1e6
    ours, theirs = pairs(lambda: _ours(path), other)
    return Row("file_reader", what, "MB/s", megabytes / ours, megabytes / theirs, other_name, "peer", goal)


def _ours(path: Path) -> int:
    features = Features.plain(SCHEMA)
    obj = Object(path.name, path, path.stat().st_size)
    return sum(features.transform(batch).rows for batch in read_object(obj, SCHEMA, batch_rows=BATCH_ROWS))


def _polars(scan: Callable[..., pl.LazyFrame], path: Path) -> Callable[[], int]:
    options = {"schema": SCHEMA.polars_schema()} if path.suffix == ".csv" else {}

    def read() -> int:
        batches = scan(path, **options).collect_batches(chunk_size=BATCH_ROWS, maintain_order=True)
        return sum(len(batch.to_numpy(order="c")) for batch in batches)

    return read


def _by_rows(path: Path) -> int:
    with path.open(newline="") as file:
        reader = csv.reader(file)
        next(reader)
        return len(np.array([[float(field) for field in row] for row in reader], dtype=np.float32))
