"""The same number of steps on every rank, although no rank knows it in advance.

A collective waits for all ranks, so each rank must know when another one runs out of rows. For each window of batches,
the ranks tell each other how many of them they have. The window grows from one batch, so that the first one comes
immediately, to 32, where asking has no measurable cost (a vote at each step costs 15 to 30 %, `join` 25 %).

Memory: the batches of one window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final, Literal

from cleanroom_algo.data.batch import Batch
from cleanroom_algo.data.collectives import gather
from cleanroom_algo.data.world import World

Uneven = Literal["weight", "drop", "pad"]
WINDOW: Final = 32


def step_sync(
    batches: Iterator[Batch], world: World, *, uneven: Uneven, filling: Callable[[list[Batch]], Iterator[Batch]]
) -> Iterator[Batch]:
    """Yield the batches of this rank, as many as every other rank yields; a collective, which all ranks must run.

    Args:
        batches: this rank's own.
        world: this rank's place.
        uneven: "drop" ends with the shortest rank, the others with the longest.
        filling: yields without end what a rank yields after it has run out; its argument is the rank's last batches.
    """
    ask = 1
    last: list[Batch] = []
    more: Iterator[Batch] | None = None
    while True:
        window = list(islice(batches, ask))
        last = window or last
        counts = gather(len(window), world)
        steps = min(counts) if uneven == "drop" else max(counts)
        yield from window[:steps]
        if len(window) < steps:
            more = more or filling(last)
            yield from islice(more, steps - len(window))
        if steps < ask:
            return
        ask = min(2 * ask, WINDOW)
