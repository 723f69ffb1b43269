"""Converts tables in memory to the declared types; casts only where no value is lost."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from typing import Final

import polars as pl

from cleanroom_algo.channels.faults import RowFaults
from cleanroom_algo.channels.hints import IGNORE_EXTRA, UNDECLARED
from cleanroom_algo.channels.schema import DTYPES, Column
from cleanroom_algo.channels.values import (
    TOO_LARGE,
    UNDECLARED_NAN,
    booleans,
    finite_or_null,
    is_finite,
    of_utc_years,
)
from cleanroom_algo.errors import ColumnsMismatchError, Problem

_DECIMAL_DIGITS: Final = 38
"""What 128 bits can hold; polars decodes no longer decimals."""


def conform(frame: pl.DataFrame, columns: Sequence[Column], *, source: str, row: int = 0) -> pl.DataFrame:
    """Return the declared columns of a table, each of its type.

    A column of another type is cast if no value is lost: integers and floats of other widths, decimals without fraction
    to integers (some engines return them for a sum), integers and decimals to floats, timestamps of any unit and zone,
    dates to timestamps, categories and bytes in UTF-8 to strings, integers and Booleans to categories, and spellings of
    Booleans (1 and 0, "yes" and "no") to Booleans. The items of lists are cast in the same way.

    Args:
        frame: the table, or a part of it.
        columns: the declared ones.
        source: what to call the table in messages.
        row: the position of the part's first row.

    Raises:
        ColumnsMismatchError: CR-SCH-003, a column is missing or of another type.
        RowMismatchError: CR-SCH-002, a value out of the type's range, NaN that is not declared, or a null where none
            may be.
    """
    check_columns(columns, frame.schema, source)
    faults = RowFaults(source)
    result = []
    faulty_rows: pl.Series | None = None
    for column in columns:
        given = frame.get_column(column.name)
        values = given if given.dtype == column.polars_dtype() else _cast(given, column)
        if column.dtype in {"date32", "timestamp"}:
            values = of_utc_years(values)
        for faulty, what in (_list_faults if column.is_list else _faults)(column, given, values):
            faulty_rows = faulty if faulty_rows is None else faulty_rows | faulty
            faults.add(f"row {row + int(faulty.arg_max() or 0)}", column.name, what, int(faulty.sum()))
        result.append(finite_or_null(values) if column.nan == "null" else values)
    if faulty_rows is not None and faulty_rows.any():
        faults.rows = int(faulty_rows.sum())
        raise faults.error(frame.height)
    return pl.DataFrame(result)


def check_columns(wanted: Sequence[Column], found: pl.Schema, source: str, *, extra: Collection[str] = ()) -> None:
    """Check that the declared columns exist, with types that can be converted to the declared ones without loss.

    Args:
        wanted: the declared columns.
        found: what the table has.
        source: what to call the table in messages.
        extra: names of columns that the table has and should not have.

    Raises:
        ColumnsMismatchError: CR-SCH-003, with each that is not.
    """
    problems = []
    folded = {name.lower() for name in found}
    for column in wanted:
        if column.name not in found:
            case = ", but there is one whose name differs only in case" if column.name.lower() in folded else ""
            problems.append(Problem(f"{source}:{column.name}", f"is missing{case}"))
        elif isinstance(dtype := found[column.name], pl.Decimal) and (dtype.precision or 0) > _DECIMAL_DIGITS:
            wide = f"is a decimal of {dtype.precision} digits, and at most {_DECIMAL_DIGITS} are read"
            problems.append(Problem(f"{source}:{column.name}", wide))
        elif not _castable(dtype, column):
            own = "category" if column.is_string and dtype.is_integer() else dtype_of(dtype)
            hint = f'; declare "{own}"' if own else ""
            problems.append(Problem(f"{source}:{column.name}", f"is {dtype}, declared as {column.dtype}{hint}"))
    declared = {column.name.lower() for column in wanted}
    extra = [name for name in extra if name.lower() not in declared]
    problems += [Problem(f"{source}:{name}", UNDECLARED) for name in extra]
    if problems:
        raise ColumnsMismatchError(
            f"{source}: {len(problems)} column(s) do not match the declared schema",
            expected="the declared columns, with types that can be converted to the declared types without loss",
            fix=IGNORE_EXTRA if extra else "declare the columns and types of the data, or change the file or query",
            problems=problems,
        )


def dtype_of(found: pl.DataType) -> str | None:
    """Return the type to declare for a column of a table, None if no type fits."""
    if isinstance(found, (pl.List, pl.Array)):
        item = dtype_of(found.inner)  # type: ignore[arg-type]
        return f"list[{item}]" if item and f"list[{item}]" in DTYPES else None
    if isinstance(found, pl.Decimal):
        return "float64" if found.scale else "int64"
    if isinstance(found, pl.Datetime):
        return "timestamp"
    if isinstance(found, (pl.Categorical, pl.Enum, pl.Binary)):
        return "string"
    names = {"Boolean": "bool", "Date": "date32"}
    name = names.get(str(found), str(found).lower())
    return name if name in DTYPES else None


def _castable(found: pl.DataType, column: Column) -> bool:
    if found == column.polars_dtype() or found == pl.Null:
        return True
    if column.is_integer:
        return found.is_integer() or (isinstance(found, pl.Decimal) and found.scale == 0)
    if column.is_float:
        return found.is_numeric()
    if column.dtype == "bool":
        return found.is_numeric() or found == pl.String
    if column.is_list:
        return isinstance(found, (pl.List, pl.Array)) and _castable(found.inner, column.item)  # type: ignore[arg-type]
    if column.is_string:
        text = isinstance(found, (pl.Categorical, pl.Enum, pl.Binary))
        return text or (column.dtype == "category" and (found.is_integer() or found == pl.Boolean))
    return column.dtype == "timestamp" and isinstance(found, (pl.Datetime, pl.Date))


def _faults(column: Column, given: pl.Series, values: pl.Series) -> Iterator[tuple[pl.Series, str]]:
    """Yield which values have a fault, and the fault."""
    if values.null_count() > given.null_count():
        yield values.is_null() & given.is_not_null(), _loss(column, given)
    if given.null_count() and not column.nullable:
        yield given.is_null(), f"null, but {column.dtype} is not nullable"
    if column.is_float and not is_finite(values):
        was_finite = given.cast(pl.Float64).is_finite()
        overflown = values.is_infinite() & was_finite
        if overflown.any():
            yield overflown.fill_null(value=False), TOO_LARGE.format(column.dtype)
        if column.nan == "fault" and not was_finite.all():
            yield (~was_finite).fill_null(value=False), UNDECLARED_NAN


def _list_faults(column: Column, given: pl.Series, values: pl.Series) -> Iterator[tuple[pl.Series, str]]:
    """Yield which lists have a fault, and the fault of the list or of its items."""
    if given.null_count() and not column.nullable:
        yield given.is_null(), f"null, but {column.dtype} is not nullable"
    filled = pl.DataFrame([given.alias("given"), values.alias("values")]).with_row_index("row")
    items = filled.filter(pl.col("values").list.len() > 0).explode("given", "values")
    for faulty, what in _faults(column.item, items["given"], items["values"]):
        yield filled["row"].is_in(items["row"].filter(faulty).unique().implode()), f"an item of the list is {what}"


def _loss(column: Column, given: pl.Series) -> str:
    if column.is_string:
        return "not valid UTF-8"
    if column.dtype == "bool":
        return "not of type bool"
    years = " or the years 1 to 9999" if given.dtype.is_temporal() else ""
    return f"out of the range of {column.dtype}{years}"


def _cast(values: pl.Series, column: Column) -> pl.Series:
    """Return the values in the column's type, with nulls for those that are lost."""
    if isinstance(values.dtype, pl.Binary):
        return _decoded_text(values)
    if isinstance(values.dtype, pl.Datetime) and values.dtype.time_zone is not None:
        values = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    if column.dtype == "bool":
        return booleans(values.cast(pl.String), strict=False)
    if isinstance(values.dtype, pl.Array):
        values = values.arr.to_list()
    return values.cast(column.polars_dtype(), strict=False)


def _decoded_text(values: pl.Series) -> pl.Series:
    try:
        return values.cast(pl.String)
    except pl.exceptions.ComputeError:  # raised if a value is not UTF-8, also with strict=False

        def decoded(value: bytes) -> str | None:
            with contextlib.suppress(UnicodeDecodeError):
                return value.decode()
            return None

        return values.map_elements(decoded, return_dtype=pl.String)
