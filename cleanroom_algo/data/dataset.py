"""A channel as an iterable of complete batches of tensors.

What one rank yields depends only on the seed, the epoch and the layout. Before the first batch it reads only what it
needs to cut objects that several ranks share.

Memory of one rank, for a channel of any size:

    what `channels.modes.file` states for its blocks (in Pipe mode, what `data.fan_out` states)
    + 2 x shuffle_rows x the bytes of a row as a table, where rows are shuffled
    + 2 x max(batch_size, 8,192) x the bytes of a row as tensors, and with several ranks 32 batches (`data.step_sync`)
    + the list of the channel's objects, about 300 bytes for each
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import cycle, repeat
from typing import Any

import numpy as np
import polars as pl
import torch
from torch.utils.data import IterableDataset, get_worker_info

from cleanroom_algo.channels.features import Features
from cleanroom_algo.channels.modes.file import read_object
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.contract.channel import Channel
from cleanroom_algo.data.batch import Batch, batches
from cleanroom_algo.data.collectives import gather
from cleanroom_algo.data.fan_out import SLICE_ROWS, Stream, read_share
from cleanroom_algo.data.listings import check_listings
from cleanroom_algo.data.loaders import batches_of, check_worker
from cleanroom_algo.data.partition import Partition, coalesce
from cleanroom_algo.data.plan import readers_of
from cleanroom_algo.data.row_counts import PipesRead, check_row_counts
from cleanroom_algo.data.step_sync import Uneven, step_sync
from cleanroom_algo.data.tables import multiples, shuffled
from cleanroom_algo.data.world import World
from cleanroom_algo.errors import PipeInUseError

SHUFFLE_ROWS = 65_536  # a few MB as a table; parts of objects are also shuffled
READ_ROWS = 65_536  # the table size at which polars' streaming reader is fastest


class ChannelDataset(IterableDataset[Batch]):
    """The rows of a channel that this rank gets, as batches of tensors; over all ranks, each row once per epoch.

    Every rank yields the same number of batches. If shards are uneven, `uneven` says how:

    - "weight" (the default, because it loses no row and repeats none): a rank that has run out yields batches of zero
      rows until all have finished; weigh each rank's gradient by its rows.
    - "drop": all ranks end with the shortest one; rows of longer shards are left out in this epoch.
    - "pad": ranks that have run out repeat their own rows from the start of the epoch's order; in Pipe mode, where no
      row can be read again, the last batches, up to 32.

    Zero-row batches work with DistributedDataParallel and with fully_shard alike, as every rank takes part in every
    step's collectives.

    Iterating again starts the next iteration from the beginning; in Pipe mode, where nothing can be read twice, it
    takes the next pipe, after the previous iteration has ended or was closed. A DataLoader accepts the dataset with
    `batch_size=None`. It may have worker processes (`num_workers`) if there is one rank. Several ranks agree on their
    steps in the ranks themselves: use `workers`.

    Args:
        channel: of the job.
        schema: the declared columns.
        world: this rank's place.
        batch_size: rows of a batch, at least 1; the last one of a loader may be smaller.
        features: the preprocessing; by default numbers as they are.
        shuffle: whether rows are shuffled: parts of objects among each other, rows within a bounded buffer.
        seed: of the shuffling.
        uneven: see above.
        drop_last: whether the last batch of a loader is left out where it is smaller.
        shuffle_rows: size of the buffer in rows, at least 1.
        workers: loader processes of this rank; 0 reads in the rank itself, as Pipe mode always does. They import the
        script that is run, so it must do its work below `if __name__ == "__main__"`.
        pipe_timeout: seconds that a pipe may deliver nothing.
        reading: wraps this rank's own batches where they are read, and may end them early; the ranks stay in step.
        pipes: what this container has read of the channel's pipes, shared with other readers of them; None: nothing
            yet.

    Raises:
        PipeCutShortError: CR-DAT-007, on every rank: a pipe had fewer rows than it should have.
        ObjectsDifferError: CR-DAT-005, on every rank: the ranks have listed different objects.
        ForeignLoaderError: CR-DAT-004, iterated in a DataLoader's own processes on several ranks or in Pipe mode.
        LoaderLostError: CR-DAT-006, one of the loader processes was killed.
        PipeInUseError: CR-CHN-008, iterated in Pipe mode while an earlier iteration has the pipe open.
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
        drop_last: bool = False,
        shuffle_rows: int = SHUFFLE_ROWS,
        workers: int = 0,
        pipe_timeout: float = 600.0,
        reading: Callable[[Iterator[Batch]], Iterator[Batch]] = iter,
        pipes: PipesRead | None = None,
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
        self.drop_last = drop_last
        self.shuffle_rows = shuffle_rows
        self.workers = workers if channel.input_mode.has_files else 0  # a pipe has one reader: `data.fan_out`
        self.pipe_timeout = pipe_timeout
        self._reading = reading
        # In shared memory, so that the persistent workers of a DataLoader see the next epoch.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]
        self._partition = Partition(channel, schema)
        self._listings_agree = world.size == 1 or not channel.input_mode.has_files
        self._pipes = pipes or PipesRead()
        self._pipe_is_open = False
        self._delivered: int | None = None  # rows of the last pipe, if this rank has read it to its end

    # --- how much there is ------------------------------------------------------------------------------------------

    @cached_property
    def rows(self) -> int | None:
        """The number of rows that this rank gets in an epoch, counted without parsing them; None in Pipe mode."""
        return None if self.loader_rows is None else sum(self.loader_rows)

    @cached_property
    def steps(self) -> int | None:
        """The batches that every rank yields in an epoch, agreed on once by all ranks; None in Pipe mode.

        The first use reads the channel to count its rows (Parquet: the footers). With several ranks it is a collective,
        which all ranks must run. Iterating does not need it.
        """
        if self.loader_rows is None:
            return None
        short = 0 if self.drop_last else self.batch_size - 1
        counts = gather(sum((rows + short) // self.batch_size for rows in self.loader_rows), self.world)
        return min(counts) if self.uneven == "drop" else max(counts)

    @cached_property
    def loader_rows(self) -> list[int] | None:
        """Rows of each loader of this rank in an epoch, counted without parsing them; None in Pipe mode."""
        if not self.channel.input_mode.has_files:
            return None
        workers = max(self.workers, 1)
        return [self._partition.rows(self.world.with_worker(worker, workers)) for worker in range(workers)]

    # --- iteration --------------------------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """The epoch, from 0."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, counted from 0; with shuffling, each epoch has another order of rows.

        In Pipe mode, the pipes come in the order in which they are read, whatever the number of the epoch.
        """
        self._epoch.fill_(epoch)

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        if worker is not None:
            check_worker(self.channel, self.world)
            yield from self._of_loader(self.world.with_worker(worker.id, worker.num_workers))
            return
        if not self._listings_agree:
            check_listings(self.channel.name, self._partition.objects, self.channel.distribution, self.world)
            self._listings_agree = True
        found = self._reading(self._own())
        if self.world.size > 1:
            found = step_sync(found, self.world, uneven=self.uneven, filling=self._filling)
        yield from found
        if not self.channel.input_mode.has_files:
            pipe, before = self._pipes.count - 1, self._pipes.rows
            self._pipes.rows = check_row_counts(self.channel, pipe, self._delivered, before, self.world)

    def empty(self) -> Batch:
        """Return a batch without rows."""
        return Batch.of(self.features.transform(pl.DataFrame(schema=self.schema.polars_schema())))

    def _own(self) -> Iterator[Batch]:
        """Yield this rank's batches, without those that are added for balance."""
        if not self.workers:
            return self._of_loader(self.world)
        _ = self._partition.objects  # listed once for all loader processes
        return batches_of(self._of_loader, self.world, self.workers)

    def _filling(self, last: list[Batch]) -> Iterator[Batch]:
        """Yield without end what this rank yields after it has run out of rows."""
        if self.uneven == "pad" and self.channel.input_mode.has_files:
            while batch := next(again := self._own(), None):
                yield batch
                yield from again
        if self.uneven == "pad" and last:
            yield from cycle(last)
        yield from repeat(self.empty())

    # --- what one loader reads --------------------------------------------------------------------------------------

    def _of_loader(self, loader: World) -> Iterator[Batch]:
        tables = multiples(self._tables(loader), self.batch_size)
        return batches(tables, self.features, self.batch_size, drop_last=self.drop_last)

    def _tables(self, loader: World) -> Iterator[pl.DataFrame]:
        """Yield the rows of a loader in the order of the epoch."""
        read = self._of_files(loader) if self.channel.input_mode.has_files else self._of_pipe()
        return shuffled(read, self.shuffle_rows, self._random(loader, "rows")) if self.shuffle else read

    def _of_files(self, loader: World) -> Iterator[pl.DataFrame]:
        own = self._partition.of(loader)
        if self.shuffle:
            own = [own[position] for position in self._random(loader, "pieces").permutation(len(own))]
        else:
            own = list(coalesce(own))
        for obj, split in own:
            yield from read_object(obj, self.schema, batch_rows=READ_ROWS, columns=self.features.columns, split=split)

    def _of_pipe(self) -> Iterator[pl.DataFrame]:
        if self._pipe_is_open:
            raise PipeInUseError(
                f"an iteration of channel {self.channel.name!r} began while the one before has its pipe open",
                expected="one iteration at a time: the next pipe comes when the previous one has ended",
                fix="read an iterator to its end, close() it, or delete it before the next one",
            )
        columns = self.features.columns
        stream = Stream(self.channel, self.schema, self._pipes.count, columns, READ_ROWS, self.pipe_timeout)
        self._pipes.count += 1
        self._pipe_is_open = True
        self._delivered = None
        try:
            self._delivered = yield from read_share(stream, self.world, rows=max(self.batch_size, SLICE_ROWS))
        finally:
            self._pipe_is_open = False

    def _random(self, loader: World, purpose: str) -> np.random.Generator:
        readers = readers_of(loader, self.channel.distribution)
        return np.random.default_rng([self.seed, self.epoch, loader.host_rank, readers.index, *purpose.encode()])

    def __getstate__(self) -> dict[str, Any]:
        # A loader process only reads; the rank itself agrees with the others on the steps and on the end.
        return {name: value for name, value in vars(self).items() if name not in {"steps", "_reading"}}
