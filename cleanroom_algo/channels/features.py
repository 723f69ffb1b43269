"""Fitted preprocessing that is stored in the artifacts, so that serving prepares data as training did.

Numbers are standardized, categories become indices of a vocabulary. Fitting reads record batches as a stream. Each rank
fits its share, and then the ranks merge their states.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cleanroom_algo.channels.arrays import Arrays, Lists, row_major
from cleanroom_algo.channels.schema import Column, Schema
from cleanroom_algo.errors import FeaturesError, Problem

FORMAT_VERSION: Final = 1
_FIRST_ROWS = 1000  # of a table, in which unknown categories are searched: they are then usually in all rows
_FEW_VALUES = 10  # so few may all be rare by chance


@dataclass(frozen=True, slots=True)
class NumericFeature:
    """A number, standardized as (value - mean) / std; a missing value becomes the mean, so 0."""

    name: str
    mean: float = 0.0
    std: float = 1.0


@dataclass(frozen=True, slots=True)
class CategoricalFeature:
    """A category: the index of its text in the vocabulary, counted from 1; 0 for null and for unknown texts."""

    name: str
    vocabulary: tuple[str, ...]


@dataclass(frozen=True)
class Features:
    """The fitted features of a schema.

    Attributes:
        schema: the schema they were fitted on.
        numeric: the columns of `Arrays.numeric`, in order.
        categorical: the columns of `Arrays.categorical`, in order.
        classes: the labels of a target of strings, sorted: class i is classes[i]. Empty for other targets.
    """

    schema: Schema
    numeric: tuple[NumericFeature, ...]
    categorical: tuple[CategoricalFeature, ...] = ()
    classes: tuple[str, ...] = ()

    @classmethod
    def plain(cls, schema: Schema) -> Features:
        """Return features that pass every number through as it is (missing becomes 0); categories are not used.

        Raises:
            FeaturesError: CR-SCH-004, the target is a string, whose classes have to be fitted.
        """
        if schema.target is not None and schema.column(schema.target).is_string:
            raise FeaturesError(
                f"the target {schema.target!r} is a string, and its classes are not known",
                expected="features with the classes of the target",
                fix="use Features.declared(schema, numeric=..., classes=[...]), or fitted features",
            )
        return cls(schema, tuple(NumericFeature(c.name) for c in schema.features if not c.spans))

    @classmethod
    def declared(
        cls,
        schema: Schema,
        *,
        numeric: Mapping[str, tuple[float, float]] = MappingProxyType({}),
        categorical: Mapping[str, Sequence[str]] = MappingProxyType({}),
        classes: Sequence[str] = (),
    ) -> Features:
        """Return features that are known without looking at data, as a private training needs them.

        Args:
            schema: the table; columns that are not named below are not used, but for texts and lists.
            numeric: by column its mean and its deviation: values become (value - mean) / deviation. (0, 1) passes them
                through as they are.
            categorical: by column its vocabulary; other texts have index 0.
            classes: the labels of a target of strings.

        Raises:
            FeaturesError: CR-SCH-004, a column is not a feature, or a deviation is not above 0.
        """
        known = {column.name: column for column in schema.features}
        problems = [
            Problem(name, f"is not a {kind} column of the features")
            for kind, names, usable in (
                ("numeric", numeric, [name for name, column in known.items() if not column.spans]),
                ("categorical", categorical, [name for name, column in known.items() if not column.is_list]),
            )
            for name in names
            if name not in usable
        ]
        problems += [
            Problem(name, "has a standard deviation that is not above 0")
            for name, (_, std) in numeric.items()
            if std <= 0
        ]
        if problems:
            raise FeaturesError(
                "the declared features are not valid",
                expected="columns of the schema other than the target, and standard deviations above 0",
                fix="correct the arguments of Features.declared",
                problems=problems,
            )
        return cls(
            schema,
            tuple(NumericFeature(name, float(mean), float(std)) for name, (mean, std) in numeric.items()),
            tuple(CategoricalFeature(name, tuple(dict.fromkeys(words))) for name, words in categorical.items()),
            tuple(classes),
        )

    @property
    def numeric_size(self) -> int:
        """The number of columns of `Arrays.numeric`."""
        return len(self.numeric)

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Per categorical feature the number of indices, 0 included: the size of its embedding table."""
        return tuple(len(feature.vocabulary) + 1 for feature in self.categorical)

    @property
    def design_size(self) -> int:
        """The number of columns of `design`."""
        return self.numeric_size + sum(self.cardinalities)

    def design(self, arrays: Arrays) -> NDArray[np.float64]:
        """Return numbers and one-hot categories side by side, axes (row, column), as linear models take them."""
        hot = [np.eye(size)[arrays.categorical[:, column]] for column, size in enumerate(self.cardinalities)]
        return np.hstack([arrays.numeric.astype(np.float64), *hot])

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that `transform` needs, in the schema's order; the target is used where the table has it."""
        used = {f.name for f in self.numeric} | {f.name for f in self.categorical} | {*self._texts, *self._lists}
        return tuple(name for name in self.schema.names if name in used or name == self.schema.target)

    def transform(self, frame: pl.DataFrame) -> Arrays:
        """Return a record batch as arrays.

        Args:
            frame: a table with the columns of the features, typed as the schema says; the target may be absent.

        Raises:
            FeaturesError: CR-SCH-004, a column is not there, a number cannot be a float32, or the target holds a null
                or a number beyond its type.
        """
        self._check_columns(frame)
        texts = {name: frame.get_column(name).to_list() for name in self._texts}
        lists = {name: _lists(frame.get_column(name), self.schema.column(name)) for name in self._lists}
        return Arrays(self._numeric(frame), self._categorical(frame), self.target(frame), texts, lists)

    def matrix(self, frame: pl.DataFrame) -> NDArray[np.float32]:
        """Return a record batch as boosted trees take it, axes (row, feature): numbers as they are, then categories.

        A category is its place in the vocabulary, from 0. Missing values and unknown categories are NaN.

        Raises:
            FeaturesError: CR-SCH-004, a column is not there, or a number cannot be a float32.
        """
        self._check_columns(frame)
        codes = self._categorical(frame).astype(np.float32)
        codes[codes == 0] = np.nan
        numbers = (
            as_numbers(frame.get_column(f.name), self.schema.column(f.name))
            .cast(pl.Float32)
            .fill_null(np.nan)
            .to_numpy()
            for f in self.numeric
        )
        matrix = row_major(chain(numbers, (codes - 1).T), (frame.height, self.numeric_size + len(self.categorical)))
        infinite = np.isinf(matrix)
        if infinite.any():
            self._refuse(infinite, frame)
        return matrix

    def unknown_values(self, frame: pl.DataFrame) -> dict[str, tuple[int, int]]:
        """Return how many values of each column of categories are unknown, and of how many; nulls are not counted."""
        codes = self._categorical(frame)
        counts = [frame.get_column(feature.name).count() for feature in self.categorical]
        known = np.count_nonzero(codes, axis=0).tolist()
        return {f.name: (count - each, count) for f, count, each in zip(self.categorical, counts, known, strict=True)}

    def unknown_columns(self, frame: pl.DataFrame) -> list[str]:
        """Return the columns of categories whose first values, of which there are some, are all unknown.

        They are probably written in another way than in the training data, such as 1094 instead of 1094.0.
        """
        first = frame.head(_FIRST_ROWS)
        if first.height < _FEW_VALUES or any(feature.name not in first.columns for feature in self.categorical):
            return []
        unknown = self.unknown_values(first)
        return [
            f.name for f in self.categorical if f.vocabulary and unknown[f.name][0] == unknown[f.name][1] >= _FEW_VALUES
        ]

    def labels(self, classes: Any) -> pl.Series:
        """Return the labels of classes, as a `Predictor` answers for a target of strings.

        Args:
            classes: of each row the number of its class, such as the argmax of logits: an array, a tensor or a list.
        """
        return pl.Series("prediction", self.classes, dtype=pl.String).gather(np.asarray(classes))

    @cached_property
    def _texts(self) -> list[str]:
        return [column.name for column in self.schema.features if column.dtype == "text"]

    @cached_property
    def _lists(self) -> list[str]:
        return [column.name for column in self.schema.features if column.is_list]

    def to_dict(self) -> dict[str, Any]:
        """Return the features as JSON values."""
        return {
            "format_version": FORMAT_VERSION,
            "schema": self.schema.to_dict(),
            "numeric": [{"name": f.name, "mean": f.mean, "std": f.std} for f in self.numeric],
            "categorical": [{"name": f.name, "vocabulary": list(f.vocabulary)} for f in self.categorical],
            **({"classes": list(self.classes)} if self.classes else {}),
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
            classes = tuple(str(label) for label in state.get("classes", ()))
            for name in [f.name for f in numeric] + [f.name for f in categorical]:
                schema.column(name)
        except (KeyError, TypeError, ValueError) as error:
            raise FeaturesError(
                "the stored features are not valid",
                expected=f"the result of Features.to_dict(), with format_version {FORMAT_VERSION}",
                fix="train again, or use the features.json of a valid version",
            ) from error
        return cls(schema, numeric, categorical, classes)

    @cached_property
    def _needed(self) -> list[str]:
        return [name for name in self.columns if name != self.schema.target]

    def _check_columns(self, frame: pl.DataFrame) -> None:
        present = frame.columns
        missing = [] if present == self._needed else [name for name in self._needed if name not in present]
        if missing:
            raise FeaturesError(
                f"the table lacks {len(missing)} column(s) of the features",
                expected="the columns that the features were fitted on",
                fix="read the table with the schema of the artifacts",
                problems=[Problem(name, "is not in the table") for name in missing],
            )

    def _numeric(self, frame: pl.DataFrame) -> NDArray[np.float32]:
        with np.errstate(invalid="ignore", over="ignore"):
            columns = (self._scaled(frame.get_column(feature.name), feature) for feature in self.numeric)
            matrix = row_major(columns, (frame.height, self.numeric_size))
            if not np.isfinite(np.vdot(matrix, matrix)):  # the quickest pass that tells whether there may be any
                self._refuse(~np.isfinite(matrix), frame)
        return matrix

    def _scaled(self, given: pl.Series, feature: NumericFeature) -> NDArray[np.float32]:
        numbers = as_numbers(given, self.schema.column(feature.name))
        values: NDArray[Any] = (numbers.fill_null(feature.mean) if given.null_count() else numbers).to_numpy()
        if feature.mean != 0.0 or feature.std != 1.0:
            values = (values - values.dtype.type(feature.mean)) / values.dtype.type(feature.std)
        return values.astype(np.float32, copy=False)

    def _refuse(self, unusable: NDArray[np.bool_], frame: pl.DataFrame) -> None:
        """Refuse numbers of the given places, axes (row, feature), but those that a column declares to keep."""
        problems = []
        for position, feature in enumerate(self.numeric):
            wrong = unusable[:, position]
            if wrong.any() and self.schema.column(feature.name).nan == "keep":
                wrong &= frame.get_column(feature.name).is_finite().fill_null(value=False).to_numpy()
            if wrong.any():
                problems.append(Problem(feature.name, f"{wrong.sum()} of {frame.height} values"))
        if problems:
            raise FeaturesError(
                f"{len(problems)} feature(s) have values that are NaN, infinite or too large for float32",
                expected="finite numbers that stay finite after subtracting the mean and dividing by the standard "
                "deviation",
                fix='scale the values, or leave these rows out; for NaN, declare nan="null" or nan="keep"',
                problems=problems,
            )

    def _categorical(self, frame: pl.DataFrame) -> NDArray[np.int64]:
        matrix = np.empty((frame.height, len(self.categorical)), dtype=np.int64)
        for position, feature in enumerate(self.categorical):
            texts = frame.get_column(feature.name).cast(pl.String)
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

    def target(self, frame: pl.DataFrame) -> NDArray[np.float32] | NDArray[np.int64] | None:
        """Return the target of a record batch as `Arrays.target` has it.

        Raises:
            FeaturesError: CR-SCH-004, it holds a null or a number beyond its type.
        """
        if self.schema.target is None or self.schema.target not in frame.columns:
            return None
        target = frame.get_column(self.schema.target)
        if target.null_count():
            raise FeaturesError(
                f"the target {self.schema.target!r} is null in {target.null_count()} of {frame.height} rows",
                expected="a target in each row",
                fix="leave these rows out, for example with WHERE ... IS NOT NULL",
            )
        if self.schema.column(self.schema.target).is_integer:
            return integer_target(target).to_numpy()
        if target.dtype == pl.String:
            return self._class_numbers(target)
        found = target.cast(pl.Float32)
        if lost := int((found.is_infinite() & target.cast(pl.Float64).is_finite()).sum()):
            raise FeaturesError(
                f"the target {target.name!r} has {lost} value(s) too large for float32",
                expected="targets that float32 can hold",
                fix="scale the target, for example by its logarithm",
            )
        return found.to_numpy()

    def _class_numbers(self, target: pl.Series) -> NDArray[np.int64]:
        labels = pl.Series(self.classes, dtype=pl.String)
        numbers = target.replace_strict(
            labels, pl.int_range(len(labels), eager=True), default=None, return_dtype=pl.Int64
        )
        if numbers.null_count():
            raise FeaturesError(
                f"the target {target.name!r} has labels that the model does not know in {numbers.null_count()} of "
                f"{len(target)} rows",
                expected=f"the {len(labels)} labels of the data that the features were fitted on",
                fix="train on data with every label; a base model keeps its labels, so train without a base model",
            )
        return numbers.to_numpy()


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
            expected="integers that fit into int64, the type of class tensors",
            fix='number the classes from 0, or declare the target as "category"; declare a quantity as "float64"',
        )
    return found


def _lists(values: pl.Series, column: Column) -> Lists[NDArray[Any]]:
    lengths = values.list.len().fill_null(0)
    offsets = np.concatenate([[0], lengths.cum_sum().to_numpy()]).astype(np.int64)
    items = values.filter(lengths > 0).explode()
    return Lists(items.cast(pl.Float32 if column.item.is_float else pl.Int64).to_numpy(), offsets)


def as_numbers(values: pl.Series, column: Column) -> pl.Series:
    """Return a column as floats; dates in days and timestamps in seconds since 1970."""
    if column.dtype == "timestamp":
        return values.cast(pl.Int64) / 1_000_000
    if column.dtype == "date32":
        values = values.cast(pl.Int32)
    return values.cast(pl.Float32 if column.dtype == "float32" else pl.Float64)
