"""The embedded engine: DuckDB, with a database that only contains what the query may read.

The used columns of each table in a query are copied into a separate database. Then all other access is disabled, and
the query runs. Whatever its text says, it cannot reach files, other columns, the network, extensions or Python
variables.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from cleanroom_algo.errors import EngineDiffersError, Problem, QueryError
from cleanroom_algo.local.query.engines.database import load_tables, open_database
from cleanroom_algo.local.query.engines.macros import NOT_SAME, create_macros
from cleanroom_algo.local.query.engines.translation import translate
from cleanroom_algo.local.query.resolution import Resolution


def compute(resolution: Resolution, draft: Path) -> None:
    """Create the table `result` of a database in a folder, with all other access disabled.

    Raises:
        EngineDiffersError: CR-JOB-403, DuckDB may return other values than Spark.
        QueryError: CR-JOB-401, the query cannot be run; the message contains no value of a row.
        duckdb.OutOfMemoryException: memory and disk are not sufficient.
    """
    with open_database(draft) as connection:
        tables = load_tables(connection, resolution)
        statement = translate(resolution, tables).sql(dialect="duckdb", comments=False)
        create_macros(connection, statement)
        try:
            create_result(connection, statement)
        except duckdb.OutOfMemoryException:
            raise
        except duckdb.Error as error:
            raise _failed(error) from None


def create_result(connection: duckdb.DuckDBPyConnection, statement: str) -> None:
    """Disable all other access, and run a statement that may be hostile."""
    connection.execute("SET enable_external_access=false")
    connection.execute("SET lock_configuration=true")
    connection.execute(f"CREATE TABLE result AS {statement}")


def _failed(error: duckdb.Error) -> QueryError | EngineDiffersError:
    """Return an error with DuckDB's message about the query's form, but without messages about values."""
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
