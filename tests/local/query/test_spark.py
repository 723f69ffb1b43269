"""DuckDB and Spark give the same values, types and names, or DuckDB refuses."""

from __future__ import annotations

import itertools
import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cleanroom_algo.errors import EngineDiffersError, QueryError, SparkUnavailableError
from cleanroom_algo.local.query.engines import duckdb as duckdb_engine
from cleanroom_algo.local.query.engines.database import open_database, types
from cleanroom_algo.local.query.engines.run import run
from cleanroom_algo.local.query.engines.spark_types import spark_type
from cleanroom_algo.local.query.plan import Engine, QueryPlan
from cleanroom_algo.local.query.rules import check
from cleanroom_algo.local.query.table import Table, TableAccess
from tests.local.query import spark_corpus as corpus

pytest.importorskip("pyspark", reason="pyspark is missing: pip install 'cleanroom-algo[spark]'")
if shutil.which("java") is None:
    pytest.skip("not installed: java", allow_module_level=True)

from cleanroom_algo.local.query.engines.spark import spark_session, stop_spark

Result = tuple[list[tuple[str, str]], list[tuple[Any, ...]]]
BATCH = 60


@pytest.fixture(scope="module")
def access(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TableAccess]:
    path = corpus.table(tmp_path_factory.mktemp("table"))
    session = spark_session()
    session.conf.set("spark.sql.shuffle.partitions", "1")
    session.read.parquet(str(path)).createOrReplaceTempView("v")
    yield TableAccess((Table("v", path, "parquet", tuple(corpus.COLUMNS)),))
    stop_spark()


def on_duckdb(query: str, access: TableAccess, folder: Path) -> Result:
    folder.mkdir(exist_ok=True)
    duckdb_engine.compute(check(query, access), folder)
    with open_database(folder) as connection:
        described = [(name, spark_type(kind) or kind) for name, kind in types(connection, "result")]
        rows = connection.execute("SELECT * FROM result").fetchall()
        connection.execute("DROP TABLE result")
    return described, rows


def on_spark(query: str) -> Result:
    frame = spark_session().sql(query)
    described = [(field.name, field.dataType.simpleString()) for field in frame.schema.fields]
    return described, [tuple(row) for row in frame.collect()]


def batches(expressions: Sequence[str]) -> list[list[str]]:
    return [list(expressions[first : first + BATCH]) for first in range(0, len(expressions), BATCH)]


def selected(expressions: Sequence[str], rest: str) -> str:
    return f"SELECT {', '.join(f'{each} AS c{n}' for n, each in enumerate(expressions))} {rest}"


def differences(expressions: Sequence[str], found: Result, expected: Result) -> list[str]:
    faults = []
    for n, expression in enumerate(expressions):
        ours, theirs = ([kinds[n][1], *(row[n] for row in rows)] for kinds, rows in (found, expected))
        theirs[0] = theirs[0].replace("void", "int")  # NULL alone
        if not all(map(same, ours, theirs)) or len(ours) != len(theirs):
            faults.append(f"{expression}: {ours} is on Spark {theirs}")
    return faults


def same(one: Any, two: Any) -> bool:
    if isinstance(one, float) and isinstance(two, float):
        return (math.isnan(one) and math.isnan(two)) or math.isclose(one, two, rel_tol=1e-13)
    return bool(one == two)


def test_the_corpus_is_large() -> None:
    assert len(corpus.scalars()) + len(corpus.aggregates()) + len(corpus.windows()) > 500


