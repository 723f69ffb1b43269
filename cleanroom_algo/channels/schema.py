"""The declared table of a channel: column names, types, nullability, and the target.

Clean Rooms ML delivers CSV with or without a header (its user guide and its samples disagree), so the columns are
declared by the algorithm and a header is recognised by exact match with the declared names.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from cleanroom_algo.contract.suggestions import did_you_mean
from cleanroom_algo.errors import InvalidSchemaError, Problem

if TYPE_CHECKING:
    import polars as pl

_POLARS_NAMES: Final = {
    "int8": "Int8",
    "int16": "Int16",
    "int32": "Int32",
    "int64": "Int64",
    "uint8": "UInt8",
    "uint16": "UInt16",
    "uint32": "UInt32",
    "uint64": "UInt64",
    "float32": "Float32",
    "float64": "Float64",
    "bool": "Boolean",
    "string": "String",
    "category": "String",
    "text": "String",
    "date32": "Date",
    "timestamp": "Datetime",
}
_LISTS: Final = {f"list[{name}]": name for name in _POLARS_NAMES if name.startswith(("int", "uint", "float"))}
DTYPES: Final = (*_POLARS_NAMES, *_LISTS)
"""The types of columns, named as in Arrow; a timestamp has microseconds and is in UTC. A category is a string or an
integer that is used as text; a text is a string that is not a category."""
_OTHER_NAMES: Final = {
    **dict.fromkeys(("int", "integer", "long", "bigint"), "int64"),
    **dict.fromkeys(("float", "number", "numeric", "decimal"), "float32"),
    **dict.fromkeys(("str", "object", "varchar", "char"), "string"),
    **dict.fromkeys(("datetime", "datetime64", "Timestamp"), "timestamp"),
    "double": "float64",
    "boolean": "bool",
    "date": "date32",
    "list": "list[float32]",
}
"""What other systems call the types."""
Nan = Literal["fault", "null", "keep"]
ExtraColumns = Literal["fault", "ignore"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        name: as in the query's SELECT list; no line breaks.
        dtype: one of `DTYPES`.
        nullable: whether an empty field (CSV) or a null is legal.
        nan: what NaN and infinity are in a float column: a "fault", a "null" (the column must be nullable), or values
            to "keep" as they are, for a model that knows what to do with them.
    """

    name: str
    dtype: str
    nullable: bool = True
    nan: Nan = "fault"

    @classmethod
    def of(cls, name: str, declared: object) -> Column:
        """Return the column that `Schema.of` makes of a text such as "int32", "float32?" or "float32? nan=null"."""
        text = declared if isinstance(declared, str) else str(getattr(declared, "__name__", declared))
        dtype, _, option = text.partition(" ")
        nan: Any = option.strip().removeprefix("nan=") if option.strip().startswith("nan=") else "fault"
        if option and nan == "fault":
            dtype = text  # this is not a type, as the error will say
        return cls(name, dtype.removesuffix("?"), dtype.endswith("?"), nan)

    @property
    def is_integer(self) -> bool:
        """Whether the type is a signed or unsigned integer."""
        return self.dtype.startswith(("int", "uint"))

    @property
    def is_float(self) -> bool:
        """Whether the type is float32 or float64."""
        return self.dtype.startswith("float")

    @property
    def is_string(self) -> bool:
        """Whether the values are strings: string, category or text."""
        return _POLARS_NAMES.get(self.dtype) == "String"

    @property
    def is_list(self) -> bool:
        """Whether each value is a list of numbers."""
        return self.dtype in _LISTS

    @property
    def is_category(self) -> bool:
        """Whether the values are categories, unless they are the target."""
        return self.dtype in {"string", "category"}

    @property
    def spans(self) -> bool:
        """Whether a field of CSV may hold delimiters or line breaks, in quotes."""
        return self.is_string or self.is_list

    @property
    def item(self) -> Column:
        """The items of a list as a column."""
        return Column(self.name, _LISTS[self.dtype], nullable=False, nan=self.nan)

    def polars_dtype(self) -> pl.DataType:
        """Return the type as polars has it; a timestamp is Datetime("us") without a zone, its values in UTC."""
        import polars as pl

        if self.is_list:
            return pl.List(self.item.polars_dtype())
        if self.dtype == "timestamp":
            return pl.Datetime("us")
        dtype: pl.DataType = getattr(pl, _POLARS_NAMES[self.dtype])()
        return dtype


