"""Objects on disk, and reading them whole."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from cleanroom_algo.channels.objects import Object
from cleanroom_algo.channels.pieces import Piece
from cleanroom_algo.channels.reader import read_object
from cleanroom_algo.channels.schema import Schema

MIXED = Schema.of(target="late", flight="int32", carrier="string?", distance="float64?", day="date32?", late="bool?")


def write(directory: Path, key: str, data: bytes) -> Object:
    """Write an object and return it as it would be listed."""
    path = directory / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return Object(key, path, len(data))


def read(obj: Object, schema: Schema, *, batch_rows: int = 1 << 20, piece: Piece | None = None) -> pl.DataFrame:
    """Return all rows of an object as one table."""
    frames = list(read_object(obj, schema, batch_rows=batch_rows, piece=piece))
    assert all(0 < frame.height <= batch_rows for frame in frames)
    return pl.concat([pl.DataFrame(schema=schema.polars_schema()), *frames])


def squeeze(data: bytes) -> bytes:
    """Compress with gzip: the same bytes at any time, so that parallel test runners agree on the tests' names."""
    return gzip.compress(data, mtime=0)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """Cut bytes into chunks of these sizes, in turn."""
    chunks: list[bytes] = []
    position = 0
    while position < len(data):
        chunks.append(data[position : position + sizes[len(chunks) % len(sizes)]])
        position += len(chunks[-1])
    return chunks


def parquet(rows: int, start: int = 0, *, engine: str = "polars", group: int = 50) -> bytes:
    """Return a Parquet file with the columns a, int64, and b, string."""
    frame = pl.DataFrame({"a": range(start, start + rows), "b": [f"t{n % 7}" for n in range(rows)]})
    buffer = io.BytesIO()
    if engine == "polars":
        frame.write_parquet(buffer, row_group_size=group)
    else:
        pq.write_table(frame.to_arrow(), buffer, row_group_size=group, write_page_index=True)
    return buffer.getvalue()
