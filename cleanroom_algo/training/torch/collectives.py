"""Values that ranks exchange in training, and the process group for it; see also `data.collectives`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from cleanroom_algo.data.collectives import gather
from cleanroom_algo.data.world import World

COLLECTIVE_TIMEOUT = timedelta(minutes=30)  # a rank may publish for minutes while the others wait

# A group whose last reference is DDP's reducer is destroyed while the interpreter lock is held. There it waits for a
# thread that needs the same lock to release a tensor: about one training in ten hung at its end. The reference here
# keeps the group until the process ends.
_held: list[dist.ProcessGroup] = []


@contextlib.contextmanager
def process_group(world: World, device: torch.device) -> Iterator[None]:
    """Join the other ranks, if there are any, for torch's own collectives: gloo on CPU, nccl on GPU."""
    if world.size == 1:
        yield
        return
    on_gpu = device.type == "cuda"
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
        store=_store(world),
        rank=world.rank,
        world_size=world.size,
        timeout=COLLECTIVE_TIMEOUT,
        device_id=device if on_gpu else None,
    )
    _held.append(dist.distributed_c10d._get_default_group())
    yield
    dist.destroy_process_group()  # only if all went well: after a failure, it could wait for ranks that have ended


def _store(world: World) -> dist.TCPStore:  # type: ignore[name-defined]
    """Return the store in which torch's groups meet; the first rank opens it at a port that is free."""
    connect = partial(dist.TCPStore, os.environ["MASTER_ADDR"], world_size=world.size)  # type: ignore[attr-defined]
    first = connect(port=0, is_master=True, wait_for_workers=False) if world.rank == 0 else None
    port = gather(0 if first is None else first.port, world)[0]
    os.environ["MASTER_PORT"] = str(port)  # for libraries that look for it
    return connect(port=port) if first is None else first


def reduce_sums(values: Tensor) -> Tensor:
    """Return the sums over all ranks; the same tensor if there is one rank."""
    if dist.is_initialized():
        dist.all_reduce(values)
    return values


def reduce_largest(values: Tensor) -> Tensor:
    """Return the largest values over all ranks; the same tensor if there is one rank."""
    if dist.is_initialized():
        dist.all_reduce(values, dist.ReduceOp.MAX)
    return values


def any_rank(flag: bool, device: torch.device) -> bool:
    """Whether the flag is set on any rank."""
    return bool(reduce_sums(torch.tensor([float(flag)], device=device)).item())


def from_rank(value: Any, rank: int = 0) -> Any:
    """Return the value of one rank, on all ranks."""
    if not dist.is_initialized():
        return value
    box = [value]
    dist.broadcast_object_list(box, src=rank)
    return box[0]


def barrier() -> None:
    """Wait for all ranks."""
    if dist.is_initialized():
        dist.barrier()
