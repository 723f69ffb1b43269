"""Runs a query, from its plan to its part files, with the same rules and files for all engines."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import duckdb

from cleanroom_algo.errors import EngineDiffersError, QueryTooLargeError
from cleanroom_algo.local.query.engines.database import DATABASE
from cleanroom_algo.local.query.engines.part_files import write_parts
from cleanroom_algo.local.query.engines.table_files import with_files
from cleanroom_algo.local.query.plan import QueryOutcome, QueryPlan
from cleanroom_algo.local.query.resolution import Resolution
from cleanroom_algo.local.query.rules import check

_TABLES: Final = "tables"  # those from S3

Compute = Callable[[Resolution, Path], None]
"""An engine: creates the table `result` of the database in a folder; the query can reach nothing else."""


def run(plan: QueryPlan) -> QueryOutcome:
    """Run a query; all of its files appear together, or none.

    Raises:
        QueryError: CR-JOB-401, the query cannot be run; the message contains no value of a row.
        EngineDiffersError: CR-JOB-403, DuckDB may return other values than Spark.
        SparkUnavailableError: CR-JOB-404, Spark cannot start on this machine.
        TableUnreadableError: CR-JOB-402, the files of a table in the query cannot be read.
        QueryTooLargeError: CR-JOB-405, memory and disk are not sufficient.
        SyntheticDataError: CR-JOB-406, rows cannot be generated from its result.
        SyntheticDataExposedError: CR-JOB-407, generated rows reveal too much.
    """
    resolution = check(plan.query, plan.access, plan.parameters)
    compute = _engine(plan)
    draft = plan.directory.with_name(f".{plan.directory.name}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        compute(with_files(resolution, plan, draft / _TABLES), draft)
        shutil.rmtree(draft / _TABLES, ignore_errors=True)
        score = None
        if plan.synthetic is not None:
            from cleanroom_algo.local.query.engines.generated import replace_result  # slow imports

            score = replace_result(draft, plan.synthetic)
        outcome = replace(write_parts(plan, draft), attack_score=score)
        if plan.int96 and plan.result_format == "PARQUET":
            outcome = _with_int96(plan, draft, outcome)
        for path in draft.glob(f"{DATABASE}*"):
            path.unlink()
        shutil.rmtree(draft / "spill", ignore_errors=True)
        shutil.rmtree(plan.directory, ignore_errors=True)  # the old files of a channel that is declared again
        draft.rename(plan.directory)
        return outcome
    except duckdb.OutOfMemoryException:
        raise QueryTooLargeError(
            "the query needs more memory than DuckDB has, and the rest does not fit on the disk",
            expected="a query whose tables, sorts, groups and joins fit on the disk of the state folder",
            fix="read fewer rows or columns, free disk space, or choose another disk with --home",
        ) from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _with_int96(plan: QueryPlan, draft: Path, outcome: QueryOutcome) -> QueryOutcome:
    from cleanroom_algo.local.query.engines.spark import as_int96  # an optional dependency

    parts = sorted(draft.glob("part-*"))
    as_int96(parts, plan.spark)
    return replace(outcome, bytes=sum(path.stat().st_size for path in parts))


def _engine(plan: QueryPlan) -> Compute:
    if plan.engine == "spark":
        from cleanroom_algo.local.query.engines import spark  # an optional dependency

        return partial(spark.compute, properties=plan.spark, ansi=plan.ansi)
    if plan.ansi:
        raise EngineDiffersError(
            "DuckDB cannot compute like Spark in ANSI mode",
            expected="the engine spark if the switch spark_ansi is on",
            fix='set query_engine = "spark" in [machine] of settings.toml, or spark_ansi = "off" in [switches]',
        )
    if plan.int96 and plan.result_format == "PARQUET":
        raise EngineDiffersError(
            "DuckDB does not write timestamps as INT96",
            expected="the engine spark if the switch channel_parquet_timestamps is int96",
            fix='set query_engine = "spark" in [machine] of settings.toml, or channel_parquet_timestamps = '
            '"microseconds" in [switches]',
        )
    from cleanroom_algo.local.query.engines import duckdb as embedded

    return embedded.compute
