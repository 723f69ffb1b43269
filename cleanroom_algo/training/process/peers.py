"""The ranks of a job, joined so that they can exchange values."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from cleanroom_algo.data.collectives import gather, use
from cleanroom_algo.data.exchange import Exchange
from cleanroom_algo.data.world import World
from cleanroom_algo.training.process.job import EXCHANGE_VARIABLE


@contextlib.contextmanager
def joined(world: World) -> Iterator[None]:
    """Wait for all ranks at the beginning and at the end, where there are several."""
    if world.size == 1:
        yield
        return
    host, _, port = os.environ[EXCHANGE_VARIABLE].rpartition(":")
    exchange = Exchange((host, int(port)), world.rank)
    use(exchange)
    gather(None, world)
    yield
    gather(None, world)
    exchange.close()  # not after a failure, whose reason is to be told first


@contextlib.contextmanager
def torch_joined(world: World) -> Iterator[None]:
    """Initialize torch.distributed where the algorithm has imported torch: what it works with will look for it."""
    if world.size == 1 or "torch" not in sys.modules:
        yield
        return
    from cleanroom_algo.training.torch.collectives import process_group
    from cleanroom_algo.training.torch.devices import pick_device

    with process_group(world, pick_device(world.local_rank)):
        yield
