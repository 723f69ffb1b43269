"""Who reads what: pure functions from sizes and layout to shares.

The readers of a channel share its objects in the order of their keys. Imagine all objects laid end to end and cut into
equal spans, one per reader: an object goes to the reader whose span contains the middle of the object. Objects that are
long compared with a span are divided first, so that no share differs from the mean by more than about an eighth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cleanroom_algo.contract.channel import Distribution
from cleanroom_algo.data.world import World

PARTS_PER_SPAN = 8  # pieces of an eighth of a share: enough for balance, few enough that cutting costs nothing


@dataclass(frozen=True, slots=True)
class Readers:
    """The readers that divide the objects that one of them can see.

    Attributes:
        count: how many readers there are.
        index: which of them this is, from 0.
    """

    count: int
    index: int


def readers_of(world: World, distribution: Distribution) -> Readers:
    """Return the readers that share the objects of a loader's host.

    ShardedByS3Key: the platform has divided the objects among the hosts already, so only the ranks and workers of this
    host share. FullyReplicated: every host holds all objects, so all ranks and workers of all hosts share.
    """
    if distribution is Distribution.SHARDED_BY_S3_KEY:
        ranks, rank = world.ranks_per_host, world.local_rank
    else:
        ranks, rank = world.size, world.rank
    return Readers(ranks * world.workers, rank * world.workers + world.worker)


@dataclass(frozen=True, slots=True)
class Share:
    """What one reader reads: parts of objects, in order.

    Attributes:
        objects: the position of the object, axis (part,).
        parts: which part of the object, from 0, axis (part,).
        counts: into how many parts the object is divided, axis (part,).
    """

    objects: NDArray[np.int64]
    parts: NDArray[np.int64]
    counts: NDArray[np.int64]

    def runs(self) -> Iterator[tuple[int, range, int]]:
        """Yield each object of the share once: its position, the parts that are read, and the number of its parts."""
        if not len(self.objects):
            return
        begins = np.flatnonzero(np.diff(self.objects, prepend=-1))
        lengths = np.diff(begins, append=len(self.objects))
        columns = (self.objects[begins], self.parts[begins], lengths, self.counts[begins])
        for position, first, length, count in zip(*(column.tolist() for column in columns), strict=True):
            yield position, range(first, first + length), count


def share_of(sizes: Sequence[int] | NDArray[np.int64], readers: Readers) -> Share:
    """Return which parts of which objects a reader reads; over all readers each part of each object is read once.

    Args:
        sizes: bytes of the objects in the order of their keys, axis (object,).
        readers: those who divide them, and which of them this is.
    """
    bytes_of = np.asarray(sizes, dtype=np.int64)
    counts = plan_parts(bytes_of, readers.count)
    owners = assign(np.repeat(bytes_of / counts, counts), readers.count)
    own = np.flatnonzero(owners == readers.index)
    begins = np.cumsum(counts) - counts
    objects = np.searchsorted(begins, own, side="right") - 1
    return Share(objects, own - begins[objects], counts[objects])


def plan_parts(sizes: Sequence[int] | NDArray[np.int64], readers: int) -> NDArray[np.int64]:
    """Return the number of parts into which each object should be divided.

    Args:
        sizes: bytes of the objects, axis (object,).
        readers: at least 1.

    Returns:
        Axis (object,), each at least 1; 1 for an object that is short compared with a reader's share.
    """
    bytes_of = np.asarray(sizes, dtype=np.int64)
    if readers == 1 or not bytes_of.sum():
        return np.ones(len(bytes_of), dtype=np.int64)
    part = max(bytes_of.sum() / readers / PARTS_PER_SPAN, 1.0)
    parts: NDArray[np.int64] = np.maximum(np.ceil(bytes_of / part).astype(np.int64), 1)
    return parts


def assign(weights: Sequence[int] | NDArray[np.int64], readers: int) -> NDArray[np.int64]:
    """Return the reader of each piece: contiguous and in order, by the middle of the piece.

    Args:
        weights: of the pieces in their order, axis (piece,); bytes or rows.
        readers: at least 1.

    Returns:
        Axis (piece,), ascending, each in 0..readers-1.
    """
    weight_of = np.asarray(weights, dtype=np.float64)
    # Pieces without weight are also spread: an object may contain rows although its size is not known.
    weight_of = np.where(weight_of > 0, weight_of, 1e-9)
    middles = np.cumsum(weight_of) - weight_of / 2
    span = max(weight_of.sum() / readers, 1e-12)
    owners: NDArray[np.int64] = np.minimum((middles / span).astype(np.int64), readers - 1)
    return owners
