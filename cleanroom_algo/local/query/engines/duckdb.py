"""The embedded engine: DuckDB, over a database that holds nothing but what the query may read.

Of each table that a query names, the columns that it uses are copied into a database of its own. Then every other door
is closed, and the query runs: no file, no other column, no network, no extension and no Python variable is within its
reach, whatever its text says.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from cleanroom_algo.errors import EngineDiffersError, Problem, QueryError
from cleanroom_algo.local.query.engines.agreement import agree
from cleanroom_algo.local.query.engines.database import load_tables, open_database
from cleanroom_algo.local.query.engines.macros import NOT_SAME, create_macros
from cleanroom_algo.local.query.resolution import Resolution


def compute(resolution: Resolution, draft: Path) -> None:
    """Make the table `result` of a database in a folder, with everything else shut out.

    Raises:
        EngineDiffersError: CR-JOB-403, DuckDB may give other values than Spark.
        QueryError: CR-JOB-401, the query cannot be run; no value of a row is in the message.
        duckdb.OutOfMemoryException: there is too little memory and disk for it.
    """
    with open_database(draft) as connection:
        tables = load_tables(connection, resolution)
        statement = agree(resolution, tables).sql(dialect="duckdb", comments=False)
        create_macros(connection)
        try:
            create_result(connection, statement)
        except duckdb.OutOfMemoryException:
            raise
        except duckdb.Error as error:
            raise _failed(error) from None


def create_result(connection: duckdb.DuckDBPyConnection, statement: str) -> None:
    """Shut everything else out, and run what may be hostile."""
    connection.execute("SET enable_external_access=false")
    connection.execute("SET lock_configuration=true")
    connection.execute(f"CREATE TABLE result AS {statement}")


def _failed(error: duckdb.Error) -> QueryError | EngineDiffersError:
    """Return an error that says what DuckDB says of the query's form, but not what it says of values."""
    if NOT_SAME in str(error):
        return EngineDiffersError(
            "DuckDB may return other values than Spark for a value in this query",
            expected="strings, times and numbers in formats that both engines read in the same way",
            fix='choose --engine spark, or query_engine = "spark" in [machine] of settings.toml',
        )
    of_form = isinstance(error, duckdb.BinderException | duckdb.CatalogException | duckdb.ParserException)
    reason = str(error).split("\n")[0] if of_form else "a value cannot be computed; the message may quote it"
    return QueryError(
        "the query failed",
        expected="a query that runs on every row",
        fix="check column names and types, and use CASE to guard expressions that can overflow",
        problems=[Problem("queryString", f"{type(error).__name__}: {reason}")],
    )
