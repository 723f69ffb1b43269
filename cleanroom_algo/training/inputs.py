"""The channels of a training job, from the trainer's point of view."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.contract.channel import Channel
from cleanroom_algo.contract.environment import Environment
from cleanroom_algo.errors import ChannelNotInJobError, NoDataError

if TYPE_CHECKING:
    import polars as pl

    from cleanroom_algo.channels.features import Features
    from cleanroom_algo.channels.fitting import FeaturesFitter
    from cleanroom_algo.data.dataset import ChannelDataset
    from cleanroom_algo.data.partition import Partition
    from cleanroom_algo.data.row_counts import PipesRead
    from cleanroom_algo.data.world import World
    from cleanroom_algo.training.options import Options
    from cleanroom_algo.training.signals import StopRequest
    from cleanroom_algo.training.trainer import Trainer

log = logging.getLogger(__name__)
TRAIN_CHANNEL = "train"
VALIDATION_CHANNEL = "validation"
_FIT_ROWS = 65_536  # so large that the fixed cost of a batch is small


def alone() -> World:
    """Return the place of a rank that reads all rows of its host."""
    from cleanroom_algo.data.world import World

    return World()


def no_rows(channel: Channel, *, drop_last: bool = False) -> NoDataError:
    """Return the error for a channel without rows on all hosts."""
    from cleanroom_algo.channels.objects import list_objects

    objects = list_objects(channel) if channel.input_mode.has_files else ()
    which = objects[0].key if len(objects) == 1 else f"each of its {len(objects)} objects"
    if not objects:
        why = " on any host"
    elif not any(each.size for each in objects):
        why = f": {which} is empty"
    else:
        why = ", or no complete batch" if drop_last else f": {which} has at most a header"
    return NoDataError(
        f"channel {channel.name!r} has no rows{why}",
        expected="rows to train on",
        fix="check the query of the ML input channel (GetMLInputChannel shows numberOfRecords), or the folder to "
        "which the channel is bound",
    )


class Inputs:
    """The channels of a job.

    Args:
        environment: of the job.
        base: the incremental channel, if any; it contains no rows.
    """

    def __init__(self, environment: Environment, base: Channel | None) -> None:
        self._environment = environment
        held = environment.channels.items()
        self._channels = {name: channel for name, channel in held if base is None or name != base.name}
        self._pipes: dict[str, PipesRead] = {}
        self._partitions: dict[str, Partition] = {}

    @property
    def train(self) -> Channel:
        """The channel `train`, or the only channel that is neither for validation nor the base model.

        Raises:
            ChannelNotInJobError: CR-CON-006, there is no such channel, or it is not clear which one.
        """
        if TRAIN_CHANNEL in self._channels:
            return self._channels[TRAIN_CHANNEL]
        others = [channel for name, channel in self._channels.items() if name != VALIDATION_CHANNEL]
        if len(others) == 1:
            return others[0]
        raise ChannelNotInJobError(
            f"it is not clear which channel to train on; the job has {', '.join(self._channels) or 'none'}",
            expected=f"a channel named {TRAIN_CHANNEL!r}, or one channel only",
            fix=f"name it {TRAIN_CHANNEL!r}: --channel {TRAIN_CHANNEL}=..., or channelName in a request's dataChannels",
        )

    @property
    def validation(self) -> Channel | None:
        """The channel `validation`, if there is one."""
        return self._channels.get(VALIDATION_CHANNEL)

    @property
    def unread(self) -> list[str]:
        """The names of channels that only an own `fit` would read."""
        return [name for name in self._channels if name not in (self.train.name, VALIDATION_CHANNEL)]

    def channel(self, name: str) -> Channel:
        """Return a channel by name; "train" also means the only channel.

        Raises:
            ChannelNotInJobError: CR-CON-006.
        """
        return self.train if name == TRAIN_CHANNEL else self._environment.channel(name)

    def tables(
        self, schema: Schema, channel: Channel, world: World, columns: Sequence[str] | None = None
    ) -> Iterator[pl.DataFrame]:
        """Yield the rows of a channel that this rank gets, in order; over all ranks, each row comes once.

        If there are several ranks, all of them must read to the end, because they then compare what they have read.

        Args:
            schema: the declared columns.
            channel: to read; in Pipe mode, the next epoch.
            world: this rank's place.
            columns: the wanted columns; all if None.
        """
        from cleanroom_algo.channels.modes.file import read_object
        from cleanroom_algo.data.partition import coalesce
        from cleanroom_algo.data.tables import rebatched

        if channel.input_mode.has_files:
            for each, split in coalesce(self._partition(channel, schema, world).of(world)):
                yield from read_object(each, schema, batch_rows=_FIT_ROWS, columns=columns, split=split)
        else:
            # The tables of a pipe end where its writer pauses, but the last bits of sums depend on where tables end.
            yield from rebatched(self._pipe(channel, schema, world, columns), _FIT_ROWS)

    def world(self, local_rank: int, ranks: int) -> World:
        """Return the place of a rank among all.

        Args:
            local_rank: within this host.
            ranks: per host.
        """
        from cleanroom_algo.data.world import World

        resources = self._environment.resources
        return World(resources.host_count, resources.host_rank, ranks, local_rank)

    def dataset(
        self, trainer: Trainer, channel: Channel, options: Options, stop: StopRequest, *, training: bool = True
    ) -> ChannelDataset:
        """Return this rank's batches of a channel.

        Args:
            trainer: with its features and its world.
            channel: to read.
            options: of the trainer.
            stop: ends the batches of this rank; the others then get batches of zero rows from it.
            training: whether rows are shuffled, if the options say so.
        """
        from cleanroom_algo.data.dataset import ChannelDataset

        return ChannelDataset(
            channel,
            trainer.schema,
            trainer.world or alone(),
            batch_size=options.batch_size,
            features=getattr(trainer, "features", None),
            shuffle=options.shuffle and training,
            drop_last=options.drop_last and training,
            seed=options.seed,
            workers=self._workers(options),
            pipe_timeout=self._environment.settings.pipe_timeout_seconds,
            reading=stop.until_stopped,
            pipes=self._pipes_of(channel),
        )

    def _pipes_of(self, channel: Channel) -> PipesRead:
        from cleanroom_algo.data.row_counts import PipesRead

        return self._pipes.setdefault(channel.name, PipesRead())

    def fit_features(
        self, schema: Schema, world: World, options: Options, numeric: Sequence[str] | None = None
    ) -> Features:
        """Fit features on the training channel: each rank fits its share, and the ranks merge in order.

        In Pipe mode, this reads the next epoch of the stream.

        Args:
            schema: the declared columns.
            world: this rank's place.
            options: of the trainer.
            numeric: the columns to standardize, as `FeaturesFitter` takes them.
        """
        from cleanroom_algo.channels.fitting import FeaturesFitter

        new = partial(
            FeaturesFitter,
            schema,
            numeric=numeric,
            max_categories=options.max_categories,
            min_count=options.min_category_count,
        )
        fitter = new()
        for table in self.tables(schema, self.train, world, fitter.columns):
            fitter.update(table)
        if world.size == 1:
            return _finished(fitter)
        from cleanroom_algo.data.collectives import gather

        merged = new()
        for state in gather(fitter.state_dict(), world):
            part = new()
            part.load_state_dict(state)
            merged.merge(part)
        return _finished(merged) if world.rank == 0 else merged.finish()

    def _partition(self, channel: Channel, schema: Schema, world: World) -> Partition:
        """Return how ranks divide the objects of a channel; all ranks must see the same objects."""
        from cleanroom_algo.data.partition import Partition

        if channel.name not in self._partitions:
            self._partitions[channel.name] = partition = Partition(channel, schema)
            if world.size > 1:
                from cleanroom_algo.data.listings import check_listings

                check_listings(channel.name, partition.objects, channel.distribution, world)
        return self._partitions[channel.name]

    def _pipe(
        self, channel: Channel, schema: Schema, world: World, columns: Sequence[str] | None
    ) -> Iterator[pl.DataFrame]:
        """Yield the rows of the next pipe; their number is compared, and kept for later epochs."""
        from cleanroom_algo.data.fan_out import Stream, read_share
        from cleanroom_algo.data.row_counts import check_row_counts

        pipes = self._pipes_of(channel)
        epoch = pipes.count
        pipes.count += 1
        timeout = self._environment.settings.pipe_timeout_seconds
        delivered = yield from read_share(Stream(channel, schema, epoch, columns, _FIT_ROWS, timeout), world)
        pipes.rows = check_row_counts(channel, epoch, delivered, pipes.rows, world)

    def _workers(self, options: Options) -> int:
        if options.workers is not None:
            return options.workers
        return self._environment.settings.loader_workers or 0


def _finished(fitter: FeaturesFitter) -> Features:
    for name, (unknown, found) in fitter.left_out().items():
        log.info(
            "%s: %d of %d categories are rare or exceed max_categories; they get the index of unknown categories",
            name,
            unknown,
            found,
        )
    return fitter.finish()
