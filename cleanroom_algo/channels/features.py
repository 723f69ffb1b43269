"""Fitted preprocessing that travels in the artifacts: what the model saw in training, it sees in serving.

Numbers are standardised, categories become indices of a vocabulary. Fitting streams over record batches and merges, so
that each rank fits its share and the ranks merge their states.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cleanroom_algo.channels.schema import Column, Schema
from cleanroom_algo.errors import FeaturesError, Problem

FORMAT_VERSION: Final = 1

_FEW_ROWS: Final = 64
"""Up to here a dictionary is quicker than an expression of polars, whose fixed cost is a quarter of a millisecond."""

_LINE_VALUES: Final = 16
"""Values of a cache line of 64 bytes."""


@dataclass(frozen=True, slots=True)
class Arrays:
    """A record batch as numpy arrays.

    Attributes:
        numeric: float32, axes (row, numeric feature), row-major, never NaN.
        categorical: int64, axes (row, categorical feature); 0 is null or unknown.
        target: axis (row,): float32 for float and bool targets, int64 for integers; None where the table has no target.
    """

    numeric: NDArray[np.float32]
    categorical: NDArray[np.int64]
    target: NDArray[np.float32] | NDArray[np.int64] | None

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.numeric)

    def slice(self, start: int, end: int) -> Arrays:
        """Return some of the rows; they share their memory."""
        target = None if self.target is None else self.target[start:end]
        return Arrays(self.numeric[start:end], self.categorical[start:end], target)


@dataclass(frozen=True, slots=True)
class NumericFeature:
    """A number, standardised as (value - mean) / std; a missing value becomes the mean, so 0."""

    name: str
    mean: float = 0.0
    std: float = 1.0


@dataclass(frozen=True, slots=True)
class CategoricalFeature:
    """A category: the index of its text in the vocabulary, counted from 1; 0 for null and for unknown texts."""

    name: str
    vocabulary: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Scales:
    """The numeric features as arrays, one element for each.

    Attributes:
        single: which of them are computed with in float32.
        mean, std: of each.
        narrow_mean, narrow_std: the same in float32.
        all_single: whether all of them are computed with in float32.
        texts: whether some are dates or times.
    """

    single: NDArray[np.bool_]
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    narrow_mean: NDArray[np.float32]
    narrow_std: NDArray[np.float32]
    all_single: bool
    texts: bool


@dataclass(frozen=True)
class Features:
    """The fitted features of a schema.

    Attributes:
        schema: the schema they were fitted on.
        numeric: the columns of `Arrays.numeric`, in order.
        categorical: the columns of `Arrays.categorical`, in order.
    """

    schema: Schema
    numeric: tuple[NumericFeature, ...]
    categorical: tuple[CategoricalFeature, ...] = ()

    @classmethod
    def plain(cls, schema: Schema) -> Features:
        """Return features that pass every number through as it is (missing becomes 0); strings are not used."""
        return cls(schema, tuple(NumericFeature(c.name) for c in schema.features if c.dtype != "string"))

    @property
    def numeric_size(self) -> int:
        """The number of columns of `Arrays.numeric`."""
        return len(self.numeric)

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Per categorical feature the number of indices, 0 included: the size of its embedding table."""
        return tuple(len(feature.vocabulary) + 1 for feature in self.categorical)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that `transform` needs, in the schema's order; the target is used where the table has it."""
        used = {f.name for f in self.numeric} | {f.name for f in self.categorical}
        return tuple(name for name in self.schema.names if name in used or name == self.schema.target)

    def transform(self, frame: pl.DataFrame) -> Arrays:
        """Return a record batch as arrays.

        Args:
            frame: a table with the columns of the features, typed as the schema says; the target may be absent.

        Raises:
            FeaturesError: CR-SCH-004, a column is not there, or the target holds a null or a number beyond int64.
        """
        present = frame.columns
        missing = [] if present == self._needed else [name for name in self._needed if name not in present]
        if missing:
            raise FeaturesError(
                f"the table lacks {len(missing)} column(s) of the features",
                expected="the columns that the features were fitted on",
                fix="read the table with the schema of the artifacts",
                problems=[Problem(name, "is not in the table") for name in missing],
            )
        return Arrays(self._numeric(frame), self._categorical(frame), self._target(frame))

    @cached_property
    def take_values(self) -> bool:
        """Whether `transform_values` can be used: no dates or times, no categories but texts."""
        categories = {self.schema.column(feature.name).dtype for feature in self.categorical}
        return not self._scales.texts and categories <= {"string"}

    def transform_values(self, rows: Sequence[Sequence[Any]], names: Sequence[str]) -> Arrays:
        """Return a few rows as the arrays that `transform` makes of a table of them, bit for bit; without a target.

        Args:
            rows: values as `CsvDecoder.values` returns them.
            names: of their columns, among them those of the features.
        """
        positions = {name: position for position, name in enumerate(names)}
        categorical = np.empty((len(rows), len(self.categorical)), dtype=np.int64)
        for number, feature in enumerate(self.categorical):
            words, position = self._words[number], positions[feature.name]
            categorical[:, number] = [words.get(row[position], 0) for row in rows]
        with np.errstate(invalid="ignore", over="ignore"):
            numeric = _finite(self._numeric_of_values(rows, positions))
        return Arrays(numeric, categorical, None)

    def to_dict(self) -> dict[str, Any]:
        """Return the features as JSON values."""
        return {
            "format_version": FORMAT_VERSION,
            "schema": self.schema.to_dict(),
            "numeric": [{"name": f.name, "mean": f.mean, "std": f.std} for f in self.numeric],
            "categorical": [{"name": f.name, "vocabulary": list(f.vocabulary)} for f in self.categorical],
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Features:
        """Return the features of `to_dict`'s form.

        Raises:
            FeaturesError: CR-SCH-004, the form is wrong.
            InvalidSchemaError: CR-SCH-001, the stored schema is wrong.
        """
        try:
            if state["format_version"] != FORMAT_VERSION:
                raise ValueError("unknown format_version")
            schema = Schema.from_dict(state["schema"])
            numeric = tuple(NumericFeature(str(f["name"]), float(f["mean"]), float(f["std"])) for f in state["numeric"])
            categorical = tuple(
                CategoricalFeature(str(f["name"]), tuple(str(word) for word in f["vocabulary"]))
                for f in state["categorical"]
            )
            for name in [f.name for f in numeric] + [f.name for f in categorical]:
                schema.column(name)
        except (KeyError, TypeError, ValueError) as error:
            raise FeaturesError(
                "the stored features do not have the form of features",
                expected=f"what Features.to_dict() returns, format_version {FORMAT_VERSION}",
                fix="train again, or take the features.json of a sound version",
            ) from error
        return cls(schema, numeric, categorical)

    @cached_property
    def _numeric_names(self) -> list[str]:
        return [feature.name for feature in self.numeric]

    @cached_property
    def _needed(self) -> list[str]:
        return [name for name in self.columns if name != self.schema.target]

    def _numeric(self, frame: pl.DataFrame) -> NDArray[np.float32]:
        with np.errstate(invalid="ignore", over="ignore"):
            if frame.height <= _FEW_ROWS or not self.numeric:
                matrix = self._numeric_of_few(frame)
            else:
                matrix = self._numeric_of_many(frame)
            return _finite(matrix)

    def _numeric_of_many(self, frame: pl.DataFrame) -> NDArray[np.float32]:
        columns = (
            frame.get_column(feature.name).to_numpy() if as_it_is else self._scaled(frame, feature)
            for feature, as_it_is in zip(self.numeric, self._as_they_are, strict=True)
        )
        return row_major(columns, (frame.height, self.numeric_size))

    def _numeric_of_few(self, frame: pl.DataFrame) -> NDArray[np.float32]:
        """Do what `_scaled` does, all columns at once: each of them has a fixed cost, of ten times the work."""
        scales = self._scales
        if scales.texts:
            columns = [self._scaled(frame, feature) for feature in self.numeric]
            return np.stack(columns, axis=1) if columns else np.empty((frame.height, 0), dtype=np.float32)
        if scales.all_single and frame.columns == self._numeric_names:
            values = frame.to_numpy(order="c", writable=True)  # null becomes NaN
            if values.dtype == np.float32:
                return cast("NDArray[np.float32]", (values - scales.narrow_mean) / scales.narrow_std)
        positions = dict(zip(frame.columns, range(frame.width), strict=True))
        return self._numeric_of_values(frame.rows(), positions)

    def _numeric_of_values(self, rows: Sequence[Sequence[Any]], positions: Mapping[str, int]) -> NDArray[np.float32]:
        scales = self._scales
        if self._numeric_names != list(positions):
            wanted = [positions[name] for name in self._numeric_names]
            rows = [[row[position] for position in wanted] for row in rows]
        values = np.array(rows, dtype=np.float64).reshape(len(rows), self.numeric_size)  # null becomes NaN
        narrow: NDArray[np.float32] = (values.astype(np.float32) - scales.narrow_mean) / scales.narrow_std
        if scales.all_single:
            return narrow
        return np.where(scales.single, narrow, ((values - scales.mean) / scales.std).astype(np.float32))

    @cached_property
    def _scales(self) -> _Scales:
        dtypes = [self.schema.column(feature.name).dtype for feature in self.numeric]
        mean, std = (np.array([getattr(feature, name) for feature in self.numeric]) for name in ("mean", "std"))
        with np.errstate(over="ignore"):
            narrow_mean, narrow_std = mean.astype(np.float32), std.astype(np.float32)
        single = np.array([dtype == "float32" for dtype in dtypes], dtype=np.bool_)
        texts = any(dtype in {"date32", "timestamp"} for dtype in dtypes)
        return _Scales(single, mean, std, narrow_mean, narrow_std, all_single=bool(single.all()), texts=texts)

    @cached_property
    def _as_they_are(self) -> list[bool]:
        """Tell of each numeric feature whether its column's values are those of the feature."""
        return [
            feature.mean == 0.0 and feature.std == 1.0 and self.schema.column(feature.name).dtype == "float32"
            for feature in self.numeric
        ]

    def _scaled(self, frame: pl.DataFrame, feature: NumericFeature) -> NDArray[np.float32]:
        values = as_numbers(frame.get_column(feature.name), self.schema.column(feature.name))
        if feature.mean != 0.0 or feature.std != 1.0:
            values = (values - values.dtype.type(feature.mean)) / values.dtype.type(feature.std)
        return values.astype(np.float32, copy=False)

    def _categorical(self, frame: pl.DataFrame) -> NDArray[np.int64]:
        matrix = np.empty((frame.height, len(self.categorical)), dtype=np.int64)
        for position, feature in enumerate(self.categorical):
            texts = frame.get_column(feature.name).cast(pl.String)
            if frame.height <= _FEW_ROWS:
                matrix[:, position] = [self._words[position].get(text, 0) for text in texts.to_list()]
                continue
            lookup = self._lookups[position]
            matrix[:, position] = texts.replace_strict(
                lookup[0], lookup[1], default=0, return_dtype=pl.Int64
            ).to_numpy()
        return matrix

    @cached_property
    def _lookups(self) -> tuple[tuple[pl.Series, pl.Series], ...]:
        return tuple(
            (pl.Series(f.vocabulary, dtype=pl.String), pl.int_range(1, len(f.vocabulary) + 1, eager=True))
            for f in self.categorical
        )

    @cached_property
    def _words(self) -> tuple[dict[str, int], ...]:
        return tuple({word: index for index, word in enumerate(f.vocabulary, 1)} for f in self.categorical)

    def _target(self, frame: pl.DataFrame) -> NDArray[np.float32] | NDArray[np.int64] | None:
        if self.schema.target is None or self.schema.target not in frame.columns:
            return None
        target = frame.get_column(self.schema.target)
        if target.null_count():
            raise FeaturesError(
                f"the target {self.schema.target!r} is null in {target.null_count()} of {frame.height} rows",
                expected="a target in each row",
                fix="leave such rows out in the query (WHERE ... IS NOT NULL)",
            )
        if self.schema.column(self.schema.target).is_integer:
            return integer_target(target).to_numpy()
        return target.cast(pl.Float32).to_numpy()


def integer_target(target: pl.Series) -> pl.Series:
    """Return an integer target as int64.

    Raises:
        FeaturesError: CR-SCH-004, a value is larger than int64 has.
    """
    found = target.cast(pl.Int64, strict=False)
    lost = found.null_count() - target.null_count()
    if lost:
        raise FeaturesError(
            f"the target {target.name!r} has {lost} value(s) larger than 9,223,372,036,854,775,807",
            expected="integers within int64, as tensors of classes hold them",
            fix='have the query number the classes from 0; or declare the target as "float64"',
        )
    return found


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


def _finite(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Put 0 for what is missing or no finite number."""
    if not np.isfinite(np.vdot(matrix, matrix)):  # the quickest pass that tells whether there may be any
        matrix[~np.isfinite(matrix)] = 0.0
    return matrix


def as_numbers(values: pl.Series, column: Column) -> NDArray[np.float32] | NDArray[np.float64]:
    """Return a column as floats, null as NaN; dates in days and timestamps in seconds since 1970."""
    if column.dtype == "timestamp":
        return (values.cast(pl.Int64) / 1_000_000).to_numpy()
    if column.dtype == "date32":
        values = values.cast(pl.Int32)
    return values.cast(pl.Float32 if column.dtype == "float32" else pl.Float64).to_numpy()
