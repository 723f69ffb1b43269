"""A query from its plan to its part files: the same rules and the same files, whichever engine computes."""

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
"""An engine: it makes the table `result` of the database in a folder, with nothing else within the query's reach."""


def run(plan: QueryPlan) -> QueryOutcome:
    """Run a query; its files appear all at once or not at all.

    Raises:
        QueryError: CR-JOB-401, the query cannot be run; no value of a row is in the message.
        EngineDiffersError: CR-JOB-403, DuckDB may give other values than Spark.
        SparkUnavailableError: CR-JOB-404, there is no Spark on this machine.
        TableUnreadableError: CR-JOB-402, nor the files of a table that it names.
        QueryTooLargeError: CR-JOB-405, there is too little memory and disk for it.
        SyntheticDataError: CR-JOB-406, rows cannot be generated from its result.
        SyntheticDataExposedError: CR-JOB-407, generated rows tell too much.
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
            from cleanroom_algo.local.query.engines.generated import replace_result  # numpy and polars take their time

            score = replace_result(draft, plan.synthetic)
        outcome = replace(write_parts(plan, draft), attack_score=score)
        if plan.int96 and plan.result_format == "PARQUET":
            outcome = _with_int96(plan, draft, outcome)
        for path in draft.glob(f"{DATABASE}*"):
            path.unlink()
        shutil.rmtree(draft / "spill", ignore_errors=True)
        shutil.rmtree(plan.directory, ignore_errors=True)  # of a channel that is declared anew
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
    from cleanroom_algo.local.query.engines.spark import as_int96  # an extra

    parts = sorted(draft.glob("part-*"))
    as_int96(parts, plan.spark)
    return replace(outcome, bytes=sum(path.stat().st_size for path in parts))


def _engine(plan: QueryPlan) -> Compute:
    if plan.engine == "spark":
        from cleanroom_algo.local.query.engines import spark  # an extra

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
            expected="the engine spark, where the switch channel_parquet_timestamps is int96",
            fix='set query_engine = "spark" in [machine] of settings.toml, or channel_parquet_timestamps = '
            '"microseconds" in [switches]',
        )
    from cleanroom_algo.local.query.engines import duckdb as embedded

    return embedded.compute
