"""Record batches as arrays, which training and serving compute with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from cleanroom_algo.errors import FeaturesError

A = TypeVar("A")

_LINE_VALUES: Final = 16
"""Values of a cache line of 64 bytes."""


@dataclass(frozen=True, slots=True)
class Lists(Generic[A]):
    """Lists of numbers, one for each row, as arrays or tensors.

    Attributes:
        values: float32, or int64 for integers, axis (item,): the items of all rows one after another.
        offsets: int64, axis (row + 1,): row i has the values from offsets[i] to offsets[i + 1]. torch's EmbeddingBag
            takes both as they are, with `include_last_offset=True`.
    """

    values: A
    offsets: A

    def matrix(self, width: int) -> A:
        """Return lists of one length, with the axes (row, item).

        Raises:
            FeaturesError: CR-SCH-004, a list has another length.
        """
        values: Any = self.values
        offsets: Any = self.offsets
        if (other := int((offsets[1:] - offsets[:-1] != width).sum())) > 0:
            raise FeaturesError(
                f"{other} of {len(offsets) - 1} lists do not have {width} items",
                expected=f"lists of {width} items, as the algorithm requires",
                fix="write lists of the same length, or use `values` and `offsets`",
            )
        return cast("A", values.reshape(-1, width))

    def slice(self, start: int, end: int) -> Lists[A]:
        """Return some of the rows; values share their memory."""
        offsets: Any = self.offsets
        values: Any = self.values
        own = offsets[start : end + 1]
        return Lists(values[int(own[0]) : int(own[-1])], own - own[0])


@dataclass(frozen=True, slots=True)
class Arrays:
    """A record batch as numpy arrays.

    Attributes:
        numeric: float32, axes (row, numeric feature), row-major; NaN and infinity only where a column declares
            nan="keep".
        categorical: int64, axes (row, categorical feature); 0 is null or unknown.
        target: axis (row,): float32 for float and bool targets, int64 for integers and for the classes of strings;
            None where the table has no target.
        texts: by name the strings of text columns, None for nulls.
        lists: by name the columns of lists; a null is an empty list.
    """

    numeric: NDArray[np.float32]
    categorical: NDArray[np.int64]
    target: NDArray[np.float32] | NDArray[np.int64] | None
    texts: Mapping[str, list[str | None]] = field(default_factory=dict)
    lists: Mapping[str, Lists[NDArray[Any]]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.numeric)

    def slice(self, start: int, end: int) -> Arrays:
        """Return some of the rows; they share their memory."""
        target = None if self.target is None else self.target[start:end]
        texts = {name: texts[start:end] for name, texts in self.texts.items()}
        lists = {name: lists.slice(start, min(end, self.rows)) for name, lists in self.lists.items()}
        return Arrays(self.numeric[start:end], self.categorical[start:end], target, texts, lists)


def row_major(columns: Iterable[NDArray[np.float32]], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return columns as one row-major matrix; numpy transposes twice as fast as polars does (measured).

    Args:
        columns: each of `shape[0]` values.
        shape: rows and columns.
    """
    # An odd number of cache lines apart: with a power of two all columns would meet in the same few places of the
    # cache, and a table of 8,192 rows takes twice as long for each row as one of 8,000 (measured).
    width = (shape[0] // _LINE_VALUES + 1 | 1) * _LINE_VALUES
    beside = np.empty((shape[1], width), dtype=np.float32)[:, : shape[0]]
    for place, column in zip(beside, columns, strict=True):
        place[:] = column
    return np.array(beside.T, order="C")
