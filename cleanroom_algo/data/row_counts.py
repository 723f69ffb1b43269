"""Checks that the pipes of a channel have delivered all rows: a pipe whose writer died looks like one that has ended.

Two things can be checked: hosts that get the same rows get equally many, and no epoch has fewer rows than another.
"""

from __future__ import annotations

from dataclasses import dataclass

from cleanroom_algo.contract.channel import Channel, Distribution
from cleanroom_algo.data.collectives import gather
from cleanroom_algo.data.world import World
from cleanroom_algo.errors import PipeCutShortError, Problem


@dataclass
class PipesRead:
    """What this container has read of a channel in Pipe mode; all readers of the channel share it.

    Attributes:
        count: pipes, one for each epoch: the number of the next one.
        rows: of an epoch over all hosts; None if it is not known.
    """

    count: int = 0
    rows: int | None = None


def check_row_counts(
    channel: Channel, pipe: int, delivered: int | None, before: int | None, world: World
) -> int | None:
    """Return how many rows an epoch has over all hosts; a collective, which all ranks must run.

    Args:
        channel: in Pipe mode.
        pipe: the number of the epoch's pipe.
        delivered: the rows of this host's pipe, on the rank that has read it to its end; None elsewhere.
        before: what this function returned for an earlier epoch; None: nothing is known.
        world: this rank's place.

    Returns:
        `before` where a host has not read its pipe to the end.

    Raises:
        PipeCutShortError: CR-DAT-007, on every rank: a pipe has delivered fewer rows than another pipe or epoch.
    """
    seen = gather(delivered, world)
    of_hosts = [rows for rows in seen[:: world.ranks_per_host] if rows is not None]  # the first rank of each host reads
    if len(of_hosts) < world.hosts:
        return before
    replicated = channel.distribution is Distribution.FULLY_REPLICATED
    total = of_hosts[0] if replicated else sum(of_hosts)
    if not (replicated and len(set(of_hosts)) > 1) and before in (None, total):
        return total
    name = channel.fifo(pipe).name
    problems = [
        Problem(f"{name} of host {number} of {world.hosts}", f"{n} rows") for number, n in enumerate(of_hosts, 1)
    ]
    if before is not None:
        problems.append(Problem("an epoch before", f"{before} rows{'' if replicated else ' on all hosts together'}"))
    raise PipeCutShortError(
        f"{name}: the pipes of channel {channel.name!r} have not delivered the same number of rows",
        expected="as many rows in each epoch and, with FullyReplicated, on each host",
        fix="find out why the writer of the pipe ended during the epoch, and start the job again",
        problems=problems,
    )
