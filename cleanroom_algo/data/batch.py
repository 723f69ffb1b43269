"""Some rows of a channel, as tensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
import torch
from torch import Tensor

from cleanroom_algo.channels.features import Arrays, Features

GROUP_ROWS: Final = 8192
"""Rows that become tensors together: that has a fixed cost, of several times the work on a batch of 1024 rows. More
rows at once would not stay in the cache."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows of a channel as tensors; possibly none, where a rank has run out of rows before others.

    Attributes:
        numeric: float32, axes (row, numeric feature).
        categorical: int64, axes (row, categorical feature); 0 is null or unknown.
        target: axis (row,): float32 for float and bool targets, int64 for integers; None without a target.
    """

    numeric: Tensor
    categorical: Tensor
    target: Tensor | None

    @classmethod
    def of(cls, arrays: Arrays) -> Batch:
        """Return arrays as tensors that share their memory where that may be written to; else as copies."""
        numeric = torch.from_numpy(np.require(arrays.numeric, requirements="W"))
        categorical = torch.from_numpy(np.require(arrays.categorical, requirements="W"))
        target = None if arrays.target is None else torch.from_numpy(np.require(arrays.target, requirements="W"))
        return cls(numeric, categorical, target)

    @property
    def rows(self) -> int:
        """The number of rows; 0 where there are none."""
        return len(self.numeric)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Batch:
        """Return the batch on a device."""
        return Batch(
            self.numeric.to(device, non_blocking=non_blocking),
            self.categorical.to(device, non_blocking=non_blocking),
            None if self.target is None else self.target.to(device, non_blocking=non_blocking),
        )

    def pin_memory(self) -> Batch:
        """Return the batch in page-locked memory, for asynchronous copies to a GPU."""
        return Batch(
            self.numeric.pin_memory(),
            self.categorical.pin_memory(),
            None if self.target is None else self.target.pin_memory(),
        )


def batches(
    tables: Iterator[pl.DataFrame], features: Features, rows: int, *, drop_last: bool = False
) -> Iterator[Batch]:
    """Yield the rows of tables in order, as batches of `rows` rows but for the last of a table.

    Args:
        tables: whatever their size; no batch has rows of two.
        features: the preprocessing.
        rows: of a batch, at least 1.
        drop_last: whether batches of fewer rows are left out.
    """
    for table in tables:
        whole = table.head(table.height // rows * rows) if drop_last else table
        for group in whole.iter_slices(max(rows, GROUP_ROWS // rows * rows)):
            arrays = features.transform(group)
            for start in range(0, arrays.rows, rows):
                yield Batch.of(arrays.slice(start, start + rows))
