"""Random samples of all rows of all ranks, as a private training needs them.

In each step, each unit is in the sample with the same probability, independently of all others (Poisson sampling). So
samples differ in size and may be empty. The ranks sample their own units with the same probability, which together is
one sample of all units. The sample must be secret, so it does not depend on the option `seed`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from torch import Tensor

from cleanroom_algo.channels.features import Features
from cleanroom_algo.contract.channel import Channel, Distribution
from cleanroom_algo.data.batch import Batch
from cleanroom_algo.data.collectives import gather
from cleanroom_algo.data.world import World
from cleanroom_algo.errors import PrivateTrainingError
from cleanroom_algo.training.inputs import no_rows
from cleanroom_algo.training.torch.privacy import ROW
from cleanroom_algo.training.torch.run import TorchRun


@dataclass(frozen=True, slots=True)
class Sample(Batch):
    """The rows of some units.

    Attributes:
        units: int64, axis (row,): which unit a row belongs to, counted from 0 within the sample.
    """

    units: Tensor | None = None

    @property
    def unit_count(self) -> int:
        """The number of units."""
        return int(self.units.max()) + 1 if self.units is not None and len(self.units) else 0


class Samples:
    """The samples of one training, on the device of this rank. The rank's rows are kept in memory as a table.

    Args:
        run: the training.

    Attributes:
        units: of all ranks.
        rows: of all ranks.
        steps: of an epoch; the expected number of samples with a given unit is 1.
        sampling_rate: the probability that a unit is in a sample.

    Raises:
        PrivateTrainingError: CR-TRN-016, the rows of a unit may be on several hosts, or have no unit.
        NoDataError: CR-TRN-010.
    """

    def __init__(self, run: TorchRun) -> None:
        self._device = run.device
        self._features: Features = run.trainer.features
        self._table = _read(run)
        self._starts, self._order = _groups(self._table, run.options.unit)
        counts = gather((len(self._starts) - 1, self._table.height), run.world)
        self.units = sum(units for units, _ in counts)
        self.rows = sum(rows for _, rows in counts)
        if not self.units:
            raise no_rows(run.rank_run.inputs.train)
        self.steps = math.ceil(self.units / (run.options.batch_size * run.world.size))
        self.sampling_rate = 1 / self.steps
        self._random = np.random.default_rng()  # seeded by the operating system

    def epoch(self, number: int) -> Iterator[tuple[Sample, bool]]:  # noqa: ARG002
        """Yield as many samples as an epoch has steps, each with whether it is the last one."""
        units = len(self._starts) - 1
        for step in range(1, self.steps + 1):
            yield self._sample(np.flatnonzero(self._random.random(units) < self.sampling_rate)), step == self.steps

    def few(self) -> list[Sample]:
        """Return a batch of a few rows, then each of its rows alone; nothing if there are fewer than two rows."""
        rows = np.arange(min(self._table.height, 4))
        return (
            [self._of_rows(rows), *(self._of_rows(rows[place : place + 1]) for place in rows)] if len(rows) > 1 else []
        )

    def _sample(self, units: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Sample:
        parts = [self._order[self._starts[unit] : self._starts[unit + 1]] for unit in units]
        rows = np.concatenate([*parts, np.empty(0, dtype=np.int64)])
        numbers = np.repeat(np.arange(len(units)), [len(part) for part in parts])
        return self._of_rows(rows, numbers)

    def _of_rows(
        self,
        rows: np.ndarray[tuple[int], np.dtype[np.int64]],
        units: np.ndarray[tuple[int], np.dtype[np.intp]] | None = None,
    ) -> Sample:
        batch = Batch.of(self._features.transform(self._table[rows])).to(self._device)
        numbers = torch.from_numpy(np.arange(len(rows)) if units is None else units).to(self._device)
        return Sample(batch.numeric, batch.categorical, batch.target, batch.texts, batch.lists, numbers)


def _read(run: TorchRun) -> pl.DataFrame:
    """Return this rank's rows; if units have several rows, all rows of this rank's units."""
    inputs, world, unit = run.rank_run.inputs, run.world, run.options.unit
    schema = run.trainer.schema
    columns = [name for name in schema.names if name in {*run.trainer.features.columns, *({unit} - {ROW})}]
    empty = pl.DataFrame(schema=schema.polars_schema()).select(columns)
    if unit == ROW or world.size == 1:
        return pl.concat([empty, *inputs.tables(schema, inputs.train, world, columns)])
    _check_sees_all(inputs.train, world, unit)
    # Each rank reads all rows, and keeps those of its own units.
    place = pl.col(unit).cast(pl.String).hash(0) % world.size == world.rank
    return pl.concat([empty, *(table.filter(place) for table in inputs.tables(schema, inputs.train, World(), columns))])


def _check_sees_all(channel: Channel, world: World, unit: str) -> None:
    if world.hosts > 1 and channel.distribution is Distribution.SHARDED_BY_S3_KEY:
        raise PrivateTrainingError(
            f"channel {channel.name!r} is spread over {world.hosts} hosts, and rows of one {unit!r} may lie on several",
            expected="all rows of a unit on one host: the gradient of a unit is bounded as a whole",
            fix='in the request, set s3DataDistributionType to "FullyReplicated" or instanceCount to 1',
        )


def _groups(
    table: pl.DataFrame, unit: str
) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Return the order of the rows by unit, and the positions at which units begin, with the end."""
    if unit == ROW:
        return np.arange(table.height + 1), np.arange(table.height)
    if nulls := table.get_column(unit).null_count():
        raise PrivateTrainingError(
            f"{nulls} rows have no {unit!r}, so that it is not known which unit they belong to",
            expected="a unit for each row",
            fix=f"leave these rows out, for example with WHERE {unit} IS NOT NULL",
        )
    ranks = table.get_column(unit).rank("dense").to_numpy()
    order = np.argsort(ranks, kind="stable")
    starts = np.flatnonzero(np.diff(ranks[order], prepend=-1))
    return np.append(starts, table.height), order
