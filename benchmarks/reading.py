"""Reading a channel: planning, the time to its first batch, and memory as the data grows tenfold."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.harness import Row, pairs
from benchmarks.tables import NUMBERS, numbers
from cleanroom_algo.contract.channel import Channel, Distribution, InputMode
from cleanroom_algo.contract.paths import Paths
from cleanroom_algo.data.dataset import ChannelDataset
from cleanroom_algo.data.plan import readers_of, share_of
from cleanroom_algo.data.world import World

NAME = "reading"
BATCH_ROWS = 4096
TENFOLD = 10
# Reads a channel to its end in a process of its own and prints the most memory that it had, in MB.
READ = """
import re, sys
from pathlib import Path
from benchmarks.tables import NUMBERS
from cleanroom_algo.channels.memory import keep_freed_memory
from cleanroom_algo.contract.channel import Channel, InputMode
from cleanroom_algo.contract.paths import Paths
from cleanroom_algo.data.dataset import ChannelDataset
from cleanroom_algo.data.world import World

keep_freed_memory()
channel = Channel("train", Paths(Path(sys.argv[1])), InputMode(sys.argv[2]))
rows = sum(batch.rows for batch in ChannelDataset(channel, NUMBERS, World(), batch_size=4096))
# Not ru_maxrss, in which a child starts with the peak of its parent.
print(rows, int(re.search(r"VmHWM:\\s+([0-9]+)", Path("/proc/self/status").read_text())[1]) / 1000)
"""


def run(small: bool) -> Iterator[Row]:
    """Measure with objects of 200,000 rows x 20 float32 (37 MB as CSV) and of ten times as many.

    Args:
        small: a hundredth of the rows and of the objects.
    """
    yield _planning(10_000 if small else 1_000_000)
    rows = 2_000 if small else 200_000
    with tempfile.TemporaryDirectory() as name:
        few, many = (_channel(Path(name) / each, count) for each, count in (("1", rows), ("10", rows * TENFOLD)))
        ours, other = pairs(lambda: _first(many), lambda: _first(few), 0 if small else 9)
        what = "first batch of an object ten times as large"
        yield Row(NAME, what, "s", ours, other, "the smaller object", "limit", 0.8, True)
        modes = [InputMode.PIPE] if small else [InputMode.PIPE, InputMode.FAST_FILE]
        for mode in modes if sys.platform == "linux" else ():
            peaks = [_peak(channel, mode, rows * times) for channel, times in ((many, TENFOLD), (few, 1))]
            what = f"peak memory, ten times the data, {mode.value}"
            yield Row(NAME, what, "MB", peaks[0], peaks[1], "a tenth of the data", "limit", 0.9, True)


def _planning(objects: int) -> Row:
    sizes = np.random.default_rng(0).integers(1, 10**9, objects)
    readers = readers_of(World(hosts=5, host_rank=2, ranks_per_host=8, local_rank=3), Distribution.FULLY_REPLICATED)

    def plan() -> None:
        for _position, _parts, _count in share_of(sizes, readers).runs():
            pass

    taken, _ = pairs(plan, lambda: None, 3)
    what = f"planning {objects:,} objects, 5 hosts x 8 ranks"
    return Row(NAME, what, "s", taken, 1.0, "a second", "limit", 1.0, True)


def _channel(root: Path, rows: int) -> Channel:
    channel = Channel("train", Paths(root), InputMode.FAST_FILE)
    channel.path.mkdir(parents=True)
    numbers(rows).write_csv(channel.path / "part-0", include_header=False)
    return channel


def _first(channel: Channel) -> None:
    batches = iter(ChannelDataset(channel, NUMBERS, World(), batch_size=BATCH_ROWS))
    assert next(batches).rows
    batches.close()  # type: ignore[attr-defined]


def _peak(channel: Channel, mode: InputMode, rows: int) -> float:
    root = channel.path.parents[2]
    feeder = None
    if mode is InputMode.PIPE:
        fifo = channel.fifo(0)
        os.mkfifo(fifo)
        feeder = threading.Thread(target=_feed, args=(channel.path / "part-0", fifo))
        feeder.start()
    done = subprocess.run([sys.executable, "-c", READ, root, mode.value], check=True, capture_output=True, text=True)
    if feeder is not None:
        feeder.join()
    seen, peak = done.stdout.split()
    assert int(seen) == rows
    return float(peak)


def _feed(source: Path, fifo: Path) -> None:
    with fifo.open("wb", buffering=0) as pipe, source.open("rb") as file:
        while block := file.read(1 << 20):
            pipe.write(block)
