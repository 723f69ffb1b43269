"""Checks that all ranks that divide a channel see the same objects, because the division follows from the list."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from cleanroom_algo.channels.objects import Object
from cleanroom_algo.contract.channel import Distribution
from cleanroom_algo.data.collectives import gather
from cleanroom_algo.data.world import World
from cleanroom_algo.errors import ObjectsDifferError, Problem


def check_listings(channel: str, objects: Sequence[Object], distribution: Distribution, world: World) -> None:
    """Check that the ranks that share objects have listed the same ones; a collective, which all ranks must run.

    Args:
        channel: its name.
        objects: as this rank has listed them.
        distribution: ShardedByS3Key: the ranks of one host share objects, else all do.
        world: this rank's place.

    Raises:
        ObjectsDifferError: CR-DAT-005, on every rank.
    """
    own = (len(objects), sum(each.size for each in objects), _digest(objects))
    seen = gather(own, world)
    sharing = world.ranks_per_host if distribution is Distribution.SHARDED_BY_S3_KEY else world.size
    groups = [range(first, first + sharing) for first in range(0, world.size, sharing)]
    if all(seen[rank] == seen[group.start] for group in groups for rank in group):
        return
    raise ObjectsDifferError(
        f"{channel}: the ranks have listed different objects",
        expected="the same objects, of the same sizes, on every rank that shares them",
        fix="make sure that nothing writes to or removes from the channel, and start the job again",
        problems=[
            Problem(f"rank {rank}", f"{count} object(s), {size} bytes") for rank, (count, size, _) in enumerate(seen)
        ],
    )


def _digest(objects: Sequence[Object]) -> bytes:
    found = hashlib.blake2b("\0".join(each.key for each in objects).encode("utf-8", "surrogateescape"))
    found.update(np.fromiter((each.size for each in objects), np.int64, len(objects)).tobytes())
    return found.digest()
