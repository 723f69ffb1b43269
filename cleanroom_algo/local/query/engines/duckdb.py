"""The embedded engine: DuckDB, over a database that holds nothing but what the query may read.

Of each table that a query names, the columns that it uses are copied into a database of its own. Then every other door
is closed, and the query runs: no file, no other column, no network, no extension and no Python variable is within its
reach, whatever its text says. Its result is written to part files, the way Spark writes them, by another connection.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path

import duckdb

from cleanroom_algo.errors import Problem, QueryError, TableUnreadableError
from cleanroom_algo.local.query.plan import QueryOutcome, QueryPlan
from cleanroom_algo.local.query.resolution import MEMBERS, Resolution
from cleanroom_algo.local.query.rules import check
from cleanroom_algo.local.query.table import Table

DEFAULT_FILES = 4  # enough that ShardedByS3Key has something to share; Spark writes one file for each of its tasks
_MEMORY = "1GB"  # what does not fit goes to disk
_TIMESTAMP = "%Y-%m-%dT%H:%M:%S.%gZ"  # as Spark writes them in its session zone, UTC
_SUFFIXES = {"CSV": "csv", "PARQUET": "snappy.parquet"}
_DATABASE = "result.duckdb"


def run(plan: QueryPlan) -> QueryOutcome:
    """Run a query; its files appear all at once or not at all.

    Raises:
        QueryError: CR-JOB-401, the query cannot be run; no value of a row is in the message.
        TableUnreadableError: CR-JOB-402, nor the files of a table that it names.
    """
    resolution = check(plan.query, plan.access)
    draft = plan.directory.with_name(f".{plan.directory.name}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        compute(resolution, draft)
        records, dialect_columns = _write(plan, draft)
    except duckdb.Error as error:
        raise _failed(error) from None
    else:
        for path in draft.glob(f"{_DATABASE}*"):
            path.unlink()
        shutil.rmtree(draft / "spill", ignore_errors=True)
        sizes = [path.stat().st_size for path in draft.iterdir()]
        draft.rename(plan.directory)
        return QueryOutcome(records, len(sizes), sum(sizes), dialect_columns)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def compute(resolution: Resolution, draft: Path) -> None:
    """Make the table `result` of a database in a folder, with everything else shut out."""
    with _connection(draft) as connection:
        # In memory, and on the disk where they do not fit: twice as fast as in the database's file.
        connection.execute(f"ATTACH ':memory:' AS {MEMBERS}")
        for name, columns in resolution.columns.items():
            _copy(connection, resolution.tables[name.lower()], columns)
        connection.execute("SET enable_external_access=false")
        connection.execute("SET lock_configuration=true")
        connection.execute(f"CREATE TABLE result AS {resolution.statement.sql(dialect='duckdb', comments=False)}")


def _connection(draft: Path) -> duckdb.DuckDBPyConnection:
    settings: Mapping[str, str | bool] = {
        "memory_limit": _MEMORY,
        "temp_directory": str(draft / "spill"),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "python_enable_replacements": False,
    }
    connection = duckdb.connect(str(draft / _DATABASE), config=dict(settings))
    connection.execute("SET TimeZone='UTC'")
    # Where several rows are equal in ORDER BY, files of one query would differ from run to run otherwise.
    connection.execute("SET preserve_insertion_order=true")
    return connection


def _copy(connection: duckdb.DuckDBPyConnection, table: Table, columns: tuple[str, ...]) -> None:
    """Copy the used columns of a table; of one whose rows are only counted, nothing but that they are there."""
    shown = ", ".join(map(_identifier, columns)) or "true AS present"
    try:
        connection.execute(
            f"CREATE TABLE {MEMBERS}.{_identifier(table.name)} AS SELECT {shown} FROM {_source(table)}"  # noqa: S608
        )
    except duckdb.Error as error:
        raise TableUnreadableError(
            f"table {table.name!r} cannot be read as {table.format} ({type(error).__name__})",
            expected=f"{table.format} files with the columns {', '.join(columns)}"
            if columns
            else f"{table.format} files",
            fix="declare the format and the columns of its files; the format is parquet where it is left out",
        ) from None


def _source(table: Table) -> str:
    """Return what reads a table's files, each by its name."""
    files = sorted(table.location.rglob(f"*.{table.format}")) if table.location.is_dir() else [table.location]
    names = ", ".join(f"'{_quoted(path)}'" for path in files if path.is_file())
    if not names:
        raise TableUnreadableError(
            f"table {table.name!r} has no files whose names end in .{table.format}",
            expected=f"a {table.format} file, or a folder of such files",
            fix="see whether the location and the format that are declared for the table are right",
        )
    return (
        f"read_parquet([{names}])" if table.format == "parquet" else f"read_csv([{names}], header=true, sample_size=-1)"
    )


def _write(plan: QueryPlan, draft: Path) -> tuple[int, tuple[str, ...]]:
    """Write the part files; return the number of rows, and the columns whose text depends on the dialect."""
    with _connection(draft) as connection:
        row = connection.execute("SELECT count(*) FROM result").fetchone()
        records = int(row[0]) if row else 0
        per_file = max(-(-records // DEFAULT_FILES), 1)
        if plan.max_records:
            per_file = min(per_file, plan.max_records)
        identifier, suffix = uuid.uuid4(), f".{_SUFFIXES[plan.result_format]}" if plan.extension else ""
        for number, first in enumerate(range(0, max(records, 1), per_file)):
            path = draft / f"part-{number:05}-{identifier}-c000{suffix}"
            rows = f"SELECT * FROM result WHERE rowid >= {first} AND rowid < {first + per_file}"  # noqa: S608
            connection.execute(f"COPY ({rows}) TO '{_quoted(path)}' ({_options(plan)})")
        return records, _dialect_columns(connection) if plan.result_format == "CSV" else ()


def _dialect_columns(connection: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
    described = connection.execute("SELECT column_name FROM (DESCRIBE result) WHERE column_type = 'VARCHAR'").fetchall()
    names = [str(name) for (name,) in described]
    found = ", ".join(f"bool_or(regexp_matches({_identifier(name)}, '[\"\\\\\\r\\n]'))" for name in names)
    row = connection.execute(f"SELECT {found} FROM result").fetchone() if names else None  # noqa: S608
    return tuple(name for name, is_found in zip(names, row or (), strict=bool(names)) if is_found)


def _options(plan: QueryPlan) -> str:
    if plan.result_format == "PARQUET":
        return "FORMAT parquet, COMPRESSION snappy"
    header = "true" if plan.header else "false"
    # NULL is an unquoted empty field, an empty text a quoted one (nullValueWrittenAsQuotedEmptyStringCsv is false).
    return f"FORMAT csv, HEADER {header}, NULLSTR '', TIMESTAMPFORMAT '{_TIMESTAMP}'"


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _failed(error: duckdb.Error) -> QueryError:
    """Return an error that says what DuckDB says of the query's form, but not what it says of values."""
    of_form = isinstance(error, duckdb.BinderException | duckdb.CatalogException | duckdb.ParserException)
    reason = str(error).split("\n")[0] if of_form else "a value cannot be computed; the message may quote it"
    return QueryError(
        "the query failed",
        expected="a query that runs on every row",
        fix="check column names and types; guard conversions (try_cast) and divisions",
        problems=[Problem("queryString", f"{type(error).__name__}: {reason}")],
    )
