"""Processes that read for a rank: its own loader processes, and the workers of a DataLoader of the user's code."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from functools import cache
from multiprocessing import current_process, get_context, parent_process
from multiprocessing.context import ForkProcess
from typing import Any

from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from cleanroom_algo.contract.channel import Channel
from cleanroom_algo.data.batch import Batch
from cleanroom_algo.data.world import World
from cleanroom_algo.errors import CleanroomError, ForeignLoaderError, LoaderLostError
from cleanroom_algo.errors.exit_codes import ExitCode


def batches_of(read: Callable[[World], Iterator[Batch]], rank: World, count: int) -> Iterator[Batch]:
    """Yield what `count` loader processes of a rank read, from each in turn.

    Args:
        read: returns what a loader reads; it is pickled.
        rank: the rank's place.
        count: of processes, at least 1.

    Raises:
        LoaderLostError: CR-DAT-006, a process ended before its share did.
        CleanroomError: whatever `read` raises in a process.
    """
    # Importing torch takes most of the start: do it once for all processes and epochs. Not polars, which has threads.
    get_context("forkserver").set_forkserver_preload(["__main__", "torch.utils.data"])
    loader = DataLoader(
        _LoaderProcesses(read, rank),
        batch_size=None,
        num_workers=count,
        multiprocessing_context="forkserver",
        worker_init_fn=_begin,
    )
    batches = iter(loader)
    while (batch := _next(batches, count)) is not None:
        if isinstance(batch, CleanroomError):
            raise batch
        yield batch


def _next(batches: Iterator[Batch | CleanroomError], count: int) -> Batch | CleanroomError | None:
    try:
        return next(batches, None)
    except (RuntimeError, OSError, EOFError) as error:
        # torch has no class for a lost worker: either the next batch or the memory of the last one cannot be reached.
        gone = not isinstance(error, RuntimeError) or str(error).startswith("DataLoader worker (pid")
        if str(error).startswith("Caught ") or not gone:  # an error of the code in a process
            raise
        raise LoaderLostError(
            f"a loader process, one of {count} of this rank, ended before the epoch did",
            expected="loader processes that stay to the end of their share",
            fix="if the machine was short of memory: fewer workers or ranks per host, or a larger instance type",
        ) from error


class _LoaderProcesses(IterableDataset[Batch | CleanroomError]):
    """What each loader process reads; errors are yielded like batches, as torch would turn them into a RuntimeError."""

    def __init__(self, read: Callable[[World], Iterator[Batch]], rank: World) -> None:
        super().__init__()
        self._read = read
        self._rank = rank

    def __iter__(self) -> Iterator[Batch | CleanroomError]:
        worker = get_worker_info()
        assert worker is not None
        try:
            yield from self._read(self._rank.with_worker(worker.id, worker.num_workers))
        except CleanroomError as error:
            yield error


def check_worker(channel: Channel, world: World) -> None:
    """Check that this worker of a DataLoader may read the channel.

    Raises:
        ForeignLoaderError: CR-DAT-004, it may not.
    """
    worker = get_worker_info()
    assert worker is not None
    end_with_parent()
    if world.size > 1 or not channel.input_mode.has_files:
        raise ForeignLoaderError(
            f"{worker.num_workers} processes of a DataLoader read channel {channel.name!r}",
            expected="num_workers=0: ranks agree on their steps, and a pipe has one reader",
            fix="pass workers= to ChannelDataset; in Pipe mode do without",
        )
    if isinstance(current_process(), ForkProcess):  # polars' threads do not exist in a fork, so it would wait forever
        raise ForeignLoaderError(
            f"{worker.num_workers} forked processes of a DataLoader read channel {channel.name!r}",
            expected="new processes, because a forked process has only one of the threads",
            fix='pass multiprocessing_context="forkserver" to the DataLoader, or workers= to ChannelDataset',
        )


@cache
def end_with_parent() -> None:
    """End this process when the process that started it has ended, even by SIGKILL.

    torch's own workers watch their parent. This is the fork server, which lives as long as they do.
    """
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_wait_for, args=(parent,), name="parent", daemon=True).start()


def _wait_for(parent: Any) -> None:
    parent.join()
    os._exit(ExitCode.INTERNAL)


def _begin(_worker: int) -> None:
    end_with_parent()
