"""Parquet objects to tables: polars decodes, columns are found by name, types are cast only where nothing is lost."""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl

from cleanroom_algo.channels.formats.csv.rows import row_mismatch
from cleanroom_algo.channels.formats.parquet.footer import Footer, NotParquetError, read_footer
from cleanroom_algo.channels.formats.parquet.groups import group_files, without_rows
from cleanroom_algo.channels.schema import Column, Schema
from cleanroom_algo.channels.values import of_utc_years
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
    groups: range | None = None,
    streamed: bool = False,
) -> Iterator[pl.DataFrame]:
    """Yield the rows of a Parquet file as tables of at most `batch_rows` rows, in order.

    Columns that the schema does not declare are not read. A type other than the declared one is cast if no value is
    lost: other widths of integers and floats, decimals without fraction to integers (what some engines make of a sum),
    integers and decimals to floats, timestamps of any unit and zone, dates to timestamps, categories and bytes in UTF-8
    to strings.

    Streamed, the file is read once, front to back but for its footer, with the next row group on its way; memory: two
    row groups, stored and decoded. Else polars maps it into memory.

    Args:
        path: where the file lies.
        schema: the declared columns.
        source: what to call the object in messages.
        batch_rows: at least 1.
        columns: the columns to return, all by default.
        groups: the row groups to read, all by default.
        streamed: whether nothing may be asked of the file that a stream could not give.

    Raises:
        CorruptObjectError: CR-CHN-005, no footer, or damaged pages.
        ColumnsMismatchError: CR-SCH-003, a column is missing, there twice or of another type.
        RowMismatchError: CR-SCH-002, a value out of the type's range, or a null where none may be.
    """
    wanted = [schema.column(name) for name in (columns if columns is not None else schema.names)]
    footer = footer_of(path, source=source) if groups is not None or streamed else None
    row = 0 if footer is None or groups is None else sum(group.rows for group in footer.groups[: groups.start])
    try:
        if footer is not None and streamed:
            tables = _streamed(path, footer, wanted, source, groups or range(len(footer.groups)))
        else:
            rows = None if footer is None or groups is None else sum(footer.groups[each].rows for each in groups)
            tables = _mapped(path, wanted, source, batch_rows, row, rows)
        with contextlib.closing(tables):
            for table in tables:
                for part in table.iter_slices(batch_rows):
                    yield _checked(part, wanted, source, row)
                    row += part.height
    except pl.exceptions.DuplicateError as error:
        raise _ambiguous(source, footer or footer_of(path, source=source)) from error
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        if footer is None:
            footer_of(path, source=source)  # says what is wrong with it
        raise damaged(source, "its pages cannot be decoded") from error
    except NotParquetError as error:
        raise damaged(source, str(error)) from error


def _mapped(
    path: Path, wanted: Sequence[Column], source: str, batch_rows: int, first_row: int, rows: int | None
) -> Generator[pl.DataFrame]:
    # A path may be expanded as a pattern or a directory otherwise.
    scan = pl.scan_parquet(path, glob=False, hive_partitioning=False)
    _check_columns(wanted, scan.collect_schema(), source)
    scan = scan.select([column.name for column in wanted])
    if first_row or rows is not None:
        scan = scan.slice(first_row, rows)
    yield from scan.collect_batches(chunk_size=batch_rows, maintain_order=True, lazy=True)


def _streamed(
    path: Path, footer: Footer, wanted: Sequence[Column], source: str, groups: range
) -> Generator[pl.DataFrame]:
    names = [column.name for column in wanted]
    with path.open("rb", buffering=0) as file, ThreadPoolExecutor(1, "row-groups") as pool:
        files = group_files(file, footer, names, groups)
        _check_columns(wanted, pl.scan_parquet(without_rows(footer)).collect_schema(), source)

        def decode() -> pl.DataFrame | None:
            group = next(files, None)
            return None if group is None else _decoded(group, names)

        ahead = pool.submit(decode)
        while (table := ahead.result()) is not None:
            ahead = pool.submit(decode)
            yield table


def _decoded(group: io.BytesIO, names: Sequence[str]) -> pl.DataFrame:
    """Return the columns of a single row group: polars decodes it by one thread, unless it is asked for in shares."""
    shares = max(1, min(pl.thread_pool_size(), len(names)))
    tables = pl.collect_all([pl.scan_parquet(group).select(names[share::shares]) for share in range(shares)])
    return pl.concat(tables, how="horizontal").select(names)


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


def _ambiguous(source: str, footer: Footer) -> ColumnsMismatchError:
    return ColumnsMismatchError(
        f"{source}: columns of one name",
        expected="columns of which each has a name of its own",
        fix="give each column that the channel's query selects a name of its own (AS)",
        problems=[
            Problem(f"{source}:{name}", f"is there {count} times")
            for name, count in Counter(footer.columns).items()
            if count > 1
        ],
    )


def _check_columns(wanted: Sequence[Column], found: pl.Schema, source: str) -> None:
    problems = []
    folded = {name.lower() for name in found}
    for column in wanted:
        if column.name not in found:
            case = ", but there is one whose name differs only in case" if column.name.lower() in folded else ""
            problems.append(Problem(f"{source}:{column.name}", f"is missing{case}"))
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
        return found.is_integer() or (isinstance(found, pl.Decimal) and found.scale == 0)
    if column.is_float:
        return found.is_numeric()
    if column.dtype == "string":
        return isinstance(found, (pl.Categorical, pl.Enum, pl.Binary))
    return column.dtype == "timestamp" and isinstance(found, (pl.Datetime, pl.Date))


def _checked(frame: pl.DataFrame, wanted: Sequence[Column], source: str, row: int) -> pl.DataFrame:
    problems: list[Problem] = []
    result = []
    for column in wanted:
        given = frame.get_column(column.name)
        values = given if given.dtype == column.polars_dtype() else _cast(given, column)
        if column.dtype == "timestamp":
            values = of_utc_years(values)
        result.append(values)
        for faulty, what in _faults(column, given, values):
            at = row + int(faulty.arg_max() or 0)
            problems.append(Problem(f"{source}:row {at}:{column.name}", f"{faulty.sum()} {what}"))
    if problems:
        raise row_mismatch(source, problems, frame.height)
    return pl.DataFrame(result)


def _faults(column: Column, given: pl.Series, values: pl.Series) -> Iterator[tuple[pl.Series, str]]:
    """Yield which values have a fault, and what is said of so many of them."""
    if values.null_count() > given.null_count():
        rule = "that are not valid UTF-8" if column.dtype == "string" else f"out of the range of {column.dtype}"
        yield values.is_null() & given.is_not_null(), f"value(s) {rule}"
    if given.null_count() and not column.nullable:
        yield given.is_null(), f"null(s) in {column.dtype} that is not nullable"


def _cast(values: pl.Series, column: Column) -> pl.Series:
    """Return the values in the column's type, with nulls for those that are lost."""
    if isinstance(values.dtype, pl.Binary):
        return _decoded_text(values)
    if isinstance(values.dtype, pl.Datetime) and values.dtype.time_zone is not None:
        values = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return values.cast(column.polars_dtype(), strict=False)


def _decoded_text(values: pl.Series) -> pl.Series:
    try:
        return values.cast(pl.String)
    except pl.exceptions.ComputeError:  # raised for one of them, whatever is asked for

        def decoded(value: bytes) -> str | None:
            with contextlib.suppress(UnicodeDecodeError):
                return value.decode()
            return None

        return values.map_elements(decoded, return_dtype=pl.String)
