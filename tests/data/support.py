"""A channel whose rows are numbers, and what of them was seen."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.contract.channel import Channel, Distribution
from cleanroom_algo.contract.paths import Paths
from cleanroom_algo.data.batch import Batch

SCHEMA = Schema.of(target="y", x="float32", y="float32")


def channel(root: Path, rows: list[int], distribution: Distribution = Distribution.FULLY_REPLICATED) -> Channel:
    """Write a channel with an object for each number of rows; x counts the rows."""
    made = Channel("train", Paths(root), distribution=distribution)
    made.path.mkdir(parents=True)
    number = 0
    for position, count in enumerate(rows):
        lines = [f"{number + i},{(number + i) % 2}\n" for i in range(count)]
        (made.path / f"part-{position:05}").write_text("".join(lines))
        number += count
    return made


def xs(batches: Iterable[Batch]) -> list[int]:
    """Return the rows of batches, by number."""
    return [int(x) for batch in batches for x in batch.numeric[:, 0].tolist()]


def feed(fifo: Path, text: str) -> None:
    """Write a text into a pipe, or as much of it as is wanted."""
    with contextlib.suppress(BrokenPipeError), fifo.open("wb", buffering=0) as pipe:
        pipe.write(text.encode())
