"""Parquet objects to tables: polars decodes, columns are found by name, types are cast only where nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from cleanroom_algo.channels.csv_rows import row_mismatch
from cleanroom_algo.channels.parquet_footer import Footer, NotParquetError, read_footer
from cleanroom_algo.channels.schema import Column, Schema
from cleanroom_algo.errors import ColumnsMismatchError, CorruptObjectError, Problem


def footer_of(path: Path, *, source: str) -> Footer:
    """Return the footer of a Parquet file.

    Raises:
        CorruptObjectError: CR-CHN-005, the file has none, or it does not fit the file.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        try:
            return read_footer(file, file.seek(0, 2))
        except NotParquetError as error:
            raise damaged(source, str(error)) from error


def read_parquet(
    path: Path,
    schema: Schema,
    *,
    source: str,
    batch_rows: int,
    columns: Sequence[str] | None = None,
    first_row: int = 0,
    rows: int | None = None,
) -> Iterator[pl.DataFrame]:
    """Yield the rows of a Parquet file as tables of at most `batch_rows` rows, in order.

    Columns that the schema does not declare are not read. A type other than the declared one is cast if no value is
    lost: other widths of integers and floats, integers and decimals to floats, timestamps of any unit and zone, and
    categories to strings.

    Args:
        path: where the file lies.
        schema: the declared columns.
        source: what to call the object in messages.
        batch_rows: at least 1.
        columns: the columns to return, all by default.
        first_row: where to start; row groups before it are not read.
        rows: how many rows, all by default.

    Raises:
        CorruptObjectError: CR-CHN-005, no footer, or damaged pages.
        ColumnsMismatchError: CR-SCH-003, a column is missing or of another type.
        RowMismatchError: CR-SCH-002, a value out of the type's range, or a null where none may be.
    """
    wanted = [schema.column(name) for name in (columns if columns is not None else schema.names)]
    # A list of one path is taken as it is; a single path may be expanded as a pattern or a directory.
    scan = pl.scan_parquet(path, glob=False, hive_partitioning=False)
    try:
        _check_columns(wanted, scan.collect_schema(), source)
        scan = scan.select([column.name for column in wanted])
        if first_row or rows is not None:
            scan = scan.slice(first_row, rows)
        row = first_row
        for batch in scan.collect_batches(chunk_size=batch_rows, maintain_order=True, lazy=True):
            for part in batch.iter_slices(batch_rows):
                yield _checked(part, wanted, source, row)
                row += part.height
    except (pl.exceptions.ComputeError, pl.exceptions.PanicException) as error:
        raise damaged(source, "its pages cannot be decoded") from error


def conform(frame: pl.DataFrame, columns: Sequence[Column], *, source: str, row: int = 0) -> pl.DataFrame:
    """Return the declared columns of a table that is already in memory, each of its type; the rules are the same.

    Args:
        frame: the table, or a part of it.
        columns: the declared ones.
        source: what to call the table in messages.
        row: the position of the part's first row.

    Raises:
        ColumnsMismatchError: CR-SCH-003, a column is missing or of another type.
        RowMismatchError: CR-SCH-002, a value out of the type's range, or a null where none may be.
    """
    _check_columns(columns, frame.schema, source)
    return _checked(frame, columns, source, row)


def damaged(source: str, what: str) -> CorruptObjectError:
    """Return the error for a damaged Parquet object."""
    return CorruptObjectError(
        f"{source}: the Parquet file is damaged or cut short: {what}",
        expected="a whole Parquet file: PAR1, pages, footer, footer length, PAR1",
        fix="write the object again; a partial upload is the usual cause",
    )


def _check_columns(wanted: Sequence[Column], found: pl.Schema, source: str) -> None:
    problems = []
    for column in wanted:
        if column.name not in found:
            problems.append(Problem(f"{source}:{column.name}", "is missing"))
        elif not _castable(found[column.name], column):
            problems.append(Problem(f"{source}:{column.name}", f"is {found[column.name]}, declared as {column.dtype}"))
    if problems:
        raise ColumnsMismatchError(
            f"{source}: {len(problems)} declared column(s) cannot be read",
            expected="the declared columns, of types that become the declared ones without loss",
            fix="declare the columns and types that the channel's query selects",
            problems=problems,
        )


def _castable(found: pl.DataType, column: Column) -> bool:
    if found == column.polars_dtype() or found == pl.Null:
        return True
    if column.is_integer:
        return found.is_integer()
    if column.is_float:
        return found.is_numeric()
    if column.dtype == "string":
        return isinstance(found, (pl.Categorical, pl.Enum))
    return column.dtype == "timestamp" and isinstance(found, pl.Datetime)


def _checked(frame: pl.DataFrame, wanted: Sequence[Column], source: str, row: int) -> pl.DataFrame:
    problems: list[Problem] = []
    result = []
    for column in wanted:
        given = frame.get_column(column.name)
        values = given if given.dtype == column.polars_dtype() else _cast(given, column)
        result.append(values)
        lost = values.null_count() - given.null_count()
        if lost or (values.null_count() and not column.nullable):
            faulty = values.is_null() & given.is_not_null() if lost and column.nullable else values.is_null()
            at = row + int(faulty.arg_max() or 0)
            what = f"{lost} value(s) out of the range of" if lost else f"{values.null_count()} null(s) in"
            problems.append(Problem(f"{source}:row {at}:{column.name}", f"{what} {column.dtype}, not nullable"))
    if problems:
        raise row_mismatch(source, problems, frame.height)
    return pl.DataFrame(result)


def _cast(values: pl.Series, column: Column) -> pl.Series:
    if isinstance(values.dtype, pl.Datetime) and values.dtype.time_zone is not None:
        values = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return values.cast(column.polars_dtype(), strict=False)
