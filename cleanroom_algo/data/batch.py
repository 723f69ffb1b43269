"""Some rows of a channel, as tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from cleanroom_algo.channels.arrays import Arrays, Lists
from cleanroom_algo.channels.features import Features

GROUP_ROWS: Final = 8192
"""Rows that become tensors together: one conversion has a fixed cost of several times the work on 1,024 rows. More rows
at once would not stay in the cache."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows of a channel as tensors; possibly none, where a rank has run out of rows before others.

    Attributes:
        numeric: float32, axes (row, numeric feature).
        categorical: int64, axes (row, categorical feature); 0 is null or unknown.
        target: axis (row,): float32 for float and bool targets, int64 for integers and for the classes of strings; None
            without a target.
        texts: by name the strings of text columns, None for nulls.
        lists: by name the columns of lists of numbers; a null is an empty list.
    """

    numeric: Tensor
    categorical: Tensor
    target: Tensor | None
    texts: Mapping[str, list[str | None]] = field(default_factory=dict)
    lists: Mapping[str, Lists[Tensor]] = field(default_factory=dict)

    @classmethod
    def of(cls, arrays: Arrays) -> Batch:
        """Return arrays as tensors that share the arrays' memory if it is writable; else as copies."""
        target = None if arrays.target is None else _tensor(arrays.target)
        lists = {name: Lists(_tensor(each.values), _tensor(each.offsets)) for name, each in arrays.lists.items()}
        return cls(_tensor(arrays.numeric), _tensor(arrays.categorical), target, arrays.texts, lists)

    @property
    def rows(self) -> int:
        """The number of rows; 0 if there are none."""
        return len(self.numeric)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Batch:
        """Return the batch on a device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """Return the batch in page-locked memory, for asynchronous copies to a GPU."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        target = None if self.target is None else change(self.target)
        lists = {name: Lists(change(each.values), change(each.offsets)) for name, each in self.lists.items()}
        return Batch(change(self.numeric), change(self.categorical), target, self.texts, lists)


def _tensor(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.require(array, requirements="W"))


def batches(
    tables: Iterator[pl.DataFrame], features: Features, rows: int, *, drop_last: bool = False
) -> Iterator[Batch]:
    """Yield the rows of tables in order, as batches of `rows` rows; the last batch of a table may be smaller.

    Args:
        tables: of any size; a batch never contains rows of two tables.
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
