"""Pipe mode, with a feeder in a process of its own: raw blocks, RecordIO and CSV, beside a bare loop over the pipe."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.csv as pc

from benchmarks.harness import Other, Row, compare
from benchmarks.tables import BATCH_ROWS, NUMBERS, matrix, numbers, read_to_matrix
from cleanroom_algo.channels.features import Features
from cleanroom_algo.channels.formats.recordio import pack
from cleanroom_algo.channels.memory import keep_freed_memory
from cleanroom_algo.channels.modes.pipe import PIPE_BYTES, Pipe, read_pipe
from cleanroom_algo.channels.records import read_records
from cleanroom_algo.contract.channel import Channel, InputMode
from cleanroom_algo.contract.paths import Paths

# What a feeder does at best: whole blocks, straight from a file in memory.
FEEDER = """
import fcntl, os, sys
data = memoryview(open(sys.argv[1], "rb").read())
print("ready", flush=True)
for line in sys.stdin:
    with open(line.strip(), "wb", buffering=0) as pipe:
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 1 << 20)
        start = 0
        while start < len(data):
            start += pipe.write(data[start : start + (1 << 20)])
"""
RANK = """
import sys
from pathlib import Path
from benchmarks.tables import BATCH_ROWS, NUMBERS
from cleanroom_algo.channels.features import Features
from cleanroom_algo.channels.memory import keep_freed_memory
from cleanroom_algo.contract.channel import Channel, Distribution, InputMode
from cleanroom_algo.contract.paths import Paths
from cleanroom_algo.data.fan_out import Stream, read_share
from cleanroom_algo.data.world import World

root, ranks, local = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
channel = Channel("train", Paths(Path(root)), InputMode.PIPE)
features, world = Features.plain(NUMBERS), World(ranks_per_host=ranks, local_rank=local)
keep_freed_memory()
print("ready", flush=True)
for line in sys.stdin:
    tables = read_share(Stream(channel, NUMBERS, int(line), batch_rows=BATCH_ROWS), world)
    print(sum(len(features.transform(table).numeric) for table in tables), flush=True)
"""


class Feed:
    """A feeder process over one file, and a new pipe for every reading."""

    def __init__(self, folder: Path, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._epochs = itertools.count()
        self.channel = Channel("train", Paths(folder), InputMode.PIPE)

    def epoch(self) -> int:
        """Make the next pipe, have it fed, and return its number."""
        number = next(self._epochs)
        path = self.channel.fifo(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(path)
        assert self._process.stdin is not None
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        return number


def run(small: bool) -> Iterator[Row]:
    """Measure as a rank does: 1,000,000 rows x 20 float32 as bytes, records of 80 bytes and CSV, or a fiftieth."""
    keep_freed_memory()
    rows = 20_000 if small else 1_000_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = numbers(rows)
        records = folder / "records"
        records.write_bytes(b"".join(pack(row.tobytes()) for row in table.to_numpy(order="c")))
        with _feed(folder / "a", records) as feed:
            raw = Other("a bare loop", partial(_bare, feed), 0.85, "limit")
            size = records.stat().st_size / 1e6
            yield from compare("pipes", "raw blocks", size, partial(_blocks, feed), [raw])
            raw = Other("a bare loop", partial(_bare, feed), 0.6, "limit")
            yield from compare("pipes", "RecordIO, records of 80 bytes", size, partial(_records, feed), [raw])
        text = folder / "part"
        table.write_csv(text, include_header=False)
        with _feed(folder / "b", text) as feed:
            others = [
                Other("ours on the file", partial(read_to_matrix, text, NUMBERS), 0.8),
                Other("pyarrow on the pipe", partial(_pyarrow, feed), 1.0),
                Other("a bare loop", partial(_bare, feed), 0.0, "limit"),
            ]
            size = text.stat().st_size / 1e6
            yield from compare("pipes", "CSV to float32", size, partial(_csv, feed), others)
            with _ranks(feed, 1) as one, _ranks(feed, 2) as two:
                alone = Other("one rank", partial(_shared, feed, one), 0.85)
                yield from compare(
                    "pipes", "CSV to float32, dealt to 2 ranks", size, partial(_shared, feed, two), [alone]
                )


@contextlib.contextmanager
def _feed(folder: Path, file: Path) -> Iterator[Feed]:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", FEEDER, str(file)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield Feed(folder, process)
        finally:
            process.kill()


@contextlib.contextmanager
def _ranks(feed: Feed, count: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Start the ranks of a host, which read an epoch when they are told its number."""
    pipe = subprocess.PIPE
    with contextlib.ExitStack() as stack:
        started = []
        for local in range(count):
            command = [sys.executable, "-c", RANK, str(feed.channel.path.parents[2]), str(count), str(local)]
            process = stack.enter_context(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True))
            stack.callback(process.kill)
            assert process.stdout is not None
            process.stdout.readline()
            started.append(process)
        yield started


def _shared(feed: Feed, ranks: list[subprocess.Popen[str]]) -> int:
    epoch = feed.epoch()
    for rank in ranks:
        assert rank.stdin is not None
        rank.stdin.write(f"{epoch}\n")
        rank.stdin.flush()
    return sum(int(rank.stdout.readline()) for rank in ranks if rank.stdout is not None)


def _bare(feed: Feed) -> int:
    buffer = bytearray(PIPE_BYTES)
    total = 0
    with feed.channel.fifo(feed.epoch()).open("rb", buffering=0) as pipe:
        while count := pipe.readinto(buffer):
            total += count
    return total


def _blocks(feed: Feed) -> int:
    buffer = memoryview(bytearray(PIPE_BYTES))
    total = 0
    with Pipe(feed.channel, feed.epoch()) as pipe:
        while count := pipe.readinto(buffer):
            total += count
    return total


def _records(feed: Feed) -> int:
    return sum(len(records) for records in read_records(feed.channel, epoch=feed.epoch()))


def _csv(feed: Feed) -> int:
    features = Features.plain(NUMBERS)
    with Pipe(feed.channel, feed.epoch()) as pipe:
        return sum(len(features.transform(batch).numeric) for batch in read_pipe(pipe, NUMBERS, batch_rows=BATCH_ROWS))


def _pyarrow(feed: Feed) -> int:
    options = pc.ConvertOptions(column_types=dict.fromkeys(NUMBERS.names, pa.float32()))
    names = pc.ReadOptions(column_names=list(NUMBERS.names), block_size=4 << 20)
    with feed.channel.fifo(feed.epoch()).open("rb", buffering=0) as pipe:
        reader = pc.open_csv(pipe, read_options=names, convert_options=options)
        return sum(len(matrix(pl.DataFrame(pl.from_arrow(batch)))) for batch in reader)
