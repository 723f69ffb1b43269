"""A channel as an iterable of whole batches of tensors.

What one rank yields depends on the seed, the epoch and the layout, and on nothing else. Memory, whatever the size of
the channel: what `channels.reader` states for its blocks, the shuffle buffer (`shuffle_rows` rows as a table, twice
while it is permuted), and two batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import repeat
from typing import Any, Literal

import numpy as np
import polars as pl
import torch
import torch.distributed as dist
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from cleanroom_algo.channels.features import Features
from cleanroom_algo.channels.objects import Object, list_objects
from cleanroom_algo.channels.pieces import Piece
from cleanroom_algo.channels.reader import read_object
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.channels.splitting import count_rows, split_object
from cleanroom_algo.contract.channel import Channel
from cleanroom_algo.data.batch import Batch
from cleanroom_algo.data.fan_out import SLICE_ROWS, Stream, read_share
from cleanroom_algo.data.plan import assign, plan_parts, readers_of
from cleanroom_algo.data.tables import rebatched, shuffled
from cleanroom_algo.data.world import World
from cleanroom_algo.errors import DataStateError

Uneven = Literal["weight", "drop", "pad"]
SHUFFLE_ROWS = 65_536  # a few MB as a table; parts of objects are shuffled besides
READ_ROWS = 65_536  # the size of table at which polars' streaming reader is fastest


class ChannelDataset(IterableDataset[Batch]):
    """The rows of a channel that fall to this rank, as batches of tensors; each row once per epoch over all ranks.

    Every rank yields the same number of batches. Where shards are uneven, `uneven` says how:

    - "weight" (the default, because it loses no row and repeats none): a rank that has run out yields batches of zero
      rows until all have finished; weigh each rank's gradient by its rows.
    - "drop": all ranks end with the shortest one; rows of longer shards are left out in this epoch.
    - "pad": ranks that have run out repeat their own rows from the start of the epoch's order.

    Zero-row batches work with DistributedDataParallel and with fully_shard alike, as every rank takes part in every
    step's collectives.

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
        workers: loader processes of this rank; 0 reads in the rank itself.
        pipe_timeout: seconds that a pipe may stay silent.
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
        self.epoch = 0
        self._step = 0
        self._skip = 0

    # --- how much there is ------------------------------------------------------------------------------------------

    @cached_property
    def rows(self) -> int | None:
        """This rank's rows of an epoch, counted without parsing them; None in Pipe mode."""
        return None if self._loader_rows is None else sum(self._loader_rows)

    @cached_property
    def steps(self) -> int | None:
        """The batches that every rank yields in an epoch, agreed on once by all ranks; None in Pipe mode.

        With several ranks the first use is a collective: all ranks must come here.
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
        """Choose the epoch, counted from 0: another order of the rows, and in Pipe mode another pipe."""
        self.epoch = epoch
        self._step = self._skip = 0

    def state_dict(self) -> dict[str, int]:
        """Return where the iteration stands: a few integers."""
        return {"epoch": self.epoch, "step": self._step, "seed": self.seed, "batch_size": self.batch_size}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where `state_dict` was taken; the layout must be the same.

        Raises:
            DataStateError: CR-DAT-002, the state was taken with another seed or batch size.
        """
        own = {"seed": self.seed, "batch_size": self.batch_size}
        if any(state.get(name) != value for name, value in own.items()):
            raise DataStateError(
                "the position in the data was taken with another seed or batch size",
                expected=", ".join(f"{name} {state.get(name)}" for name in own),
                fix="resume with the options of the job that stopped, or start afresh",
            )
        self.set_epoch(int(state["epoch"]))
        self._skip = int(state["step"])

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        if worker is not None:
            yield from self._batches(worker.id, worker.num_workers, skip=0)
            return
        skip, self._skip = self._skip, 0
        self._step = skip
        for batch in self._equal(self._own(skip), skip):
            self._step += 1
            yield batch

    def _own(self, skip: int) -> Iterator[Batch]:
        """Yield this rank's batches after the first `skip`, before any is added for balance."""
        if not self.workers:
            yield from self._batches(0, 1, skip)
            return
        loader = DataLoader(self, batch_size=None, num_workers=self.workers, multiprocessing_context="forkserver")
        for position, batch in enumerate(loader):
            if position >= skip:
                yield batch

    def _equal(self, batches: Iterator[Batch], skip: int) -> Iterator[Batch]:
        """Yield the same number of batches on every rank."""
        if self.world.size == 1:
            yield from batches
        elif self.steps is None:
            yield from self._until_all_end(batches)
        else:
            yield from self._fill(batches, self.steps - skip)

    def _fill(self, batches: Iterator[Batch], steps: int) -> Iterator[Batch]:
        given = 0
        for batch in batches:
            if given == steps:
                return
            given += 1
            yield batch
        while self.uneven == "pad" and given < steps and self.rows:
            for batch in self._own(0):
                if given == steps:
                    return
                given += 1
                yield batch
        yield from repeat(self._empty(), steps - given)

    def _until_all_end(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        # How long a pipe is shows only at its end, so the ranks ask each other before each step.
        reduce = dist.ReduceOp.MIN if self.uneven == "drop" else dist.ReduceOp.MAX
        while True:
            batch = next(batches, None)
            going = torch.tensor([float(batch is not None)])
            dist.all_reduce(going, op=reduce)
            if not going.item():
                return
            yield self._empty() if batch is None else batch

    def _empty(self) -> Batch:
        return Batch.of(self.features.transform(pl.DataFrame(schema=self.schema.polars_schema())))

    def _batches(self, worker: int, workers: int, skip: int) -> Iterator[Batch]:
        """Yield the batches of one loader, whole but for the last."""
        frames = self._frames(worker, workers)
        if self.shuffle:
            frames = shuffled(frames, self.shuffle_rows, self._random(worker, workers, "rows"))
        for position, frame in enumerate(rebatched(frames, self.batch_size)):
            if position >= skip:
                yield Batch.of(self.features.transform(frame))

    def _frames(self, worker: int, workers: int) -> Iterator[pl.DataFrame]:
        columns = self.features.columns
        if not self.channel.input_mode.has_files:
            stream = Stream(self.channel, self.schema, self.epoch, columns, READ_ROWS, self.pipe_timeout)
            yield from read_share(stream, self.world, rows=max(self.batch_size, SLICE_ROWS))
            return
        share = self._share(worker, workers)
        order = self._random(worker, workers, "pieces").permutation(len(share)) if self.shuffle else range(len(share))
        for position in order:
            obj, piece = share[position]
            yield from read_object(obj, self.schema, batch_rows=READ_ROWS, columns=columns, piece=piece)

    # --- the share --------------------------------------------------------------------------------------------------

    @cached_property
    def _objects(self) -> tuple[Object, ...]:
        return list_objects(self.channel)

    @cached_property
    def _loader_rows(self) -> list[int] | None:
        """Rows of each loader of this rank."""
        if not self.channel.input_mode.has_files:
            return None
        workers = max(self.workers, 1)
        return [
            sum(count_rows(obj, self.schema, piece) for obj, piece in self._share(worker, workers))
            for worker in range(workers)
        ]

    def _share(self, worker: int, workers: int) -> list[tuple[Object, Piece]]:
        readers = readers_of(self.world.with_worker(worker, workers), self.channel.distribution)
        pieces = self._pieces(readers.count)
        owners = assign([weight for _, _, weight in pieces], readers.count)
        return [pieces[position][:2] for position in np.flatnonzero(owners == readers.index).tolist()]

    def _pieces(self, readers: int) -> Sequence[tuple[Object, Piece, int]]:
        """Return all pieces of the objects that this host sees, with their weights in bytes."""
        parts = plan_parts([obj.size for obj in self._objects], readers)
        pieces: list[tuple[Object, Piece, int]] = []
        for obj, count in zip(self._objects, parts, strict=True):
            cut = split_object(obj, self.schema, int(count))
            pieces += [(obj, piece, obj.size // len(cut)) for piece in cut]
        return pieces

    def _random(self, worker: int, workers: int, purpose: str) -> np.random.Generator:
        readers = readers_of(self.world.with_worker(worker, workers), self.channel.distribution)
        return np.random.default_rng([self.seed, self.epoch, self.world.host_rank, readers.index, *purpose.encode()])

    def __getstate__(self) -> dict[str, Any]:
        # A loader process plans for itself; what the ranks agreed on is the rank's affair.
        return {name: value for name, value in vars(self).items() if name not in {"steps", "total_rows"}}
