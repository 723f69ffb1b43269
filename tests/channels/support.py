"""Objects on disk, reading them whole, and texts that are hard to read."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
from hypothesis import strategies as st

from cleanroom_algo.channels.formats.protocol import Stream, Wanted
from cleanroom_algo.channels.formats.registry import read_stream
from cleanroom_algo.channels.modes.file import read_object
from cleanroom_algo.channels.objects import Object
from cleanroom_algo.channels.schema import Csv, Schema
from cleanroom_algo.channels.splits import Split

MIXED = Schema.of(target="late", flight="int32", carrier="string?", distance="float64?", day="date32?", late="bool?")
ALL = Schema.of(
    s="string?",
    i="int64?",
    u="uint64?",
    h="int8?",
    f="float32? nan=keep",
    d="float64? nan=keep",
    b="bool?",
    day="date32?",
    at="timestamp?",
    csv=Csv(dialect="rfc4180"),
)
DIGITS = st.integers(-(10**45), 10**45).map(str)
SMALL = st.integers(-300, 300).map(str)
# Between two float32, or close to it: where rounding twice differs from rounding once.
MIDDLES = st.builds(lambda n, e: (2**24 + 2 * n + 1) * 2.0**e, st.integers(0, 2**23), st.integers(-30, 30)).map(repr)
INTEGER_MIDDLES = st.builds(
    lambda n, e, near: str((2**24 + 2 * n + 1) * 2**e + near), st.integers(0, 2**23), st.integers(0, 38), SMALL.map(int)
)
NUMBERS = st.one_of(
    DIGITS,
    MIDDLES,
    INTEGER_MIDDLES,
    st.floats().map(json.dumps),
    st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
)
TIMES = st.one_of(
    st.from_regex(r"[ +]?[0-9]{4}-[0-9]{1,2}-[0-3][0-9]", fullmatch=True),
    st.from_regex(
        r"[0-9]{4}-(0[1-9]|1[0-2])-[0-2][0-9][T ][0-2 ][0-9]:[0-5]0:[0-6]0(\.[0-9]{1,9})?(Z|[+-][0-2][0-9]:?[0-6]0)?",
        fullmatch=True,
    ),
    st.sampled_from(["0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-01:00", "0000-01-01", "2013-01-01T24:00:00"]),
)


def write(directory: Path, key: str, data: bytes) -> Object:
    """Write an object and return it as it would be listed."""
    path = directory / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return Object(key, path, len(data))


def read(obj: Object, schema: Schema, *, batch_rows: int = 1 << 20, split: Split | None = None) -> pl.DataFrame:
    """Return all rows of an object as one table."""
    frames = list(read_object(obj, schema, batch_rows=batch_rows, split=split))
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


def decode_stream(
    chunks: Iterator[bytes],
    schema: Schema,
    *,
    source: str,
    batch_rows: int,
    columns: list[str] | None = None,
    concatenated: bool = False,
) -> Iterator[pl.DataFrame]:
    """Read a stream as Pipe mode does, or as that of one object."""
    return read_stream(Stream(chunks, source, concatenated), Wanted(schema, batch_rows, columns))
