"""Describes a folder of files: a schema that was tested on them, and the content of its columns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise
from typing import Any, Final

import numpy as np
import polars as pl

from cleanroom_algo.channels.conform import dtype_of
from cleanroom_algo.channels.hints import SEPARATORS
from cleanroom_algo.channels.modes.file import count_rows, read_object
from cleanroom_algo.channels.objects import BLOCK_BYTES, Object
from cleanroom_algo.channels.schema import Column, Schema
from cleanroom_algo.errors import DialectError, RowMismatchError
from cleanroom_algo.local.profiling.files import Form, form_of
from cleanroom_algo.local.profiling.meaning import meaning_of, target_column, target_of
from cleanroom_algo.local.profiling.rounding import round_step
from cleanroom_algo.local.profiling.texts import reading_of

SAMPLE_BYTES: Final = 16 << 20
"""How much of larger data is read, from the start of each object: this takes about as long as the imports."""
_BATCH_ROWS: Final = 1 << 16
_SAMPLE_OBJECTS: Final = 4
_SAMPLE_ROWS: Final = 10_000
_EXACT_ROWS: Final = 100_000
_TOP: Final = 8
_BINS: Final = 30
_EXACT_FLOAT: Final = 2**53  # up to here, a float64 can represent every whole number
_HEAD_ROWS: Final = 8
_COMMAS: Final = "has decimal commas, which cannot be read where commas separate fields"
_SEPARATORS: Final = f"has {SEPARATORS} and is read as strings; write numbers without separators: 1234.5"


@dataclass(frozen=True, slots=True)
class Bin:
    """A range of values.

    Attributes:
        low: the lower bound.
        high: the upper bound, which is the lower bound of the next range.
        rows: the number of rows with a value in it.
    """

    low: Any
    high: Any
    rows: int


@dataclass
class ColumnProfile:
    """The content of a column.

    Attributes:
        name: of the column.
        declared: its declaration; None for a column to leave out.
        nulls: the number of nulls.
        distinct: the number of distinct values, approximate if there are many rows; None for lists.
        low: the smallest value of a number, a date or a timestamp.
        high: the largest.
        top: the most frequent values of other types, with their share.
        bins: of equal width, with all finite numbers, dates or timestamps.
        notes: what a person should know or decide.
    """

    name: str
    declared: Column | None
    nulls: int
    distinct: int | None
    low: Any = None
    high: Any = None
    top: tuple[tuple[str, float], ...] = ()
    bins: tuple[Bin, ...] = ()
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Profile:
    """The content of a folder.

    Attributes:
        form: how its files are written.
        objects: the number of objects.
        rows: the number of rows that were read.
        read: the share of the data that was read.
        columns: those of the files, in order.
        schema: reads the files.
        notes: what a person should know.
        head: the first rows, whose values are in the order of the columns.
    """

    form: Form
    objects: int
    rows: int
    read: float
    columns: tuple[ColumnProfile, ...]
    schema: Schema
    notes: tuple[str, ...]
    head: tuple[tuple[Any, ...], ...] = ()


def profile_of(objects: Sequence[Object], target: str | None = None, *, whole: bool = False) -> Profile:
    """Return a description of objects, and the schema that reads them.

    Args:
        objects: at least one, of one format.
        target: the column to predict; if None, it is guessed from the names and positions of columns.
        whole: whether to read all rows into memory, instead of a sample.

    Raises:
        SchemaError: no schema reads the objects; for example, because the number of fields differs between rows.
    """
    step = 1 if whole else -(-sum(obj.size for obj in objects) // SAMPLE_BYTES)
    table = _Table(objects, step)
    frame = table.read()
    names = [name for name in table.form.names if name in frame.columns]
    guessed = target or target_column(frame)
    columns = [_profiled(frame.get_column(name), table, name == guessed) for name in names]
    if not frame.height:
        unknown = "" if table.form.format == "Parquet" else ", but only a header, so the types are not known"
        table.notes.insert(0, f"there are no rows{unknown}")
        for column in columns:
            column.notes.clear()
    left_out = [column for column in columns if column.declared is None]
    for column in left_out if not table.form.has_names else ():
        column.declared = Column(column.name, "category")
    declared = {column.name: column.declared for column in columns if column.declared is not None}
    schema = table.form.schema(declared)
    schema = Schema(schema.columns, guessed, schema.csv, schema.extra_columns)
    head = tuple(frame.select(names).head(_HEAD_ROWS).iter_rows())
    return Profile(table.form, len(objects), frame.height, 1 / step, tuple(columns), schema, tuple(table.notes), head)


class _Table:
    """Reads objects with a draft of their schema, and corrects the draft until all rows fit.

    Args:
        objects: to read.
        step: 1 / step of the blocks of each object are read, from its start.

    Attributes:
        form: their format.
        draft: the declarations of the columns with which the rows were read, by name.
        remarks: by column, remarks about its texts.
        notes: about the files.
    """

    def __init__(self, objects: Sequence[Object], step: int) -> None:
        self._objects = objects
        self._step = step
        self.form = form_of(objects[0])
        self.remarks: dict[str, str] = {}
        self.notes: list[str] = []
        self.draft: dict[str, Column] = {}
        if self.form.unsure:
            self.notes.append("the first line is treated as a header, but it may be a row")
        if self.form.names[:1] == ("",):
            self.notes.append("the first column has no name, like an index that pandas writes, and is not declared")
        if self.form.names[1:][-1:] == ("",):
            self.notes.append("the last column has no name, as after delimiters at line ends, and is not declared")

    def read(self) -> pl.DataFrame:
        """Return the rows."""
        frame = None
        while frame is None:
            try:
                frame = self._attempt()
            except DialectError:
                self.form = replace(self.form, csv=replace(self.form.csv, dialect="spark"))
                self.notes.append(
                    'a backslash precedes a quote, as Spark writes it; if Spark did not write it, use dialect="rfc4180"'
                )
        return frame

    def _attempt(self) -> pl.DataFrame | None:
        """Return the rows, None if the draft had to be corrected."""
        if not self.draft and self.form.format == "Parquet":
            self._draft_types()
        elif not self.draft:
            self._take(self._texts([name for name in self.form.names if name], self._sampled()))
        try:
            return self._read_all()
        except RowMismatchError as error:
            self._correct(error)
            return None

    def _read_all(self) -> pl.DataFrame:
        schema = self.form.schema(self.draft)
        frames = [schema.polars_schema().to_frame()]
        for obj in self._objects:
            blocks = (
                obj.size // BLOCK_BYTES if self.form.format != "Parquet" else count_rows(obj, schema) // _BATCH_ROWS
            )
            found = read_object(obj, schema, batch_rows=_BATCH_ROWS if self.form.format == "Parquet" else obj.size + 1)
            frames += islice(found, blocks // self._step + 1) if self._step > 1 else found
        return pl.concat(frames)

    def _draft_types(self) -> None:
        for name, dtype in pl.read_parquet_schema(self._objects[0].path).items():
            if own := dtype_of(dtype):
                self.draft[name] = Column(name, own)
            else:
                self.notes.append(f"{name} is {dtype}, which cannot be declared")

    def _sampled(self) -> Iterator[tuple[Object, int | None]]:
        step = max(1, len(self._objects) // _SAMPLE_OBJECTS)
        return ((obj, 1) for obj in self._objects[::step])

    def _texts(self, names: Sequence[str], objects: Iterable[tuple[Object, int | None]]) -> pl.DataFrame:
        """Return columns as texts, from some blocks of each object."""
        schema = self.form.schema({name: Column(name, "text") for name in self.form.names if name})
        frames = [schema.select(names).polars_schema().to_frame()]
        for obj, blocks in objects:
            for number, frame in enumerate(read_object(obj, schema, batch_rows=_BATCH_ROWS, columns=names), 1):
                frames.append(frame.head(_SAMPLE_ROWS) if blocks else frame)
                if number == blocks:
                    break
        return pl.concat(frames)

    def _take(self, texts: pl.DataFrame) -> None:
        """Draft columns from their texts; a header among the rows is ignored here, and refused when rows are read."""
        if self.form.has_names and texts.width > 1:
            texts = texts.filter(
                ~pl.all_horizontal(pl.col(name) == name for name in texts.columns).fill_null(value=False)
            )
        for values in texts:
            reading = reading_of(values)
            csv = self.form.csv
            self.draft[values.name] = Column(values.name, reading.dtype)
            self.remarks[values.name] = reading.note
            words = sorted({*csv.null_values, *reading.null_words})
            decimal: Any = csv.decimal
            if reading.decimal_comma and csv.delimiter == ",":
                self.draft[values.name] = Column(values.name, "string")
                self.remarks[values.name] = _COMMAS if not reading.note else _SEPARATORS
            elif reading.decimal_comma:
                decimal = ","
            self.form = replace(self.form, csv=replace(csv, null_values=words, decimal=decimal))

    def _correct(self, error: RowMismatchError) -> None:
        """Draft the columns again that rows do not fit; raise the error if it is not about a column."""
        wrong = {problem: self._column_at(problem.path) for problem in error.problems}
        names = [name for name in dict.fromkeys(wrong.values()) if name]
        if not names:
            raise error
        before, form = dict(self.draft), self.form
        is_nan = {name for problem, name in wrong.items() if name and "NaN" in problem.message}
        if self.form.format != "Parquet":
            self._take(self._texts(names, ((obj, None) for obj in self._objects)))
        for name in names if self.form == form else ():
            if self.draft[name] == before[name]:
                if before[name].dtype == "string":
                    raise error
                is_float = name in is_nan and self.draft[name].is_float
                self.draft[name] = replace(before[name], nan="null") if is_float else Column(name, "string")

    def _column_at(self, path: str) -> str | None:
        found = [name for name in self.draft if path.endswith(f":{name}")]
        return max(found, key=len, default=None)


def _profiled(values: pl.Series, table: _Table, is_target: bool) -> ColumnProfile:
    """Return the description of a column."""
    draft = table.draft[values.name]
    found = ColumnProfile(values.name, draft, values.null_count(), _distinct(values))
    if remark := table.remarks.get(values.name):
        found.notes.append(remark)
    if draft.is_string or draft.dtype == "bool":
        counts = values.drop_nulls().head(_EXACT_ROWS).cast(pl.String).value_counts(sort=True, normalize=True)
        found.top = tuple(counts.head(_TOP).iter_rows())
    elif not draft.is_list:
        found.low, found.high, found.bins = values.min(), values.max(), bins_of(values)
    if is_target:
        declared, note = target_of(values, draft, found.distinct)
    else:
        declared, note = meaning_of(values, draft, found.distinct, misread=bool(found.notes))
    found.declared = None if declared is None else replace(declared, nullable=found.nulls > 0)
    if note:
        found.notes.append(note)
    return found


def bins_of(values: pl.Series, count: int = _BINS) -> tuple[Bin, ...]:
    """Return a histogram of numbers, dates or timestamps; its ranges begin with round numbers.

    Args:
        values: of a column; values that are not finite are ignored.
        count: the maximum number of ranges, plus two.
    """
    numbers = values.to_physical().drop_nulls().cast(pl.Float64)
    numbers = numbers.filter(numbers.is_finite())
    low, high = numbers.min(), numbers.max()
    if not isinstance(low, float) or not isinstance(high, float) or not math.isfinite(high - low):
        return ()
    dtype = pl.Float64() if max(abs(low), abs(high)) > _EXACT_FLOAT and values.dtype.is_integer() else values.dtype
    width = round_step((high - low) / count or 1.0)
    if not dtype.is_float():
        width = max(math.ceil(width), 1)
    first = math.floor(low / width)
    edges = width * np.arange(first, math.floor(high / width) + 2)
    counts = np.histogram(numbers.to_numpy(), edges)[0].tolist()
    marks = pl.Series(edges).cast(pl.Int64 if dtype.is_temporal() else pl.Float64).cast(dtype).to_list()
    return tuple(Bin(*ends, rows) for ends, rows in zip(pairwise(marks), counts, strict=True))


def _distinct(values: pl.Series) -> int | None:
    if isinstance(values.dtype, pl.List):
        return None
    values = values.drop_nulls()
    count: Any = values.n_unique() if len(values) <= _EXACT_ROWS else values.approx_n_unique()
    return int(count)
