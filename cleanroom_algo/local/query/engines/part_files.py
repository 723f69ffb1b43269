"""The part files of a channel, written as by Spark, for the result of any engine."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import duckdb

from cleanroom_algo.errors import Problem, QueryError
from cleanroom_algo.local.query.engines.database import identifier, open_database, quoted, types
from cleanroom_algo.local.query.engines.macros import create_macros
from cleanroom_algo.local.query.plan import QueryOutcome, QueryPlan

DEFAULT_FILES: Final = 4  # several, so that ShardedByS3Key has objects to share; Spark writes one for each of its tasks
_TIMESTAMP: Final = "%Y-%m-%dT%H:%M:%S.%gZ"  # as Spark writes them with the session time zone UTC
_TIMESTAMP_NTZ: Final = _TIMESTAMP.rstrip("Z")
_PLAIN_SCALE: Final = 6  # Java writes small decimals with more decimal places than this with an exponent
_UNLIKE: Final = {
    "VARCHAR": r"""regexp_matches({}, '["\\\r\n]|^[\x00-\x20]|[\x00-\x20]$')""",
    **dict.fromkeys(("FLOAT", "DOUBLE"), "({0} <> 0 AND NOT (abs({0}) >= 1e-3 AND abs({0}) < 1e7))"),
}
"""By type: whether CSV depends on the dialect, or on the writer."""
_SPACE: Final = "".join(map(chr, range(33)))
_SUFFIXES: Final = {"CSV": "csv", "PARQUET": "snappy.parquet"}

Columns = Sequence[tuple[str, str]]
"""Names and DuckDB's types of columns."""


