"""DuckDB and Spark give the same values, types and names, or DuckDB refuses."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from cleanroom_algo.errors import (
    EngineDiffersError,
    QueryError,
    QueryTooLargeError,
    SparkUnavailableError,
    TableUnreadableError,
)
from cleanroom_algo.local.objects.s3 import S3Prefix
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

from pyspark import SparkContext

from cleanroom_algo.local.query.engines import spark
from cleanroom_algo.local.query.engines.spark import spark_session, stop_spark

pytestmark = pytest.mark.process  # Java's
Result = tuple[list[tuple[str, str]], list[tuple[Any, ...]]]
BATCH = 150
SMALL = (
    ("spark.driver.memory", "512m"),
    ("spark.master", "local[1]"),
    ("spark.sql.codegen.factoryMode", "NO_CODEGEN"),  # one row does not need compiled code
    ("spark.sql.codegen.wholeStage", "false"),
)


@pytest.fixture(scope="module")
def access(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TableAccess]:
    path = corpus.table(tmp_path_factory.mktemp("table"))
    # The tables are small: to compile queries well, or at all, takes longer than to run them.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
        session = spark_session()
    for name, value in (
        ("shuffle.partitions", 1),
        ("adaptive.enabled", "false"),
        ("codegen.wholeStage", "false"),
        ("codegen.factoryMode", "NO_CODEGEN"),
    ):
        session.conf.set(f"spark.sql.{name}", value)
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


def test_expressions_have_the_same_values_and_types(access: TableAccess, tmp_path: Path) -> None:
    found = []
    for expressions, rest in (
        *((each, "FROM v ORDER BY id") for each in batches(corpus.scalars())),
        *((each, "FROM v GROUP BY g ORDER BY g") for each in batches(corpus.aggregates())),
        *((each, "FROM v ORDER BY id") for each in batches(corpus.windows())),
    ):
        query = selected(expressions, rest)
        found += differences(expressions, on_duckdb(query, access, tmp_path), on_spark(query))
    assert found == []


def test_queries_have_the_same_rows(access: TableAccess, tmp_path: Path) -> None:
    for query in (*corpus.QUERIES, *corpus.ORDERED):
        (names, rows), (spark_names, spark_rows) = on_duckdb(query, access, tmp_path), on_spark(query)
        if query in corpus.QUERIES:
            rows, spark_rows = sorted(rows, key=repr), sorted(spark_rows, key=repr)

        assert names == spark_names, query
        assert len(rows) == len(spark_rows), query
        pairs = [pair for one, two in zip(rows, spark_rows, strict=True) for pair in zip(one, two, strict=True)]
        assert all(same(*pair) for pair in pairs), query


WRITTEN = {
    "SELECT dayofweek('2009-07-30') AS a, weekday(date'2009-07-30') AS b, cast(-5.6 AS int) AS c,"
    " cast(3.7 AS int) AS d, date_add('2016-07-30', 1) AS e, substring('abc', 0, 2) AS f, log(0) AS g, 1/0 AS h,"
    " cast(timestamp'1970-01-02 00:00:00' AS long) AS i, 1e20 AS j, cast('NaN' AS double) AS k,"
    " cast('-inf' AS double) AS l": "5,3,-5,3,2016-07-31,ab,,,86400,1.0E20,NaN,-Infinity",
    "SELECT percentile(a, .5) AS x FROM VALUES (1.5), (2.0) AS v(a)": "1.75",
}


def test_both_engines_write_what_spark_computes(access: TableAccess, tmp_path: Path) -> None:
    engines: tuple[Engine, ...] = ("duckdb", "spark")
    for number, (query, line) in enumerate(WRITTEN.items()):
        for engine in engines:
            folder = tmp_path / f"{engine}-{number}"
            run(QueryPlan(query, access, folder, header=False, engine=engine))
            assert [part.read_text() for part in folder.iterdir()] == [f"{line}\n"]


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


def test_ansi_mode_is_a_switch(access: TableAccess, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    off = QueryPlan(
        "SELECT 1 / (i - i) AS x FROM v WHERE id = 2", access, tmp_path / "off", header=False, engine="spark"
    )
    run(off)
    assert [part.read_text() for part in (tmp_path / "off").iterdir()] == ["\n"]
    on = replace(off, ansi=True, directory=tmp_path / "on")
    with pytest.raises(QueryError, match="DIVIDE_BY_ZERO"):
        run(on)
    with pytest.raises(QueryError, match="CAST_INVALID_INPUT"):
        run(replace(on, query="SELECT CAST('canary' AS int) AS x"))
    assert capsys.readouterr().err == ""  # Spark's own message quotes the value
    with pytest.raises(EngineDiffersError, match="spark_ansi"):
        run(replace(on, engine="duckdb"))
    with pytest.raises(SparkUnavailableError, match="other properties"):
        run(replace(off, spark=(("spark.master", "local[1]"),), directory=tmp_path / "other"))
    assert [path.name for path in tmp_path.iterdir()] == ["off"]


def test_timestamps_are_written_as_spark_writes_them(access: TableAccess, tmp_path: Path) -> None:
    moment = "'2024-01-02 03:04:05.123456'"
    local, absent = f"CAST({moment} AS TIMESTAMP_NTZ) AS a", "CAST(NULL AS TIMESTAMP_NTZ) AS c"
    query = f"SELECT {local}, CAST({moment} AS TIMESTAMP) AS b, {absent}"
    plan = QueryPlan(query, access, tmp_path / "csv", header=False, engine="spark")
    run(plan)
    spark_session().sql(query).write.csv(str(tmp_path / "theirs"))
    ours, theirs = (next((tmp_path / each).glob("part-*")).read_text() for each in ("csv", "theirs"))
    assert ours == theirs == "2024-01-02T03:04:05.123,2024-01-02T03:04:05.123Z,\n"

    for int96, expected in ((False, ["INT64", "INT64", "INT64"]), (True, ["INT64", "INT96", "INT64"])):
        parquet = replace(plan, directory=tmp_path / str(int96), result_format="PARQUET", int96=int96)
        outcome = run(parquet)
        (part,) = parquet.directory.iterdir()
        columns = pq.ParquetFile(part).schema
        assert [columns.column(n).physical_type for n in range(3)] == expected
        assert pl.read_parquet(part)["a"][0] == dt.datetime(2024, 1, 2, 3, 4, 5, 123456)
        assert outcome.bytes == part.stat().st_size
    with pytest.raises(EngineDiffersError, match="channel_parquet_timestamps"):
        run(replace(parquet, engine="duckdb"))


def test_spark_reads_tables_in_s3_itself(access: TableAccess, tmp_path: Path) -> None:
    for month, ids in ((1, [1, 2]), (2, [3])):
        folder = tmp_path / f"flights/month={month}"
        folder.mkdir(parents=True)
        pl.DataFrame({"Id": ids, "secret": ids}).write_parquet(folder / "part.parquet")
    (tmp_path / "flights/notes.csv").write_text("not,read\n")
    query = "SELECT f.id, f.month, v.i FROM flights f JOIN v ON v.id = f.id ORDER BY f.id"

    def computed(location: S3Prefix, *columns: str) -> list[tuple[Any, ...]]:
        tables = (*access.tables, Table("flights", location, "parquet", columns))
        draft = tmp_path / "draft"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        spark.compute(check(query, TableAccess(tables)), draft)
        with open_database(draft) as connection:
            return connection.execute("SELECT id, month FROM result").fetchall()

    here = S3Prefix("bucket", "flights/")
    with pytest.raises(TableUnreadableError, match="'flights' at s3://bucket/flights/") as caught:
        computed(here, "id", "month")
    assert "S3AFileSystem not found" in caught.value.problems[0].message

    # Hadoop can give a folder of this machine the address of a bucket.
    hadoop = spark_session().sparkContext._jsc.hadoopConfiguration()
    hadoop.set("fs.s3a.impl", "org.apache.hadoop.fs.viewfs.ViewFileSystemOverloadScheme")
    hadoop.set("fs.viewfs.overload.scheme.target.s3a.impl", "org.apache.hadoop.fs.LocalFileSystem")
    hadoop.set("fs.viewfs.mounttable.bucket.link./flights", (tmp_path / "flights").as_uri())
    try:
        assert computed(here, "id", "month") == [(1, 1), (2, 1), (3, 2)]
        with pytest.raises(TableUnreadableError) as caught:
            computed(S3Prefix("bucket", "flights/month=1"), "id", "month")
        assert caught.value.problems[0].message == "UNRESOLVED_COLUMN.WITH_SUGGESTION"
        assert "secret" not in str(caught.value)
    finally:
        hadoop.unset("fs.s3a.impl")


def test_spark_computes_what_duckdb_refuses(access: TableAccess, tmp_path: Path) -> None:
    query = "SELECT id, hash('Spark', array(123), 2) AS h, d FROM v WHERE id < 3 ORDER BY id"
    outcome = run(QueryPlan(query, access, tmp_path / "out", engine="spark"))

    parts = sorted((tmp_path / "out").iterdir())
    assert outcome.records == 2
    assert [part.read_text() for part in parts] == ["id,h,d\n1,-1321691492,0.0\n", "id,h,d\n2,-1321691492,2.5\n"]
    with pytest.raises(QueryError, match="DATATYPE_MISMATCH"):
        run(QueryPlan("SELECT md5(1) AS x FROM v", access, tmp_path / "2", engine="spark"))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_java_starts_again_when_it_had_too_little_memory(access: TableAccess, tmp_path: Path) -> None:
    """The last test: Java and its views have ended then."""
    plan = QueryPlan("SELECT id FROM v WHERE id = 1", access, tmp_path / "out", header=False, engine="spark")
    large = (
        "SELECT length(repeat(CAST(id AS string), 2000000000)) AS n FROM v"  # each value is larger than Java's memory
    )
    with pytest.raises(QueryTooLargeError, match="more memory than Spark has"):
        run(replace(plan, query=large))
    assert SparkContext._gateway is None
    assert not plan.directory.exists()

    run(replace(plan, spark=SMALL))
    assert [path.read_text() for path in plan.directory.iterdir()] == ["1\n"]
