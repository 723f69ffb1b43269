"""A channel as an iterable of whole batches of tensors.

What one rank yields depends on the seed, the epoch and the layout, and on nothing else. Before the first batch
nothing is read but what it takes to cut objects that several ranks share.

Memory of one rank, whatever the size of the channel:

    what `channels.modes.file` states for its blocks (in Pipe mode, what `data.fan_out` states)
    + 2 x shuffle_rows x the bytes of a row as a table, where rows are shuffled
    + 2 x max(batch_size, 8,192) x the bytes of a row as tensors, and with several ranks 32 batches (`data.in_step`)
    + the list of the channel's objects, about 300 bytes for each
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain, cycle, islice, repeat
from typing import Any

import numpy as np
import polars as pl
import torch.distributed as dist
from torch.utils.data import IterableDataset, get_worker_info

from cleanroom_algo.channels.features import Features
from cleanroom_algo.channels.modes.file import read_object
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.contract.channel import Channel
from cleanroom_algo.data.batch import Batch, batches
from cleanroom_algo.data.checksums import Checksums
from cleanroom_algo.data.fan_out import SLICE_ROWS, Stream, read_share
from cleanroom_algo.data.in_step import Uneven, in_step
from cleanroom_algo.data.loaders import SharedEpoch, batches_of, check_worker
from cleanroom_algo.data.plan import readers_of
from cleanroom_algo.data.resume import Segment, in_turn, inherited, part_of, segments_of
from cleanroom_algo.data.same_objects import compare_objects
from cleanroom_algo.data.same_rows import compare_rows
from cleanroom_algo.data.shares import Shares, joined
from cleanroom_algo.data.tables import multiples, rebatched, shuffled
from cleanroom_algo.data.world import World
from cleanroom_algo.errors import DataStateError, PipeInUseError

SHUFFLE_ROWS = 65_536  # a few MB as a table; parts of objects are shuffled besides
READ_ROWS = 65_536  # the size of table at which polars' streaming reader is fastest


class ChannelDataset(IterableDataset[Batch]):
    """The rows of a channel that fall to this rank, as batches of tensors; each row once per epoch over all ranks.

    Every rank yields the same number of batches. Where shards are uneven, `uneven` says how:

    - "weight" (the default, because it loses no row and repeats none): a rank that has run out yields batches of zero
      rows until all have finished; weigh each rank's gradient by its rows.
    - "drop": all ranks end with the shortest one; rows of longer shards are left out in this epoch.
    - "pad": ranks that have run out repeat their own rows from the start of the epoch's order; where the rows cannot be
      read again (Pipe mode, or an epoch that another layout began) the last batches, up to 32.

    Zero-row batches work with DistributedDataParallel and with fully_shard alike, as every rank takes part in every
    step's collectives.

    Iterating again begins the epoch anew; in Pipe mode, where nothing can be read twice, it takes the next pipe, once
    the iteration before has ended or was closed. The dataset is a source for a DataLoader or StatefulDataLoader, too,
    with `batch_size=None`. These may have processes of their own (`num_workers`) where there is one rank; several agree
    on their steps in the rank itself: use `workers`.

    Args:
        channel: of the job.
        schema: the declared columns.
        world: this rank's place.
        batch_size: rows of a batch, at least 1; the last one of a loader may be smaller.
        features: the preprocessing; by default numbers as they are.
        shuffle: whether rows are shuffled: parts of objects among each other, rows within a bounded buffer.
        seed: of the shuffling.
        uneven: see above.
        shuffle_rows: rows of the buffer, at least 1.
        workers: loader processes of this rank; 0 reads in the rank itself, as Pipe mode always does. They import the
            script that is run, which must do its work below `if __name__ == "__main__"`.
        pipe_timeout: seconds that a pipe may stay silent.
        reading: wraps this rank's own batches where they are read, and may end them early; the ranks stay in step.
        first_pipe: the number of the channel's first pipe that this container has not read.
        pipe_rows: how many rows an epoch of the pipes has over all hosts, where that is known.

    Raises:
        PipeCutShortError: CR-DAT-007, on every rank, where a pipe had fewer rows than it should have.
        ObjectsDifferError: CR-DAT-005, on every rank, where they have listed different objects.
        ForeignLoaderError: CR-DAT-004, iterated in a DataLoader's own processes on several ranks or in Pipe mode.
        LoaderLostError: CR-DAT-006, one of the loader processes was killed.
        PipeInUseError: CR-CHN-008, iterated in Pipe mode while an iteration before has the pipe open.
    """

    def __init__(
        self,
        channel: Channel,
        schema: Schema,
        world: World,
        *,
        batch_size: int,
        features: Features | None = None,
        shuffle: bool = False,
        seed: int = 0,
        uneven: Uneven = "weight",
        shuffle_rows: int = SHUFFLE_ROWS,
        workers: int = 0,
        pipe_timeout: float = 600.0,
        reading: Callable[[Iterator[Batch]], Iterator[Batch]] = iter,
        first_pipe: int = 0,
        pipe_rows: int | None = None,
    ) -> None:
        super().__init__()
        self.channel = channel
        self.schema = schema
        self.world = world
        self.batch_size = batch_size
        self.features = features or Features.plain(schema)
        self.shuffle = shuffle
        self.seed = seed
        self.uneven = uneven
        self.shuffle_rows = shuffle_rows
        self.workers = workers if channel.input_mode.has_files else 0  # a pipe has one reader: `data.fan_out`
        self.pipe_timeout = pipe_timeout
        self._reading = reading
        self.epoch = 0
        self._shared_epoch = SharedEpoch()
        self._next_pipe = first_pipe
        self._pipe_is_open = False
        self._pipe_rows = pipe_rows
        self._delivered: int | None = None  # rows of the last pipe, where this rank has read it to its end
        self._shares = Shares(channel, schema)
        self._segments = self._begin()
        self._checksums = Checksums()
        self._resumed = False
        self._compared = False

    # --- how much there is ------------------------------------------------------------------------------------------

    @cached_property
    def rows(self) -> int | None:
        """This rank's rows of an epoch, counted without parsing them; None in Pipe mode."""
        return None if self._loader_rows is None else sum(self._loader_rows)

    @cached_property
    def steps(self) -> int | None:
        """The batches that every rank yields in an epoch, agreed on once by all ranks; None in Pipe mode.

        The first use reads the channel to count its rows (Parquet: the footers), and is a collective where there are
        several ranks: all must come here. Iterating does not need it.
        """
        if self._loader_rows is None:
            return None
        own = sum(-(-rows // self.batch_size) for rows in self._loader_rows)
        if self.world.size == 1:
            return own
        counts: list[int] = [0] * self.world.size
        dist.all_gather_object(counts, own)
        return min(counts) if self.uneven == "drop" else max(counts)

    @cached_property
    def total_rows(self) -> int | None:
        """The rows of all ranks in an epoch; None in Pipe mode. With several ranks the first use is a collective."""
        if self.rows is None or self.world.size == 1:
            return self.rows
        counts: list[int] = [0] * self.world.size
        dist.all_gather_object(counts, self.rows)
        return sum(counts)

    # --- iteration --------------------------------------------------------------------------------------------------

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, counted from 0, and with it another order of the rows where they are shuffled.

        Pipes come in the order in which they are read, whatever the epoch is called.
        """
        self._shared_epoch.tell(epoch)
        self._at(epoch)

    def _at(self, epoch: int) -> None:
        self.epoch = epoch
        self._segments = self._begin()
        self._checksums = Checksums()
        self._resumed = False

    def state_dict(self) -> dict[str, Any]:
        """Return where the iteration stands: a few integers, which tell of all ranks what they have read.

        In Pipe mode they hold a checksum of what this rank has read, too.
        """
        return self.after(self.taken)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken, so that over all ranks no row of the epoch is repeated or lost.

        The number of workers and of ranks may be another one, and with FullyReplicated the number of hosts. What is
        left of the epoch is then read without loader processes, in another order than the earlier layout would have.
        In Pipe mode the next pipe is read and what was taken is passed over: the objects must come in the same order,
        which is looked at where the iteration begins.

        Args:
            state: of all ranks the same one, or of each its own.

        Raises:
            DataStateError: CR-DAT-002, the state was taken with another seed, batch size or shuffling; in Pipe mode
                with another layout; with ShardedByS3Key on another number of hosts.
        """
        own = self._order()
        if any(state.get(name) != value for name, value in own.items()):
            raise DataStateError(
                "the position in the data was taken with another seed, batch size or shuffling",
                expected=", ".join(f"{name} {state.get(name)}" for name in own),
                fix="resume with the options of the job that stopped, or start afresh",
            )
        segments = segments_of(state, self.channel.distribution, self.world, self._loaders)
        if len(segments) > 1 and not self.channel.input_mode.has_files:
            raise DataStateError(
                "the position in a pipe was taken with another number of hosts or ranks",
                expected="the same layout: what is left of a pipe is known to those who read it alone",
                fix="resume with the layout of the job that stopped, or begin the epoch anew",
            )
        self._shared_epoch.tell(int(state["epoch"]), taken_up=True)
        self._at(int(state["epoch"]))
        self._segments = segments
        rank, checksum = state.get("read", (None, None))
        self._checksums = Checksums(self.taken, checksum if rank == self.world.rank else None)
        self._resumed = True

    @property
    def taken(self) -> int:
        """Batches of the epoch that this layout has taken since it took it up."""
        return self._segments[-1].steps

    def after(self, steps: int) -> dict[str, Any]:
        """Return the state in which this layout has taken so many batches since it took up the epoch.

        Args:
            steps: as many as were taken; or one less, while the last one is not used yet.
        """
        *past, own = self._segments
        segments = [each.to_list() for each in (*past, replace(own, steps=steps))]
        read = {} if self.channel.input_mode.has_files else {"read": [self.world.rank, self._checksums.at(steps)]}
        return {"epoch": self.epoch, "segments": segments, **self._order(), **read}

    def _order(self) -> dict[str, int]:
        """Return what the order of the rows depends on besides the epoch and the layout."""
        window = self.shuffle_rows if self.shuffle else 0
        return {"seed": self.seed, "batch_size": self.batch_size, "shuffle_rows": window}

    @property
    def _loaders(self) -> int:
        """How many read for this rank: its loader processes, or those of the DataLoader that iterates the dataset."""
        worker = get_worker_info()
        return max(self.workers, 1) if worker is None else worker.num_workers

    def _begin(self) -> tuple[Segment, ...]:
        return (Segment(self.world.hosts, self.world.ranks_per_host, self._loaders, 0),)

    def __iter__(self) -> Iterator[Batch]:
        in_worker = get_worker_info() is not None
        if in_worker and (epoch := self._shared_epoch.news()) is not None:
            self._at(epoch)
        if not self._resumed:
            self._at(self.epoch)
        self._resumed = False
        if self._segments[-1].workers != self._loaders:  # taken up in one process, iterated in others
            self._segments = (*self._segments, *self._begin())
        *past, own = self._segments
        self._compare_objects()
        checksums = self._checksums
        found = self._of_worker(own.steps) if in_worker else self._reading(self._own(own.steps))
        if own.steps and not self.channel.input_mode.has_files:
            found = self._passed_over(found)
        if self.world.size > 1:
            found = in_step(found, self.world.size, uneven=self.uneven, filling=self._filling)
        for step, batch in enumerate(found, own.steps + 1):
            self._segments = (*past, replace(own, steps=step))
            checksums.step(step)
            yield batch
        if not self.channel.input_mode.has_files:
            pipe = self._next_pipe - 1
            self._pipe_rows = compare_rows(self.channel, pipe, self._delivered, self._pipe_rows, self.world)

    def _own(self, skip: int) -> Iterator[Batch]:
        """Yield this rank's batches after the first `skip`, before any is added for balance."""
        if not self.channel.input_mode.has_files:
            return self._checksums.follow(self._of_rank(0))
        if not self.workers or self._past:
            return self._of_rank(skip)
        _ = self._shares.objects  # listed once, for all loader processes
        return islice(batches_of(self._of_loader, self.world, self.workers), skip, None)

    def _passed_over(self, found: Iterator[Batch]) -> Iterator[Batch]:
        """Return the batches after those passed over, where these are the ones taken before; a collective."""
        first = list(islice(found, 1))
        differs = [self._checksums.differs] * self.world.size
        if self.world.size > 1:
            dist.all_gather_object(differs, self._checksums.differs)
        if any(differs):
            raise DataStateError(
                f"the pipe of channel {self.channel.name!r} does not deliver what was read of it before, in that order",
                expected="the same objects in the same order: what was read is passed over, and not looked at again",
                fix="begin the epoch anew; or use File or FastFile mode, where a position means the same in each run",
            )
        return chain(first, found)

    def _of_rank(self, skip: int) -> Iterator[Batch]:
        """Yield in this process what this rank reads of the epoch, after the first `skip` batches."""
        if not self._past and self._segments[-1].workers == 1:
            return self._of_loader(self.world.with_worker(0, 1), skip)
        return batches(self._tables(self.world, self._segments), self.features, self.batch_size, skip=skip)

    def _of_loader(self, loader: World, skip: int = 0) -> Iterator[Batch]:
        """Yield what one loader reads of the epoch, after the first `skip` batches."""
        return batches(multiples(self._rows(loader), self.batch_size), self.features, self.batch_size, skip=skip)

    def _of_worker(self, skip: int) -> Iterator[Batch]:
        """Yield the batches of a process of somebody else's DataLoader; `skip` counts its own."""
        worker = get_worker_info()
        assert worker is not None
        check_worker(self.channel, self.world)
        if not self._past:
            return self._of_loader(self.world.with_worker(worker.id, worker.num_workers), skip)
        # What another layout left over is not divided again.
        return iter(()) if worker.id else self._of_rank(skip)

    def _filling(self, last: list[Batch]) -> Iterator[Batch]:
        """Yield without end what this rank yields once it has run out of rows."""
        if self.uneven == "pad":
            if self.channel.input_mode.has_files and not self._past:
                while batch := next(again := self._own(0), None):
                    yield batch
                    yield from again
            elif last:
                yield from cycle(last)
        yield from repeat(self.empty())

    def empty(self) -> Batch:
        """Return a batch of no rows."""
        return Batch.of(self.features.transform(pl.DataFrame(schema=self.schema.polars_schema())))

    @property
    def _past(self) -> tuple[Segment, ...]:
        """What other layouts have read of this epoch."""
        return self._segments[:-1]

    def _tables(self, rank: World, segments: Sequence[Segment]) -> Iterator[pl.DataFrame]:
        """Yield what a rank of the last segment's layout reads of the epoch, in tables of a batch each."""
        *past, own = segments
        if not past:
            loaders = [rank.with_worker(each, own.workers) for each in range(own.workers)]
            return in_turn([rebatched(self._rows(loader), self.batch_size) for loader in loaders])
        return rebatched(self._left_over(rank, past), self.batch_size)

    def _left_over(self, rank: World, past: Sequence[Segment]) -> Iterator[pl.DataFrame]:
        for share in inherited(past[-1], rank, self.channel.distribution):
            rest = islice(self._tables(share.of, past), past[-1].steps, None)
            yield from part_of(rest, share, self.batch_size)

    def _rows(self, loader: World) -> Iterator[pl.DataFrame]:
        """Yield tables of the rows of one loader, in the epoch's order."""
        frames = self._frames(loader)
        return shuffled(frames, self.shuffle_rows, self._random(loader, "rows")) if self.shuffle else frames

    def _frames(self, loader: World) -> Iterator[pl.DataFrame]:
        columns = self.features.columns
        if not self.channel.input_mode.has_files:
            yield from self._of_pipe(columns)
            return
        share = self._shares.of(loader)
        if self.shuffle:
            share = [share[position] for position in self._random(loader, "pieces").permutation(len(share))]
        else:
            share = list(joined(share))
        for obj, split in share:
            yield from read_object(obj, self.schema, batch_rows=READ_ROWS, columns=columns, split=split)

    def _of_pipe(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        if self._pipe_is_open:
            raise PipeInUseError(
                f"an iteration of channel {self.channel.name!r} began while the one before has its pipe open",
                expected="one iteration at a time: the next pipe comes when the one before is done with",
                fix="read an iterator to its end, close() it, or let go of it before the next one",
            )
        stream = Stream(self.channel, self.schema, self._next_pipe, columns, READ_ROWS, self.pipe_timeout)
        self._next_pipe += 1
        self._pipe_is_open = True
        self._delivered = None
        try:
            self._delivered = yield from read_share(stream, self.world, rows=max(self.batch_size, SLICE_ROWS))
        finally:
            self._pipe_is_open = False

    # --- the share --------------------------------------------------------------------------------------------------

    def _compare_objects(self) -> None:
        """Have the ranks compare what they have listed, before the first of them reads."""
        divided = self.world.size > 1 and self.channel.input_mode.has_files and get_worker_info() is None
        if divided and not self._compared:
            compare_objects(self.channel.name, self._shares.objects, self.channel.distribution, self.world)
        self._compared = True

    @cached_property
    def _loader_rows(self) -> list[int] | None:
        """Rows of each loader of this rank."""
        if not self.channel.input_mode.has_files:
            return None
        workers = max(self.workers, 1)
        return [self._shares.rows(self.world.with_worker(worker, workers)) for worker in range(workers)]

    def _random(self, loader: World, purpose: str) -> np.random.Generator:
        readers = readers_of(loader, self.channel.distribution)
        return np.random.default_rng([self.seed, self.epoch, loader.host_rank, readers.index, *purpose.encode()])

    def __getstate__(self) -> dict[str, Any]:
        # A loader process plans for itself; what the ranks agreed on, and when to end, is the rank's affair.
        return {name: value for name, value in vars(self).items() if name not in {"steps", "total_rows", "_reading"}}
