"""Values that ranks exchange."""

from __future__ import annotations

from typing import TypeVar

from cleanroom_algo.data.exchange import Exchange
from cleanroom_algo.data.world import World

T = TypeVar("T")

_exchanges: list[Exchange] = []


def use(exchange: Exchange) -> None:
    """Let the ranks of this process's job exchange values there, instead of in a process group of torch."""
    _exchanges[:] = [exchange]


def gather(value: T, world: World) -> list[T]:
    """Return every rank's value, in the order of the ranks; a collective, which all ranks must run.

    Args:
        value: of this rank; it is pickled.
        world: this rank's place; several ranks need an exchange, or a process group of torch.

    Raises:
        RankLostError: CR-TRN-003; RendezvousError: CR-TRN-004.
    """
    if world.size == 1:
        return [value]
    if _exchanges:
        return _exchanges[0].gather(value, world.size)
    import torch.distributed as dist  # of a program that torchrun has started

    values = [value] * world.size
    dist.all_gather_object(values, value)
    return values
