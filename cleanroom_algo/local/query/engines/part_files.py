"""The part files of a channel, as Spark writes them, whichever engine made the result."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Final

import duckdb

from cleanroom_algo.errors import Problem, QueryError
from cleanroom_algo.local.query.engines.database import identifier, open_database, quoted, types
from cleanroom_algo.local.query.engines.macros import create_macros
from cleanroom_algo.local.query.plan import QueryPlan

DEFAULT_FILES: Final = 4  # enough that ShardedByS3Key has something to share; Spark writes one for each of its tasks
_TIMESTAMP: Final = "%Y-%m-%dT%H:%M:%S.%gZ"  # as Spark writes them in its session zone, UTC
_SUFFIXES: Final = {"CSV": "csv", "PARQUET": "snappy.parquet"}


def write_parts(plan: QueryPlan, draft: Path) -> tuple[int, tuple[str, ...]]:
    """Write the part files of the table `result`.

    Returns:
        The number of rows, and the columns whose text depends on the dialect.
    """
    with open_database(draft) as connection:
        create_macros(connection)
        row = connection.execute("SELECT count(*) FROM result").fetchone()
        records = int(row[0]) if row else 0
        per_file = max(-(-records // DEFAULT_FILES), 1)
        if plan.max_records:
            per_file = min(per_file, plan.max_records)
        shown = _columns(connection) if plan.result_format == "CSV" else "*"
        name, suffix = uuid.uuid4(), f".{_SUFFIXES[plan.result_format]}" if plan.extension else ""
        for number, first in enumerate(range(0, max(records, 1), per_file)):
            path = draft / f"part-{number:05}-{name}-c000{suffix}"
            rows = f"SELECT {shown} FROM result WHERE rowid >= {first} AND rowid < {first + per_file}"  # noqa: S608
            connection.execute(f"COPY ({rows}) TO {quoted(str(path))} ({_options(plan)})")
        return records, _dialect_columns(connection) if plan.result_format == "CSV" else ()


def _columns(connection: duckdb.DuckDBPyConnection) -> str:
    """Return the columns for CSV: numbers are written as Java writes them.

    Raises:
        QueryError: CR-JOB-401, a column has a type that Spark does not write into CSV.
    """
    described = types(connection, "result")
    nested = [name for name, kind in described if kind.endswith(("[]", ")")) and not kind.startswith("DECIMAL")]
    if nested:
        raise QueryError(
            "the result has columns that Spark does not write into CSV",
            expected="columns of numbers, texts, booleans, dates and timestamps",
            fix="take single values out of them, or choose resultFormat PARQUET",
            problems=[Problem(name, "is an array, a struct or a map") for name in nested],
        )
    return ", ".join(
        f"spark_text({identifier(name)}) AS {identifier(name)}" if kind in ("FLOAT", "DOUBLE") else identifier(name)
        for name, kind in described
    )


def _dialect_columns(connection: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
    names = [name for name, kind in types(connection, "result") if kind == "VARCHAR"]
    found = ", ".join(f"bool_or(regexp_matches({identifier(name)}, '[\"\\\\\\r\\n]'))" for name in names)
    row = connection.execute(f"SELECT {found} FROM result").fetchone() if names else None  # noqa: S608
    return tuple(name for name, is_found in zip(names, row or (), strict=bool(names)) if is_found)


def _options(plan: QueryPlan) -> str:
    if plan.result_format == "PARQUET":
        return "FORMAT parquet, COMPRESSION snappy"
    header = "true" if plan.header else "false"
    # NULL is an unquoted empty field, an empty text a quoted one (nullValueWrittenAsQuotedEmptyStringCsv is false).
    return f"FORMAT csv, HEADER {header}, NULLSTR '', TIMESTAMPFORMAT '{_TIMESTAMP}'"
