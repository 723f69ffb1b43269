"""Going on in the middle of an epoch with another layout: who reads on for whom. Pure functions of layouts.

What a rank reads follows from the seed, the epoch and the layout, so what the ranks of an earlier run have left over is
known from that layout and the steps they did. Each of these remainders goes to one rank of the new layout, or is dealt
out among several.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import polars as pl

from cleanroom_algo.contract.channel import Distribution
from cleanroom_algo.data.tables import deal, rebatched
from cleanroom_algo.data.world import World
from cleanroom_algo.errors import DataStateError


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of an epoch that one layout has read.

    Attributes:
        hosts: of the job.
        ranks: per host.
        workers: loader processes of each rank; 1 where ranks read themselves.
        steps: batches that every rank has taken.
    """

    hosts: int
    ranks: int
    workers: int
    steps: int

    @property
    def layout(self) -> tuple[int, int, int]:
        """Hosts, ranks and workers."""
        return self.hosts, self.ranks, self.workers

    def to_list(self) -> list[int]:
        """Return the segment as JSON values."""
        return list(astuple(self))


@dataclass(frozen=True, slots=True)
class Inheritance:
    """What one rank takes over from a rank of an earlier layout.

    Attributes:
        of: the earlier rank.
        part: of what it left over, from 0.
        parts: into how many it is dealt.
    """

    of: World
    part: int
    parts: int


def inherited(past: Segment, now: World, distribution: Distribution) -> list[Inheritance]:
    """Return what a rank takes over: with all ranks of its layout, the whole of what the earlier ones left.

    Args:
        past: the layout before.
        now: the rank's place.
        distribution: ShardedByS3Key: from ranks of the same host, as no other holds its objects.
    """
    sharded = distribution is Distribution.SHARDED_BY_S3_KEY
    before = past.ranks if sharded else past.hosts * past.ranks
    after, own = (now.ranks_per_host, now.local_rank) if sharded else (now.size, now.rank)
    if before >= after:
        shares = [(rank, 0, 1) for rank in range(own, before, after)]
    else:
        rank = own % before
        shares = [(rank, own // before, -(-(after - rank) // before))]
    host = now.host_rank * past.ranks if sharded else 0
    return [Inheritance(_rank_of(past, host + rank), part, parts) for rank, part, parts in shares]


def part_of(tables: Iterator[pl.DataFrame], share: Inheritance, rows: int) -> Iterator[pl.DataFrame]:
    """Yield the tables of one part, dealt in slices of about `rows` rows."""
    if share.parts == 1:
        yield from tables
        return
    for table in rebatched(tables, rows * share.parts):
        yield list(deal(table, share.parts))[share.part]


def in_turn(loaders: Sequence[Iterator[pl.DataFrame]]) -> Iterator[pl.DataFrame]:
    """Yield from each in turn, as torch's DataLoader does with its workers; one that has ended is passed over."""
    active = list(loaders)
    while active:
        going = []
        for loader in active:
            table = next(loader, None)
            if table is not None:
                going.append(loader)
                yield table
        active = going


def segments_of(state: dict[str, Any], distribution: Distribution, now: World, workers: int) -> tuple[Segment, ...]:
    """Return what of a state's epoch has been read: the last segment is of the present layout.

    Args:
        state: of `ChannelDataset.state_dict`.
        distribution: of the channel.
        now: a rank's place.
        workers: of the present layout, at least 1.

    Raises:
        DataStateError: CR-DAT-002, another number of hosts has other objects.
    """
    found = tuple(Segment(*values) for values in state["segments"])
    if distribution is Distribution.SHARDED_BY_S3_KEY and found[-1].hosts != now.hosts:
        raise DataStateError(
            f"the objects of the channel lie on {now.hosts} host(s), those of the position on {found[-1].hosts}",
            expected="the same number of hosts where ShardedByS3Key gives each its own objects",
            fix="resume on as many hosts, ask for FullyReplicated, or begin the epoch anew",
        )
    if found[-1].layout == (now.hosts, now.ranks_per_host, workers):
        return found
    return (*found, Segment(now.hosts, now.ranks_per_host, workers, 0))


def _rank_of(past: Segment, rank: int) -> World:
    return World(past.hosts, rank // past.ranks, past.ranks, rank % past.ranks)
