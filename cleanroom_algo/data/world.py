"""The place of a process among all processes that train together."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

from cleanroom_algo.contract.environment import Environment


@dataclass(frozen=True, slots=True)
class World:
    """The layout of a job and this process's place in it; everything else follows from these numbers.

    Attributes:
        hosts: instances of the job, at least 1.
        host_rank: this host's place among the sorted host names, from 0.
        ranks_per_host: training processes on each host, at least 1.
        local_rank: this process's place within its host, from 0.
        workers: loader processes of **each rank** (not of the host), at least 1; 1 also means that the rank itself
        reads.
        worker: this loader's place within its rank, from 0.
    """

    hosts: int = 1
    host_rank: int = 0
    ranks_per_host: int = 1
    local_rank: int = 0
    workers: int = 1
    worker: int = 0

    def __post_init__(self) -> None:
        for place, count in (("host_rank", "hosts"), ("local_rank", "ranks_per_host"), ("worker", "workers")):
            if not 0 <= getattr(self, place) < getattr(self, count):
                raise ValueError(f"{place} {getattr(self, place)} is not below {count} {getattr(self, count)}")

    @classmethod
    def detect(cls, environment: Environment, variables: Mapping[str, str] = os.environ) -> World:
        """Return this process's place, from the job's hosts and the LOCAL_RANK and LOCAL_WORLD_SIZE of torchrun."""
        return cls(
            hosts=environment.resources.host_count,
            host_rank=environment.resources.host_rank,
            ranks_per_host=int(variables.get("LOCAL_WORLD_SIZE", "1")),
            local_rank=int(variables.get("LOCAL_RANK", "0")),
        )

    @property
    def rank(self) -> int:
        """This process's place among all ranks of all hosts, from 0."""
        return self.host_rank * self.ranks_per_host + self.local_rank

    @property
    def size(self) -> int:
        """How many ranks there are on all hosts."""
        return self.hosts * self.ranks_per_host

    def with_worker(self, worker: int, workers: int) -> World:
        """Return the place of a loader process of this rank."""
        return replace(self, worker=worker, workers=workers)
