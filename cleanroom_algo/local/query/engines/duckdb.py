"""ML input channels: a query over the members' tables, written as part files the way Spark writes them."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import duckdb

from cleanroom_algo.errors import Problem, QueryError
from cleanroom_algo.local.query.rules import Table, translate

DEFAULT_FILES = 4  # enough that ShardedByS3Key has something to share; Spark writes one file for each of its tasks
_MEMORY = "1GB"  # what does not fit goes to disk
_TIMESTAMP = "%Y-%m-%dT%H:%M:%S.%gZ"  # as Spark writes them in its session zone, UTC
_SUFFIXES = {"CSV": "csv", "PARQUET": "snappy.parquet"}


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """A query to run, as a plain value.

    Attributes:
        query: in Spark's dialect.
        tables: that it may see.
        hidden: why it may not see others, by name.
        directory: for the part files; it must not exist.
        result_format: of the part files.
        header: whether CSV files begin with the names.
        max_records: per file; 0: no limit.
        extension: whether the names of part files say their format.
    """

    query: str
    tables: tuple[Table, ...]
    directory: Path
    result_format: Literal["CSV", "PARQUET"] = "CSV"
    header: bool = True
    max_records: int = 0
    extension: bool = True
    hidden: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QueryOutcome:
    """What a query wrote: rows, part files, and their bytes together."""

    records: int
    files: int
    bytes: int


def run(plan: QueryPlan) -> QueryOutcome:
    """Run a query; its files appear all at once or not at all.

    Raises:
        QueryError: CR-JOB-401, the query cannot be run; no value of a row is in the message.
    """
    tables = {table.name: table for table in plan.tables}
    statement = translate(plan.query, tables, plan.hidden)
    draft = plan.directory.with_name(f".{plan.directory.name}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        with duckdb.connect(str(draft / "result.duckdb")) as connection:
            _prepare(connection, plan.tables, draft)
            connection.execute(f"CREATE TABLE result AS {statement}")
            records = _write(connection, plan, draft)
    except duckdb.Error as error:
        shutil.rmtree(draft)
        raise _failed(error) from None
    for path in draft.glob("result.duckdb*"):
        path.unlink()
    shutil.rmtree(draft / "spill", ignore_errors=True)
    sizes = [path.stat().st_size for path in draft.iterdir()]
    draft.rename(plan.directory)
    return QueryOutcome(records, len(sizes), sum(sizes))


def _prepare(connection: duckdb.DuckDBPyConnection, tables: tuple[Table, ...], draft: Path) -> None:
    """Make the tables visible, then close every other door: no files, no network, no extensions, no settings."""
    connection.execute(f"SET memory_limit='{_MEMORY}'")
    connection.execute(f"SET temp_directory='{_quoted(draft / 'spill')}'")
    connection.execute("SET TimeZone='UTC'")
    # Where several rows are equal in ORDER BY, files of one query would differ from run to run otherwise.
    connection.execute("SET preserve_insertion_order=true")
    for table in tables:
        columns = ", ".join(f'"{name}"' for name in table.columns)
        connection.execute(f'CREATE TEMP VIEW "{table.name}" AS SELECT {columns} FROM {_source(table)}')  # noqa: S608
    places = ", ".join(f"'{_quoted(path)}/'" for path in (draft, *(_folder(table) for table in tables)))
    connection.execute(f"SET allowed_directories=[{places}]")
    connection.execute("SET enable_external_access=false")
    connection.execute("SET lock_configuration=true")


def _folder(table: Table) -> Path:
    return table.location if table.location.is_dir() else table.location.parent


def _source(table: Table) -> str:
    pattern = table.location / f"**/*.{table.format}" if table.location.is_dir() else table.location
    if table.format == "parquet":
        return f"read_parquet('{_quoted(pattern)}')"
    return f"read_csv('{_quoted(pattern)}', header=true, sample_size=-1)"


def _write(connection: duckdb.DuckDBPyConnection, plan: QueryPlan, draft: Path) -> int:
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
    return records


def _options(plan: QueryPlan) -> str:
    if plan.result_format == "PARQUET":
        return "FORMAT parquet, COMPRESSION snappy"
    header = "true" if plan.header else "false"
    # NULL is an unquoted empty field, an empty text a quoted one (nullValueWrittenAsQuotedEmptyStringCsv is false).
    return f"FORMAT csv, HEADER {header}, NULLSTR '', TIMESTAMPFORMAT '{_TIMESTAMP}'"


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


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
