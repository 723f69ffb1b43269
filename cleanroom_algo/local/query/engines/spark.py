"""Spark itself, in this process's own session on this machine: for what DuckDB does not compute as Spark does.

The tables of the collaboration are temporary views over the columns that the query uses; its catalog is in memory, and
holds nothing else. One session serves all queries of a process.
"""

from __future__ import annotations

import functools
import logging
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sqlglot import exp

from cleanroom_algo.errors import Problem, QueryError, SparkUnavailableError
from cleanroom_algo.local.query.engines.database import identifier, load_tables, open_database, quoted
from cleanroom_algo.local.query.resolution import MEMBERS, Resolution

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)


def compute(resolution: Resolution, draft: Path) -> None:
    """Make the table `result` of a database in a folder.

    Raises:
        SparkUnavailableError: CR-JOB-404. QueryError: CR-JOB-401, Spark cannot run the query.
    """
    session = spark_session()
    with open_database(draft) as connection:
        for name in load_tables(connection, resolution):
            rows = f"SELECT * FROM {MEMBERS}.{identifier(name)}"  # noqa: S608
            connection.execute(f"COPY ({rows}) TO {quoted(str(draft / f'{name}.parquet'))} (FORMAT parquet)")
    for name in resolution.columns:
        session.read.parquet(str(draft / f"{name.lower()}.parquet")).createOrReplaceTempView(
            f"{MEMBERS}_{name.lower()}"
        )
    try:
        _write(session, spark_sql(resolution), draft)
    finally:
        for name in resolution.columns:
            session.catalog.dropTempView(f"{MEMBERS}_{name.lower()}")
            (draft / f"{name.lower()}.parquet").unlink()
    with open_database(draft) as connection:
        rows = f"SELECT * FROM read_parquet({quoted(str(draft / 'spark/*.parquet'))})"  # noqa: S608
        connection.execute(f"CREATE TABLE result AS {rows}")
    shutil.rmtree(draft / "spark")


def spark_sql(resolution: Resolution) -> str:
    """Return a query in Spark's dialect, over the views of its tables."""
    statement = resolution.statement.copy()
    for table in statement.find_all(exp.Table):
        if table.db:
            table.set("db", None)
            table.set("this", exp.to_identifier(f"{MEMBERS}_{table.name.lower()}", quoted=True))
    return statement.sql(dialect="spark", comments=False)


def _write(session: SparkSession, statement: str, draft: Path) -> None:
    from pyspark.errors import PySparkException

    try:
        session.sql(statement).write.parquet(str(draft / "spark"))
    except PySparkException as error:
        condition = error.getCondition() or type(error).__name__  # what it says may quote values
        raise QueryError(
            "the query failed on Spark",
            expected="a query that runs on every row",
            fix="look up Spark's error condition; check column names and types",
            problems=[Problem("queryString", f"Spark's {condition}")],
        ) from None


@functools.cache
def spark_session() -> SparkSession:
    """Start Spark, once for a process.

    Raises:
        SparkUnavailableError: CR-JOB-404, pyspark or Java is missing.
    """
    try:
        from pyspark.sql import SparkSession as Session
    except ImportError:
        raise _unavailable("pyspark is not installed", "pip install 'cleanroom-algo[spark]'") from None
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        raise _unavailable("Java is not installed", "install Java 17, or set JAVA_HOME")
    log.info("starting Spark; this takes some seconds")
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    builder = Session.builder.master("local[*]").appName("cleanroom-algo")
    settings = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.ansi.enabled": "false",
        "spark.sql.shuffle.partitions": "4",
        "spark.sql.parquet.inferTimestampNTZ.enabled": "false",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.log.level": "ERROR",
    }
    for name, value in settings.items():
        builder = builder.config(name, value)
    try:
        return builder.getOrCreate()
    except Exception as error:  # pyspark has no class for what goes wrong before Java answers
        raise _unavailable(
            f"Spark does not start ({type(error).__name__})", "run `java -version`: Spark needs 17"
        ) from error


def _unavailable(what: str, fix: str) -> SparkUnavailableError:
    return SparkUnavailableError(
        what, expected='pyspark and Java 17, for query_engine = "spark"', fix=f'{fix}; or set query_engine = "duckdb"'
    )