@pytest.mark.parametrize(
    ("expressions", "rest"),
    [
        *((each, "FROM v ORDER BY id") for each in batches(corpus.scalars())),
        *((each, "FROM v GROUP BY g ORDER BY g") for each in batches(corpus.aggregates())),
        *((each, "FROM v ORDER BY id") for each in batches(corpus.windows())),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_expressions_have_the_same_values_and_types(
    access: TableAccess, tmp_path: Path, expressions: list[str], rest: str
) -> None:
    query = selected(expressions, rest)
    assert differences(expressions, on_duckdb(query, access, tmp_path), on_spark(query)) == []


@pytest.mark.parametrize("query", [*corpus.QUERIES, *corpus.ORDERED])
def test_queries_have_the_same_rows(access: TableAccess, tmp_path: Path, query: str) -> None:
    (names, rows), (spark_names, spark_rows) = on_duckdb(query, access, tmp_path), on_spark(query)
    if query in corpus.QUERIES:
        rows, spark_rows = sorted(rows, key=repr), sorted(spark_rows, key=repr)

    assert names == spark_names
    assert len(rows) == len(spark_rows)
    assert all(same(a, b) for one, two in zip(rows, spark_rows, strict=True) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize(
    ("query", "line"),
    [
        ("SELECT dayofweek('2009-07-30') AS x, weekday(date'2009-07-30') AS y", "5,3"),
        ("SELECT cast(-5.6 AS int) AS x, cast(3.7 AS int) AS y", "-5,3"),
        ("SELECT date_add('2016-07-30', 1) AS x, substring('abc', 0, 2) AS y", "2016-07-31,ab"),
        ("SELECT percentile(a, .5) AS x FROM VALUES (1.5), (2.0) AS v(a)", "1.75"),
        ("SELECT log(0) AS x, 1/0 AS y, cast(timestamp'1970-01-02 00:00:00' AS long) AS z", ",,86400"),
        ("SELECT 1e20 AS x, cast('NaN' AS double) AS y, cast('-inf' AS double) AS z", "1.0E20,NaN,-Infinity"),
    ],
)
def test_both_engines_write_what_spark_computes(access: TableAccess, tmp_path: Path, query: str, line: str) -> None:
    engines: tuple[Engine, ...] = ("duckdb", "spark")
    for engine in engines:
        run(QueryPlan(query, access, tmp_path / engine, header=False, engine=engine))
        assert [part.read_text() for part in (tmp_path / engine).iterdir()] == [f"{line}\n"]


def test_csv_in_its_dialect_is_what_spark_writes(access: TableAccess, tmp_path: Path) -> None:
    texts = ["".join(each) for n in range(4) for each in itertools.product('a"\\,\n\r #', repeat=n)]
    pl.DataFrame({"x": texts, "y": texts, "id": range(len(texts))}).write_parquet(tmp_path / "texts.parquet")
    spark_session().read.parquet(str(tmp_path / "texts.parquet")).createOrReplaceTempView("texts")
    tables = (*access.tables, Table("texts", tmp_path / "texts.parquet", "parquet", ("x", "y", "id")))
    wide = "SELECT *, CAST(m * 0.000001 AS DECIMAL(20, 10)) AS `\\small,` FROM v ORDER BY id"
    for n, query in enumerate([wide, "SELECT x, y FROM texts ORDER BY id"]):
        outcome = run(QueryPlan(query, TableAccess(tables), tmp_path / f"ours{n}", header=n == 0, dialect="spark"))
        frame = spark_session().sql(query).coalesce(1)
        frame.write.csv(str(tmp_path / f"theirs{n}"), header=n == 0)
        ours = [path.read_bytes() for path in sorted((tmp_path / f"ours{n}").iterdir())]
        (theirs,) = (path.read_bytes() for path in (tmp_path / f"theirs{n}").glob("part-*.csv"))
        header = theirs[: theirs.index(b"\n") + 1] if n == 0 else b""
        assert header + b"".join(each.removeprefix(header) for each in ours) == theirs
        assert outcome.files == len(ours)


def test_parameters_are_the_same_values_on_spark(access: TableAccess, tmp_path: Path) -> None:
    plan = QueryPlan(corpus.PARAMETERS_TEMPLATE, access, tmp_path / "out", header=False, engine="spark")
    run(replace(plan, parameters=corpus.PARAMETERS))
    assert [part.read_text() for part in (tmp_path / "out").iterdir()] == [corpus.PARAMETERS_SHOWN]


def test_ansi_mode_is_a_switch(access: TableAccess, tmp_path: Path) -> None:
    off = QueryPlan(
        "SELECT 1 / (i - i) AS x FROM v WHERE id = 2", access, tmp_path / "off", header=False, engine="spark"
    )
    run(off)
    assert [part.read_text() for part in (tmp_path / "off").iterdir()] == ["\n"]
    on = replace(off, ansi=True, directory=tmp_path / "on")
    with pytest.raises(QueryError, match="DIVIDE_BY_ZERO"):
        run(on)
    with pytest.raises(EngineDiffersError, match="spark_ansi"):
        run(replace(on, engine="duckdb"))
    with pytest.raises(SparkUnavailableError, match="other properties"):
        run(replace(off, spark=(("spark.master", "local[1]"),), directory=tmp_path / "other"))
    assert [path.name for path in tmp_path.iterdir()] == ["off"]


def test_spark_computes_what_duckdb_refuses(access: TableAccess, tmp_path: Path) -> None:
    query = "SELECT id, hash('Spark', array(123), 2) AS h, d FROM v WHERE id < 3 ORDER BY id"
    outcome = run(QueryPlan(query, access, tmp_path / "out", engine="spark"))

    parts = sorted((tmp_path / "out").iterdir())
    assert outcome.records == 2
    assert [part.read_text() for part in parts] == ["id,h,d\n1,-1321691492,0.0\n", "id,h,d\n2,-1321691492,2.5\n"]
    with pytest.raises(QueryError, match="DATATYPE_MISMATCH"):
        run(QueryPlan("SELECT md5(1) AS x FROM v", access, tmp_path / "2", engine="spark"))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
