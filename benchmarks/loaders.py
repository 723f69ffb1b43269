"""Epochs of batches of tensors, as a training loop takes them: our dataset beside loaders that people write."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from benchmarks.harness import Other, Row, compare
from benchmarks.tables import BATCH_ROWS, NUMBERS, matrix, numbers
from cleanroom_algo.channels.memory import keep_freed_memory
from cleanroom_algo.contract.channel import Channel, InputMode
from cleanroom_algo.contract.paths import Paths
from cleanroom_algo.data.dataset import ChannelDataset
from cleanroom_algo.data.world import World

NAME = "loaders"
ROWS = 1024  # of a batch


class Whole(IterableDataset[Tensor]):
    """Whole batches of an object, as a function of its path yields them: the best that a loader can be given."""

    def __init__(self, read: Callable[[Path], Iterator[Tensor]], path: Path) -> None:
        super().__init__()
        self._read = read
        self._path = path

    def __iter__(self) -> Iterator[Tensor]:
        return self._read(self._path)


class RowByRow(IterableDataset[Tensor]):
    """A tensor for each row of CSV, as most examples have it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def __iter__(self) -> Iterator[Tensor]:
        with self._path.open(newline="") as file:
            for row in csv.reader(file):
                yield torch.tensor([float(field) for field in row])


class Memory(Dataset[Tensor]):
    """A whole object in memory, from which a loader takes rows."""

    def __init__(self, path: Path) -> None:
        self._rows = torch.from_numpy(matrix(pl.read_parquet(path)))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> Tensor:
        return self._rows[row]

    def __getitems__(self, rows: list[int]) -> Tensor:
        return self._rows[rows]


def run(small: bool) -> Iterator[Row]:
    """Measure 1,000,000 rows x 20 float32 in batches of 1024, or a fiftieth of them."""
    keep_freed_memory()
    rows = 20_000 if small else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        channel, path = _channel(folder, "parquet")
        numbers(rows).write_parquet(path)
        yield from _parquet(channel, path)
        channel, path = _channel(folder, "csv")
        numbers(rows).write_csv(path, include_header=False)
        yield from _csv(channel, path)
        channel, path = _channel(folder, "few")
        numbers(rows // 20).write_csv(path, include_header=False)
        row_by_row = Other("a DataLoader, row by row", partial(_by_rows, path), 5.0)
        yield from _compare("CSV in batches of 1024, a twentieth", channel, path, [row_by_row])


def _channel(folder: str, name: str) -> tuple[Channel, Path]:
    channel = Channel(name, Paths(Path(folder)), InputMode.FILE)
    channel.path.mkdir(parents=True)
    return channel, channel.path / "part-00000"


def _parquet(channel: Channel, path: Path) -> Iterator[Row]:
    others = [
        Other("a DataLoader, whole batches of pyarrow", partial(_whole, _pyarrow_parquet, path), 1.0),
        Other("a DataLoader, whole batches of polars", partial(_whole, _polars_parquet, path), 0.85),
    ]
    yield from _compare("Parquet in batches of 1024", channel, path, others)
    in_memory = [Other("a DataLoader, all in memory, lists of rows", partial(_shuffled, path), 1.0)]
    yield from _compare("Parquet in batches of 1024, shuffled", channel, path, in_memory, shuffle=True)


def _csv(channel: Channel, path: Path) -> Iterator[Row]:
    others = [
        Other("a DataLoader, whole batches of pyarrow", partial(_whole, _pyarrow_csv, path), 1.0),
        Other("a DataLoader, whole batches of polars", partial(_whole, _polars_csv, path), 0.85),
    ]
    yield from _compare("CSV in batches of 1024", channel, path, others)


def _compare(what: str, channel: Channel, path: Path, others: list[Other], *, shuffle: bool = False) -> Iterator[Row]:
    return compare(NAME, what, path.stat().st_size / 1e6, partial(_ours, channel, shuffle=shuffle), others)


def _ours(channel: Channel, *, shuffle: bool) -> int:
    return sum(batch.rows for batch in ChannelDataset(channel, NUMBERS, World(), batch_size=ROWS, shuffle=shuffle))


def _whole(read: Callable[[Path], Iterator[Tensor]], path: Path) -> int:
    return _count(DataLoader(Whole(read, path), batch_size=None))


def _shuffled(path: Path) -> int:
    return _count(DataLoader(Memory(path), batch_size=ROWS, shuffle=True, collate_fn=_as_it_is))


def _by_rows(path: Path) -> int:
    return _count(DataLoader(RowByRow(path), batch_size=ROWS))


def _count(loader: DataLoader[Tensor]) -> int:
    return sum(len(batch) for batch in loader)


def _as_it_is(rows: Any) -> Any:
    return rows


def _pyarrow_parquet(path: Path) -> Iterator[Tensor]:
    tables = pq.ParquetFile(path).iter_batches(batch_size=BATCH_ROWS)
    return _sliced(pl.DataFrame(pl.from_arrow(table)) for table in tables)


def _pyarrow_csv(path: Path) -> Iterator[Tensor]:
    names = pc.ReadOptions(column_names=list(NUMBERS.names), block_size=1 << 20)
    options = pc.ConvertOptions(column_types=dict.fromkeys(NUMBERS.names, pa.float32()))
    tables = pc.open_csv(path, read_options=names, convert_options=options)
    return _sliced(pl.DataFrame(pl.from_arrow(table)) for table in tables)


def _polars_parquet(path: Path) -> Iterator[Tensor]:
    return _sliced(pl.scan_parquet(path).collect_batches(chunk_size=BATCH_ROWS, maintain_order=True))


def _polars_csv(path: Path) -> Iterator[Tensor]:
    scan = pl.scan_csv(path, has_header=False, schema=NUMBERS.polars_schema())
    return _sliced(scan.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True))


def _sliced(tables: Iterator[pl.DataFrame]) -> Iterator[Tensor]:
    """Cut tables to batches; the last one of each may be smaller, which costs these loaders less than exact ones."""
    for table in tables:
        for part in table.iter_slices(ROWS):
            yield _tensor(part)


def _tensor(table: pl.DataFrame) -> Tensor:
    return torch.from_numpy(matrix(table))
