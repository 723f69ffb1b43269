"""Spark without enough memory: the query fails by itself, Java starts again, and the next query runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from cleanroom_algo.errors import QueryTooLargeError
from cleanroom_algo.local.query.engines.run import run
from cleanroom_algo.local.query.plan import QueryPlan
from cleanroom_algo.local.query.table import Table, TableAccess

pytest.importorskip("pyspark", reason="pyspark is missing: pip install 'cleanroom-algo[spark]'")
if shutil.which("java") is None:
    pytest.skip("not installed: java", allow_module_level=True)

from pyspark import SparkContext

from cleanroom_algo.local.query.engines.spark import stop_spark

pytestmark = pytest.mark.process  # Java's
SMALL = (
    ("spark.driver.memory", "512m"),
    ("spark.master", "local[1]"),
    ("spark.sql.codegen.factoryMode", "NO_CODEGEN"),  # one row does not need compiled code
    ("spark.sql.codegen.wholeStage", "false"),
)


@pytest.fixture
def plan(tmp_path: Path) -> Iterator[QueryPlan]:
    pl.DataFrame({"x": ["a"]}).write_parquet(tmp_path / "t.parquet")
    access = TableAccess((Table("t", tmp_path / "t.parquet", "parquet", ("x",)),))
    yield QueryPlan("SELECT x FROM t", access, tmp_path / "out", header=False, engine="spark", spark=SMALL)
    stop_spark()


def test_java_starts_again_when_it_had_too_little_memory(plan: QueryPlan) -> None:
    large = "SELECT length(repeat(x, 2000000000)) AS n FROM t"  # one value larger than Java's memory
    with pytest.raises(QueryTooLargeError, match="more memory than Spark has"):
        run(replace(plan, query=large))
    assert SparkContext._gateway is None
    assert not plan.directory.exists()

    run(plan)
    assert [path.read_text() for path in plan.directory.iterdir()] == ["a\n"]