def write_parts(plan: QueryPlan, draft: Path) -> QueryOutcome:
    """Write the part files of the table `result`.

    Raises:
        QueryError: CR-JOB-401, a column has a type that Spark cannot write to CSV.
    """
    with open_database(draft) as connection:
        columns = types(connection, "result")
        unwritten = _leave_out_nulls(connection, columns) if _is_sparks(plan) and len(columns) == 1 else 0
        records = _count(connection)
        per_file = max(-(-records // DEFAULT_FILES), 1)
        if plan.max_records:
            per_file = min(per_file, plan.max_records)
        found = _found(connection, columns) if plan.result_format == "CSV" else frozenset()
        shown, options = _shown(plan, columns, found), _options(plan)
        name, suffix = uuid.uuid4(), f".{_SUFFIXES[plan.result_format]}" if plan.extension else ""

        def write(number: int) -> Path:
            path, first = draft / f"part-{number:05}-{name}-c000{suffix}", number * per_file
            rows = f"SELECT {shown} FROM result WHERE rowid >= {first} AND rowid < {first + per_file}"  # noqa: S608
            with connection.cursor() as cursor:
                create_macros(cursor, shown)
                cursor.execute(f"COPY ({rows}) TO {quoted(str(path))} ({options})")
            return path

        with ThreadPoolExecutor() as pool:  # one thread writes each file of DuckDB
            paths = list(pool.map(write, range(max(-(-records // per_file), 1))))
        size = sum(path.stat().st_size for path in paths)
        if plan.result_format == "PARQUET":
            return QueryOutcome(records, len(paths), size)
        differing = tuple(name for name, kind in columns if kind == "VARCHAR" and name in found)
        return QueryOutcome(records, len(paths), size, plan.dialect, differing, unwritten)


def _is_sparks(plan: QueryPlan) -> bool:
    return plan.result_format == "CSV" and plan.dialect == "spark"


def _count(connection: duckdb.DuckDBPyConnection) -> int:
    row = connection.execute("SELECT count(*) FROM result").fetchone()
    assert row is not None
    return int(row[0])


def _leave_out_nulls(connection: duckdb.DuckDBPyConnection, columns: Columns) -> int:
    """Remove rows of a one-column result that Spark's writer treats as empty lines; return their number."""
    before = _count(connection)
    ((name, _),) = columns
    connection.execute(f"CREATE OR REPLACE TABLE result AS FROM result WHERE {identifier(name)} IS NOT NULL")
    return before - _count(connection)


def _found(connection: duckdb.DuckDBPyConnection, columns: Columns) -> frozenset[str]:
    """Return the columns for CSV with texts that depend on the dialect, or floats that Java writes in another form."""
    tests = {name: _UNLIKE[kind].format(identifier(name)) for name, kind in columns if kind in _UNLIKE}
    if not tests:
        return frozenset()
    tested = ", ".join(f"bool_or({each})" for each in tests.values())
    row = connection.execute(f"SELECT {tested} FROM result").fetchone()  # noqa: S608
    assert row is not None
    return frozenset(name for name, is_found in zip(tests, row, strict=True) if is_found)


def _shown(plan: QueryPlan, columns: Columns, found: frozenset[str]) -> str:
    """Return the columns in the form in which they are written to files.

    Raises:
        QueryError: CR-JOB-401, a column has a type that Spark cannot write to CSV.
    """
    if plan.result_format == "PARQUET":
        shown = {name: _in_utc(plan, identifier(name), kind) for name, kind in columns}
        return ", ".join(f"{value} AS {identifier(name)}" for name, value in shown.items())
    nested = [name for name, kind in columns if kind.endswith(("[]", ")")) and not kind.startswith("DECIMAL")]
    if nested:
        raise QueryError(
            "the result has columns that Spark cannot write to CSV",
            expected="columns of numbers, strings, Booleans, dates and timestamps",
            fix="select single values from them, or choose resultFormat PARQUET",
            problems=[Problem(name, "is an array, a struct or a map") for name in nested],
        )
    written = []
    for place, (name, kind) in enumerate(columns):
        value, title = _as_java(name, kind, found), name
        if kind == "TIMESTAMP" and _has_ntz(plan):
            value = f"strftime({value}, '{_TIMESTAMP_NTZ}')"
        if _is_sparks(plan):
            first = str(place == 0).lower()
            value = f"spark_csv({value}, {first})" if kind == "VARCHAR" else value
            title = _spark_title(name, first=place == 0)
        written.append(f"{value} AS {identifier(title)}")
    return ", ".join(written)


def _in_utc(plan: QueryPlan, value: str, kind: str) -> str:
    """Return a value for Parquet: Spark declares its timestamps as UTC."""
    return f"CAST({value} AS TIMESTAMPTZ)" if kind == "TIMESTAMP" and not _has_ntz(plan) else value


def _has_ntz(plan: QueryPlan) -> bool:
    """Whether a TIMESTAMP of the result is Spark's TIMESTAMP_NTZ, which DuckDB does not compute."""
    return plan.engine == "spark"


def _as_java(name: str, kind: str, found: frozenset[str]) -> str:
    """Return a number as Java writes it, and any other value unchanged."""
    value = identifier(name)
    if kind in ("FLOAT", "DOUBLE") and name in found:
        return f"spark_text({value})"
    if kind.startswith("DECIMAL") and (scale := int(kind[:-1].rpartition(",")[2])) > _PLAIN_SCALE:
        return f"spark_decimal({value}, {scale})"
    return value


def _spark_title(name: str, *, first: bool) -> str:
    """Return the name of a column as Spark writes it into the header of CSV.

    Raises:
        QueryError: CR-JOB-401, the name begins or ends with white space, which Spark sometimes trims.
    """
    if name.strip(_SPACE) != name:
        raise QueryError(
            "a column name in the result begins or ends with white space",
            expected="names that Spark's CSV writer does not change",
            fix="rename the column with AS",
            problems=[Problem(repr(name), "begins or ends with white space")],
        )
    if any(each in name for each in ',\n\r"') or (first and name.startswith("#")):
        return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return name


def _options(plan: QueryPlan) -> str:
    if plan.result_format == "PARQUET":
        return "FORMAT parquet, COMPRESSION snappy"
    header = "true" if plan.header else "false"
    quotes = ", QUOTE ''" if _is_sparks(plan) else ""  # values that need quotes already have them
    # NULL is an unquoted empty field, an empty text a quoted one (nullValueWrittenAsQuotedEmptyStringCsv is false).
    return f"FORMAT csv, HEADER {header}, NULLSTR ''{quotes}, TIMESTAMPFORMAT '{_TIMESTAMP}'"
