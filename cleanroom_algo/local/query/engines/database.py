"""A database of DuckDB in a folder, with the members' tables: both engines read the same rows and types."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import duckdb

from cleanroom_algo.errors import TableUnreadableError
from cleanroom_algo.local.query.engines.spark_types import spark_type
from cleanroom_algo.local.query.engines.table_files import with_first_file
from cleanroom_algo.local.query.resolution import MEMBERS, Resolution
from cleanroom_algo.local.query.table import Table

DATABASE: Final = "result.duckdb"
_MEMORY = "1GB"  # larger data is written to the disk
_AS_SPARK_READS: Final = {
    "UTINYINT": "SMALLINT",
    "USMALLINT": "INTEGER",
    "UINTEGER": "BIGINT",
    "UBIGINT": "DECIMAL(20,0)",
    "TIMESTAMP_S": "TIMESTAMP",
    "TIMESTAMP_MS": "TIMESTAMP",
    "TIMESTAMP_NS": "TIMESTAMP",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMP",
}


def open_database(draft: Path) -> duckdb.DuckDBPyConnection:
    """Open the database of a folder; it reads files, but no settings, extensions or variables of Python."""
    settings: Mapping[str, str | bool] = {
        "memory_limit": _MEMORY,
        "temp_directory": str(draft / "spill"),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "python_enable_replacements": False,
    }
    connection = duckdb.connect(str(draft / DATABASE), config=dict(settings))
    connection.execute("SET GLOBAL TimeZone='UTC'")
    # Without this, the files of a query would differ between runs if several rows are equal in ORDER BY.
    connection.execute("SET preserve_insertion_order=true")
    return connection


def load_tables(connection: duckdb.DuckDBPyConnection, resolution: Resolution) -> dict[str, dict[str, str]]:
    """Copy only the columns that a query uses, without those of tables in S3.

    Returns:
        Spark's types of the columns, by names in lower case.
    """
    # In memory, and on the disk if they do not fit: twice as fast as in the database's file.
    connection.execute(f"ATTACH ':memory:' AS {MEMBERS}")
    return {
        name.lower(): _copy(connection, resolution.tables[name.lower()], columns)
        for name, columns in resolution.columns.items()
        if isinstance(resolution.tables[name.lower()].location, Path)
    }


def column_types(table: Table, endpoint: str | None = None) -> dict[str, str]:
    """Return Spark's types of a table's columns, by name.

    Args:
        table: of a collaboration.
        endpoint: the URL of an S3 service; as boto3 finds it if None.

    Raises:
        TableUnreadableError: CR-JOB-402.
    """
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        table = with_first_file(table, Path(folder) / "table", endpoint)
        shown = ", ".join(map(identifier, table.columns))
        with _unreadable(table, table.columns):
            found = types(connection, f"SELECT {shown} FROM {_source(table)}")  # noqa: S608
    return {name: spark_type(_AS_SPARK_READS.get(kind, kind)) or kind.lower() for name, kind in found}


@contextlib.contextmanager
def _unreadable(table: Table, columns: Sequence[str]) -> Iterator[None]:
    """Report what the files of a table should be if they cannot be read."""
    try:
        yield
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        raise TableUnreadableError(
            f"table {table.name!r} cannot be read as {table.format} ({type(error).__name__})",
            expected=f"{table.format} files with the columns {', '.join(columns)}"
            if columns
            else f"{table.format} files",
            fix="declare the format and the columns of its files; the default format is parquet",
        ) from None


def _copy(connection: duckdb.DuckDBPyConnection, table: Table, columns: tuple[str, ...]) -> dict[str, str]:
    """Copy the used columns of a table; if rows are only counted, copy no values."""
    shown = ", ".join(map(identifier, columns)) or "true AS present"
    name = f"{MEMBERS}.{identifier(table.name)}"
    with _unreadable(table, columns):
        connection.execute(f"CREATE TABLE {name} AS SELECT {shown} FROM {_source(table)}")  # noqa: S608
    return {
        column.lower(): _as_spark_reads(connection, table, column, kind) for column, kind in types(connection, name)
    }


def _as_spark_reads(connection: duckdb.DuckDBPyConnection, table: Table, column: str, kind: str) -> str:
    """Convert a column to its type in Spark, and return the name of the type."""
    if kind in _AS_SPARK_READS:
        name, kind = f"{MEMBERS}.{identifier(table.name)}", _AS_SPARK_READS[kind]
        connection.execute(f"ALTER TABLE {name} ALTER COLUMN {identifier(column)} TYPE {kind}")
    if (found := spark_type(kind)) is None:
        raise TableUnreadableError(
            f"column {column!r} of table {table.name!r} has the type {kind}, which local queries do not support",
            expected="columns of numbers, strings, Booleans, dates and timestamps",
            fix="remove the column from the query, or write the files with another type",
        )
    return found


def types(connection: duckdb.DuckDBPyConnection, table: str) -> list[tuple[str, str]]:
    """Return names and DuckDB's types of a table's columns."""
    described = connection.execute(f"SELECT column_name, column_type FROM (DESCRIBE {table})").fetchall()  # noqa: S608
    return [(str(name), str(kind)) for name, kind in described]


def _source(table: Table) -> str:
    """Return the SQL that reads a table's files, each by its name."""
    assert isinstance(table.location, Path)
    files = sorted(table.location.rglob(f"*.{table.format}")) if table.location.is_dir() else [table.location]
    names = ", ".join(quoted(str(path)) for path in files if path.is_file())
    if not names:
        raise TableUnreadableError(
            f"table {table.name!r} has no files whose names end in .{table.format}",
            expected=f"a {table.format} file, or a folder of such files",
            fix="check the declared location and format of the table",
        )
    return (
        f"read_parquet([{names}])" if table.format == "parquet" else f"read_csv([{names}], header=true, sample_size=-1)"
    )


def quoted(text: str) -> str:
    """Return a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Return a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
