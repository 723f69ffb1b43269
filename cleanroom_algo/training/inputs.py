"""The channels of a training job, from the trainer's point of view."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cleanroom_algo.channels.objects import list_objects
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.contract.channel import Channel, Distribution
from cleanroom_algo.contract.environment import Environment
from cleanroom_algo.errors import ChannelNotInJobError

if TYPE_CHECKING:
    import polars as pl

    from cleanroom_algo.channels.features import Features
    from cleanroom_algo.data.dataset import ChannelDataset
    from cleanroom_algo.data.world import World
    from cleanroom_algo.training.options import Options
    from cleanroom_algo.training.signals import StopRequest
    from cleanroom_algo.training.trainer import Trainer

TRAIN_CHANNEL = "train"
VALIDATION_CHANNEL = "validation"
_FIT_ROWS = 65_536  # large enough that the cost of a batch does not count


class Inputs:
    """The channels of a job.

    Args:
        environment: of the job.
        base: the incremental channel, if any; it holds no rows.
    """

    def __init__(self, environment: Environment, base: Channel | None) -> None:
        self._environment = environment
        held = environment.channels.items()
        self._channels = {name: channel for name, channel in held if base is None or name != base.name}
        self._epochs_read: dict[str, int] = {}
        self._delivered: int | None = None  # rows of the pipe read last, where this rank has read it
        self._pipe_rows: dict[str, int | None] = {}

    @property
    def train(self) -> Channel:
        """The channel `train`, or the only one that is neither for validation nor the base model.

        Raises:
            ChannelNotInJobError: CR-CON-006, there is no such channel, or several could be meant.
        """
        if TRAIN_CHANNEL in self._channels:
            return self._channels[TRAIN_CHANNEL]
        others = [channel for name, channel in self._channels.items() if name != VALIDATION_CHANNEL]
        if len(others) == 1:
            return others[0]
        raise ChannelNotInJobError(
            f"which channel to train on cannot be told; the job has {', '.join(self._channels) or 'none'}",
            expected=f"a channel named {TRAIN_CHANNEL!r}, or one channel only",
            fix=f"name the training channel {TRAIN_CHANNEL!r} in dataChannels of the request",
        )

    @property
    def validation(self) -> Channel | None:
        """The channel `validation`, where there is one."""
        return self._channels.get(VALIDATION_CHANNEL)

    def channel(self, name: str) -> Channel:
        """Return a channel by name; "train" also stands for the only one.

        Raises:
            ChannelNotInJobError: CR-CON-006.
        """
        return self.train if name == TRAIN_CHANNEL else self._environment.channel(name)

    def table(self, schema: Schema, name: str) -> pl.DataFrame:
        """Return this host's rows of a channel as one table; in Pipe mode, those of the next epoch."""
        import polars as pl

        frames = list(self._frames(self.channel(name), schema))
        return pl.concat(frames) if frames else pl.DataFrame(schema=schema.polars_schema())

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
            stop: ends the batches of this rank; the others get zero rows from it.
            training: whether rows are shuffled, if the options say so.
        """
        from cleanroom_algo.data.dataset import ChannelDataset

        assert trainer.world is not None
        return ChannelDataset(
            channel,
            trainer.schema,
            trainer.world,
            batch_size=options.batch_size,
            features=trainer.features,
            shuffle=options.shuffle and training,
            drop_last=options.drop_last and training,
            seed=options.seed,
            workers=self._workers(options),
            pipe_timeout=self._environment.settings.pipe_timeout_seconds,
            reading=stop.until_stopped,
            first_pipe=self.epochs_read(channel),
            pipe_rows=self._pipe_rows.get(channel.name),
        )

    def epochs_read(self, channel: Channel) -> int:
        """Return how many epochs of a channel's stream have been read already; 0 for files, which can be read again."""
        return self._epochs_read.get(channel.name, 0)

    def fit_features(self, schema: Schema, world: World | None) -> Features:
        """Fit features on the training channel: each rank its share, merged in the order of the ranks.

        In Pipe mode this takes the first epoch of the stream.
        """
        from cleanroom_algo.channels.fitting import FeaturesFitter

        fitter = FeaturesFitter(schema)
        for frame in self._frames(self.train, schema, world):
            fitter.update(frame)
        if world is not None and not self.train.input_mode.has_files:
            self._check_row_counts(self.train, world)
        if world is None or world.size == 1:
            return fitter.finish()
        from cleanroom_algo.data.collectives import gather

        merged = FeaturesFitter(schema)
        for state in gather(fitter.state_dict(), world):
            part = FeaturesFitter(schema)
            part.load_state_dict(state)
            merged.merge(part)
        return merged.finish()

    def _check_row_counts(self, channel: Channel, world: World) -> None:
        """Have the ranks compare how many rows the pipe read last has had, and keep that for the epochs to come."""
        from cleanroom_algo.data.row_counts import check_row_counts

        pipe = self.epochs_read(channel) - 1
        self._pipe_rows[channel.name] = check_row_counts(channel, pipe, self._delivered, None, world)

    def _frames(self, channel: Channel, schema: Schema, world: World | None = None) -> Iterator[pl.DataFrame]:
        """Yield the rows of this host, or of this rank: whole objects, dealt out in turn."""
        from cleanroom_algo.channels.modes.file import read_object
        from cleanroom_algo.channels.modes.pipe import read_pipe
        from cleanroom_algo.data.fan_out import Stream, read_share

        sharded = channel.distribution is Distribution.SHARDED_BY_S3_KEY
        if not channel.input_mode.has_files:
            epoch = self.epochs_read(channel)
            self._epochs_read[channel.name] = epoch + 1
            timeout = self._environment.settings.pipe_timeout_seconds
            if world is None:
                yield from read_pipe(channel, schema, epoch=epoch, batch_rows=_FIT_ROWS, timeout=timeout)
            else:
                stream = Stream(channel, schema, epoch, None, _FIT_ROWS, timeout)
                self._delivered = yield from read_share(stream, world)
            return
        objects = list_objects(channel)
        if world is not None:
            own, count = (world.local_rank, world.ranks_per_host) if sharded else (world.rank, world.size)
            objects = objects[own::count]
        for each in objects:
            yield from read_object(each, schema, batch_rows=_FIT_ROWS)

    def _workers(self, options: Options) -> int:
        if options.workers is not None:
            return options.workers
        return self._environment.settings.loader_workers or 0