@dataclass(frozen=True, slots=True)
class Csv:
    r"""How the CSV objects of a channel are written; other formats ignore it.

    Attributes:
        dialect: "rfc4180": inside quotes, a quote is doubled. "spark": inside quotes, a backslash precedes a quote and
            a backslash (the defaults of Spark's `escape` option). By default "rfc4180", but a field that Spark may have
            written and would read differently is an error.
        header: "each": every object begins with a header, and no row equals it. "none": no object has one. By default,
            a first line that names the columns exactly is a header, in any object.
        delimiter: what separates fields: one ASCII character such as ";" or "\t".
        decimal: the decimal separator of floats.
        null_values: texts without quotes that are nulls, such as "NA", in columns of any type.
    """

    dialect: Literal["rfc4180", "spark"] | None = None
    header: Literal["each", "none"] | None = None
    delimiter: str = ","
    decimal: Literal[".", ","] = "."
    null_values: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.null_values, str):
            object.__setattr__(self, "null_values", tuple(self.null_values))


@dataclass(frozen=True)
class Schema:
    """The columns of a channel in the order of the query's SELECT list.

    Attributes:
        columns: at least one; names differ.
        target: the name of the column to predict, or None. Inference bodies may leave it out.
        csv: how its CSV objects are written; not part of the schema's hash, because it does not describe the table.
        extra_columns: what an undeclared column of an object is: a "fault", or one to "ignore". An object names its
            columns in the header of CSV, the footer of Parquet, the first record of JSON Lines. Not part of the hash.

    Raises:
        InvalidSchemaError: CR-SCH-001, with every fault of the declaration.
    """

    columns: tuple[Column, ...]
    target: str | None = None
    csv: Csv = Csv()
    extra_columns: ExtraColumns = "fault"

    def __init__(
        self,
        columns: Sequence[Column],
        target: str | None = None,
        csv: Csv | None = None,
        extra_columns: ExtraColumns = "fault",
    ) -> None:
        object.__setattr__(self, "columns", tuple(columns))
        object.__setattr__(self, "target", target)
        object.__setattr__(self, "csv", csv or Csv())
        object.__setattr__(self, "extra_columns", extra_columns)
        object.__setattr__(self, "_hash", hash((self.columns, target, self.csv, extra_columns)))
        problems = tuple(self._faults())
        if problems:
            raise InvalidSchemaError(
                "the declared schema is not valid",
                expected=f"distinct column names, types out of {', '.join(_POLARS_NAMES)} and lists of numbers such as "
                "list[float32], and a target that is a column",
                fix="correct the declaration, for example Schema.of(target='late', distance='int32', late='bool?')",
                problems=problems,
            )

    def __hash__(self) -> int:
        """Return the same for equal schemas."""
        hashed: int = self.__dict__["_hash"]
        return hashed

    @classmethod
    def of(
        cls,
        named: Mapping[str, str] | None = None,
        /,
        *,
        target: str | None = None,
        csv: Csv | None = None,
        extra_columns: ExtraColumns = "fault",
        **columns: str,
    ) -> Schema:
        """Return a schema from `name="dtype"` pairs; a dtype that ends in `?` is nullable, others are not.

        `Schema.of(target="late", distance="int32", carrier="string?", late="bool", csv=Csv(dialect="spark"))`

        Args:
            named: columns in a mapping, as for names with blanks or for a column that is called target or csv:
                `Schema.of({"mean radius": "float32", "target": "bool"}, target="target")`.
            target: the name of the column to predict.
            csv: how CSV objects are written.
            extra_columns: what undeclared columns of an object are, "fault" or "ignore".
            columns: types out of `DTYPES`; "float32 nan=keep" and "float32? nan=null" define how NaN is read.
        """
        declared = [*(named or {}).items(), *columns.items()]
        return cls([Column.of(name, dtype) for name, dtype in declared], target, csv, extra_columns)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The column names in order."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def features(self) -> tuple[Column, ...]:
        """The columns without the target, in order."""
        return tuple(column for column in self.columns if column.name != self.target)

    def column(self, name: str) -> Column:
        """Return a column by its name; raises KeyError if there is none."""
        return self._by_name[name]

    def without_target(self) -> Schema:
        """Return the schema of the features alone."""
        return self.of_columns(self.features)

    def select(self, names: Sequence[str]) -> Schema:
        """Return the schema of the named columns in the given order; the target stays if it is among them."""
        return self.of_columns([self.column(name) for name in names])

    def of_columns(self, columns: Sequence[Column]) -> Schema:
        """Return the same declaration of other columns; the target stays if it is among them."""
        target = self.target if any(column.name == self.target for column in columns) else None
        return Schema(columns, target, self.csv, self.extra_columns)

    def extra_of(self, found: Iterable[str]) -> list[str]:
        """Return the undeclared columns of an object that are faults."""
        return [] if self.extra_columns == "ignore" else [name for name in found if name not in self._by_name]

    def polars_schema(self) -> pl.Schema:
        """Return names and types as polars has them."""
        import polars as pl

        return pl.Schema({column.name: column.polars_dtype() for column in self.columns})

    def to_dict(self) -> dict[str, Any]:
        """Return the schema as JSON values; what is not declared is left out."""
        csv = {name: value for name, value in asdict(self.csv).items() if value != getattr(_DEFAULT_CSV, name)}
        extra = {} if self.extra_columns == "fault" else {"extra_columns": self.extra_columns}
        return {**self._table(), **({"csv": csv} if csv else {}), **extra}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Schema:
        """Return the schema of `to_dict`'s form.

        Raises:
            InvalidSchemaError: CR-SCH-001, the form or the schema is wrong.
        """
        try:
            columns = [
                Column(str(c["name"]), str(c["dtype"]), bool(c.get("nullable", True)), c.get("nan", "fault"))
                for c in state["columns"]
            ]
            target = state.get("target")
            csv = Csv(**state.get("csv", {}))
            extra: Any = state.get("extra_columns", "fault")
        except (KeyError, TypeError, AttributeError) as error:
            raise InvalidSchemaError(
                "the stored schema is not valid",
                expected='{"columns": [{"name": ..., "dtype": ..., "nullable": ...}, ...], "target": name or null}',
                fix="store the result of Schema.to_dict()",
            ) from error
        return cls(columns, None if target is None else str(target), csv, extra)

    @cached_property
    def hash(self) -> str:
        """64 hexadecimal digits (SHA-256) that are equal for equal schemas, on any machine."""
        return hashlib.sha256(json.dumps(self._table(), sort_keys=True).encode()).hexdigest()

    def _table(self) -> dict[str, Any]:
        columns = [
            {"name": c.name, "dtype": c.dtype, "nullable": c.nullable, **({} if c.nan == "fault" else {"nan": c.nan})}
            for c in self.columns
        ]
        return {"columns": columns, "target": self.target}

    @cached_property
    def _by_name(self) -> dict[str, Column]:
        return {column.name: column for column in self.columns}

    def _faults(self) -> Iterator[Problem]:
        if not self.columns:
            yield Problem("columns", "there is no column")
        seen: set[str] = set()
        for position, column in enumerate(self.columns):
            path = f"columns[{position}]"
            if not column.name or "\n" in column.name or "\r" in column.name:
                yield Problem(f"{path}.name", "is empty or holds a line break")
            if column.name in seen:
                yield Problem(f"{path}.name", f"{column.name!r} occurs twice")
            seen.add(column.name)
            if column.dtype not in DTYPES:
                yield Problem(f"{path}.dtype", f"{column.dtype!r} is not a type{_suggested(column.dtype)}")
            else:
                yield from _nan_faults(column, f"{path}.nan")
        if self.target is not None:
            yield from self._target_faults(self.target)
        if self.extra_columns not in get_args(ExtraColumns):
            yield Problem("extra_columns", f"{self.extra_columns!r} is neither 'fault' nor 'ignore'")
        yield from _csv_faults(self.csv)

    def _target_faults(self, target: str) -> Iterator[Problem]:
        if target in DTYPES and target not in self._by_name:
            named = f'Schema.of({{..., "target": "{target}"}}, target="target")'
            yield Problem("target", f"{target!r} is not a column; to declare a column named target, use {named}")
        elif target not in self._by_name:
            yield Problem("target", f"{target!r} is not a column" + did_you_mean(target, self._by_name))
        elif self.column(target).dtype == "text" or self.column(target).is_list:
            what = f"{self.column(target).dtype}, of which no target can be made"
            yield Problem("target", f"{target!r} is declared as {what}; labels are a 'string'")


