"""Values that ranks exchange."""

from __future__ import annotations

from typing import TypeVar

from cleanroom_algo.data.world import World

T = TypeVar("T")


def gather(value: T, world: World) -> list[T]:
    """Return every rank's value, in the order of the ranks; a collective, which all ranks must run.

    Args:
        value: of this rank; it is pickled.
        world: this rank's place; several ranks need a process group.
    """
    if world.size == 1:
        return [value]
    import torch.distributed as dist  # a single rank needs no torch

    values = [value] * world.size
    dist.all_gather_object(values, value)
    return values
