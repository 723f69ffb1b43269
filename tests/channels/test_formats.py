"""Parquet in streams and RecordIO: whole, damaged, and cut anywhere; and all formats alike."""

from __future__ import annotations

import io
import random
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleanroom_algo.channels.formats import recordio
from cleanroom_algo.channels.formats.parquet.spool import spool_objects
from cleanroom_algo.channels.formats.recordio import MAGIC_BYTES, RecordReader
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.errors import CorruptObjectError, SpoolLimitError
from tests.channels.support import cut, decode_stream, parquet, read, write


@given(
    counts=st.lists(st.integers(0, 120), min_size=1, max_size=4),
    sizes=st.lists(st.integers(1, 700), min_size=1, max_size=4),
    engine=st.sampled_from(["polars", "pyarrow"]),
)
@settings(max_examples=40)
def test_joined_parquet_objects_are_told_apart(counts: list[int], sizes: list[int], engine: str) -> None:
    schema = Schema.of(a="int64", b="string")
    parts = [parquet(count, start=1000 * n, engine=engine) for n, count in enumerate(counts)]
    frames = decode_stream(iter(cut(b"".join(parts), sizes)), schema, source="train", batch_rows=64)
    values = [value for frame in frames for value in frame.get_column("a").to_list()]
    assert values == [1000 * n + row for n, count in enumerate(counts) for row in range(count)]


def test_a_joint_inside_the_data_is_no_end() -> None:
    inner = parquet(5)
    buffer = io.BytesIO()
    table = pa.table({"a": [1, 2], "b": pa.array([b"PAR1PAR1", inner + b"PAR1"], pa.binary())})
    pq.write_table(table, buffer, compression="none", use_dictionary=False)
    outer = buffer.getvalue()
    assert b"PAR1PAR1" in outer
    sizes = []
    for _, path in spool_objects(iter(cut(outer + outer, [100])), source="x"):
        sizes.append(path.stat().st_size)
    assert sizes == [len(outer)] * 2


def test_a_parquet_stream_that_ends_early_or_is_too_large_is_told() -> None:
    data = parquet(100)
    with pytest.raises(CorruptObjectError, match=r"object 1"):
        list(spool_objects(iter([data, data[:-9]]), source="train"))
    with pytest.raises(SpoolLimitError):
        list(spool_objects(iter(cut(data, [64])), source="train", max_bytes=256))


PAYLOADS = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.builds(lambda a, b: a + MAGIC_BYTES + b, st.binary(max_size=9), st.binary(max_size=9)),
    ),
    max_size=8,
)


@given(payloads=PAYLOADS, sizes=st.lists(st.integers(1, 50), min_size=1, max_size=4))
@settings(max_examples=100)
def test_records_survive_framing_however_the_bytes_are_cut(payloads: list[bytes], sizes: list[int]) -> None:
    data = b"".join(map(recordio.pack, payloads))
    assert list(RecordReader(iter(cut(data, sizes)), source="x")) == payloads
    runs = RecordReader(iter(cut(data, sizes)), source="x").fixed()
    assert [bytes(record) for run in runs for record in run] == payloads


def test_a_record_in_parts_is_split_at_the_magic() -> None:
    packed = recordio.pack(b"abcd" + MAGIC_BYTES + b"ef" + MAGIC_BYTES)  # the second one is not aligned
    flags = [word >> 29 for word in np.frombuffer(packed, "<u4")[[1, 4]]]
    assert flags == [1, 3]


def test_records_of_one_size_come_many_at_a_time() -> None:
    data = recordio.pack(b"x" * 84) * 1000
    runs = list(RecordReader(iter(cut(data, [1 << 14])), source="x").fixed())
    assert sum(len(run) for run in runs) == 1000
    assert len(runs) < 20


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (recordio.pack(b"abcdef")[:-4], "ends after"),
        (recordio.pack(b"abcdef") + b"\n#", "inside a record's header"),
        (recordio.pack(b"abcdef") + b"garbage!", "the magic is missing"),
        (recordio.pack(b"abcd" + MAGIC_BYTES + b"e")[:12], "between the parts"),
        (recordio.pack(b"abcd" + MAGIC_BYTES + b"e")[12:], "without a first part"),
        (recordio.pack(b"abcd" + MAGIC_BYTES + b"e")[:12] + recordio.pack(b""), "inside a record"),
    ],
)
@pytest.mark.parametrize("fixed", [False, True])
def test_damaged_records_are_errors(data: bytes, message: str, fixed: bool) -> None:
    reader = RecordReader(iter(cut(data, [3])), source="x")
    with pytest.raises(CorruptObjectError, match=message):
        list(reader.fixed() if fixed else reader)


def test_records_that_hold_objects_are_read_each_by_its_format(tmp_path: Path) -> None:
    schema = Schema.of(a="int64", b="string")
    data = recordio.pack(b"a,b\n1,x") + recordio.pack(b'{"a":2,"b":"y"}') + recordio.pack(parquet(2, 3))
    rows = read(write(tmp_path, "x", data), schema).get_column("a").to_list()
    assert rows == [1, 2, 3, 4]


def test_many_random_rows_agree_over_all_formats(tmp_path: Path) -> None:
    chance = random.Random(0)
    frame = pl.DataFrame(
        {
            "a": [chance.randrange(10**9) for _ in range(5000)],
            "b": [chance.choice(["x", "y,z", 'q"q', ""]) for _ in range(5000)],
        }
    )
    schema = Schema.of(a="int64", b="string")
    buffers: dict[str, io.BytesIO] = {name: io.BytesIO() for name in ("csv", "jsonl", "parquet")}
    frame.write_csv(buffers["csv"], quote_style="non_numeric")
    frame.write_ndjson(buffers["jsonl"])
    frame.write_parquet(buffers["parquet"])
    for name, buffer in buffers.items():
        assert read(write(tmp_path, name, buffer.getvalue()), schema, batch_rows=777).equals(frame), name