_DEFAULT_CSV: Final = Csv()
_NO_DELIMITER: Final = '"\\\r\n\0+-. '


def _suggested(dtype: str) -> str:
    known = _OTHER_NAMES.get(dtype) or _OTHER_NAMES.get(dtype.lower())
    return f'; write "{known}"' if known else did_you_mean(dtype, DTYPES)


def _nan_faults(column: Column, path: str) -> Iterator[Problem]:
    if column.nan not in get_args(Nan):
        yield Problem(path, f"{column.nan!r} is not one of {', '.join(get_args(Nan))}")
    elif column.nan != "fault" and not (column.item if column.is_list else column).is_float:
        yield Problem(path, f"{column.dtype} has no NaN")
    elif column.nan == "null" and column.is_list:
        yield Problem(path, "converts NaN to null, which a list of numbers cannot contain")
    elif column.nan == "null" and not column.nullable:
        yield Problem(path, "converts NaN to null, but the column is not nullable")


def _csv_faults(csv: object) -> Iterator[Problem]:
    if not isinstance(csv, Csv):
        yield Problem("csv", 'is not a Csv; to declare a column with this name, use Schema.of({"csv": ...})')
        return
    if csv.dialect not in {None, "rfc4180", "spark"}:
        yield Problem("csv.dialect", f"{csv.dialect!r} is neither 'rfc4180' nor 'spark'")
    if csv.header not in {None, "each", "none"}:
        yield Problem("csv.header", f"{csv.header!r} is neither 'each' nor 'none'")
    if (
        len(csv.delimiter) != 1
        or not csv.delimiter.isascii()
        or csv.delimiter.isalnum()
        or csv.delimiter in _NO_DELIMITER
    ):
        yield Problem(
            "csv.delimiter", f"{csv.delimiter!r} is not one ASCII character that separates fields, such as ';'"
        )
    if csv.decimal not in {".", ","}:
        yield Problem("csv.decimal", f"{csv.decimal!r} is neither '.' nor ','")
    elif csv.decimal == csv.delimiter:
        yield Problem(
            "csv.decimal", "is the delimiter too; declare the delimiter, such as Csv(delimiter=';', decimal=',')"
        )
    if isinstance(csv.null_values, str) or not all(csv.null_values):
        yield Problem("csv.null_values", 'is not a list of texts, such as null_values=["NA"]')


def with_nullable_target(schema: Schema) -> Schema:
    """Return the schema with a nullable target, because bodies to predict may contain the column without values."""
    return schema.of_columns([replace(c, nullable=True) if c.name == schema.target else c for c in schema.columns])
