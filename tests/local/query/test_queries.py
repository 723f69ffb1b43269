"""Queries of ML input channels: Spark's dialect in, Spark's files out, and no door left open."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from cleanroom_algo.errors import EngineDiffersError, QueryError, QueryTooLargeError
from cleanroom_algo.local.query.engines import database
from cleanroom_algo.local.query.engines.run import run
from cleanroom_algo.local.query.plan import QueryOutcome, QueryPlan
from cleanroom_algo.local.query.table import Table, TableAccess


@pytest.fixture
def tables(tmp_path: Path) -> tuple[Table, ...]:
    """Two tables of two members: people with a secret column, and their orders."""
    people = pl.DataFrame({"id": [1, 2, 3], "name": ["Ann", "", None], "secret": ["x", "y", "canary-4711"]})
    people.write_parquet(tmp_path / "people.parquet")
    orders = tmp_path / "orders"
    orders.mkdir()
    (orders / "a.csv").write_text("id,amount,at\n1,2.5,2024-05-01 10:00:00\n")
    (orders / "b.csv").write_text("id,amount,at\n3,,2024-05-02 11:30:00\n")
    return (
        Table("people", tmp_path / "people.parquet", "parquet", ("id", "name"), join_columns=("id",)),
        Table("orders", orders, "csv", ("id", "amount", "at"), join_columns=("id",)),
    )


def plan(tmp_path: Path, tables: tuple[Table, ...], query: str, **more: object) -> QueryPlan:
    return QueryPlan(query=query, access=TableAccess(tables), directory=tmp_path / "out", **more)  # type: ignore[arg-type]


JOIN = (
    "SELECT p.name, o.amount, o.at FROM people p LEFT JOIN orders o ON p.id = o.id ORDER BY o.amount NULLS LAST, p.name"
)


def lines(folder: Path) -> list[str]:
    return [line for path in sorted(folder.iterdir()) for line in path.read_text().splitlines()]


def test_csv_as_spark_writes_it(tmp_path: Path, tables: tuple[Table, ...]) -> None:
    outcome = run(plan(tmp_path, tables, JOIN, header=False))

    assert outcome.records == 3
    assert sorted(lines(tmp_path / "out")) == sorted(
        ["Ann,2.5,2024-05-01T10:00:00.000Z", '"",,', ",,2024-05-02T11:30:00.000Z"]
    )
    assert all(path.name.startswith("part-0000") for path in (tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    "expression",
    [
        "hash(name)",
        "percentile_approx(id, 0.5)",
        "rand(42)",
        "split(name, '(?=a)')",
        "date_format(name, 'yyyy-DDD')",
        "map('a', 1)['a']",
        "try_cast(name AS INT)",
        "1.5 / 2",
        "name RLIKE 'a$'",
    ],
)
def test_what_duckdb_computes_in_another_way_is_refused(
    tmp_path: Path, tables: tuple[Table, ...], expression: str
) -> None:
    people = replace(tables[0], join_columns=())

    with pytest.raises(EngineDiffersError, match="query_engine"):
        run(plan(tmp_path, (people,), f"SELECT {expression} AS x FROM people"))

    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []


@pytest.mark.parametrize(
    "query",
    [
        "SELECT isodow(name) FROM people",
        "SELECT epoch(name) FROM people",
        "SELECT list_sum(array(1)) FROM people",
        "SELECT strptime(name, 'x') FROM people",
        "SELECT COLUMNS(*) FROM people",
        "SELECT name FROM people TABLESAMPLE (50 PERCENT)",
    ],
)
def test_what_spark_does_not_know_is_refused(tmp_path: Path, tables: tuple[Table, ...], query: str) -> None:
    with pytest.raises(QueryError):
        run(plan(tmp_path, tables, query))


def test_arrays_are_not_written_into_csv(tmp_path: Path, tables: tuple[Table, ...]) -> None:
    with pytest.raises(QueryError, match="CSV"):
        run(plan(tmp_path, tables, "SELECT split(name, ',') AS x FROM people"))


@pytest.mark.parametrize("text", ['5"', "C:\\temp", "two\nlines", "a\rb"])
def test_columns_that_dialects_write_differently_are_named(tmp_path: Path, text: str) -> None:
    pl.DataFrame({"id": [1, 2], "name": ["plain, text", None], "note": [None, text]}).write_parquet(
        tmp_path / "people.parquet"
    )
    people = Table("people", tmp_path / "people.parquet", "parquet", ("name", "note"))

    outcome = run(plan(tmp_path, (people,), "SELECT name, note AS `The Note` FROM people"))
    packed = run(QueryPlan("SELECT note FROM people", TableAccess((people,)), tmp_path / "2", "PARQUET"))

    assert outcome.dialect_columns == ("The Note",)
    assert "The Note: some values contain a quote" in outcome.warnings[0]
    assert "rfc4180" in outcome.warnings[0]
    assert packed.warnings == run(plan(tmp_path / "3", (people,), "SELECT name FROM people")).warnings == ()


def test_csv_in_the_dialect_of_spark(tmp_path: Path) -> None:
    """As Spark 4 writes these values: trimmed, and with backslashes where there are quotes."""
    given = [None, "", " ", 'a"b', "a\\b", "a\\,b", "a,b ", " a\n", "#a", '"']
    first = ["", '""', '""', '"a\\"b"', "a\\b", '"a\\\\,b"', '"a,b"', '"a"', '"#a"', '"\\""']
    pl.DataFrame({"x": given, "y": given}).write_parquet(tmp_path / "t.parquet")
    access = TableAccess((Table("t", tmp_path / "t.parquet", "parquet", ("x", "y")),))

    def written(query: str, name: str) -> tuple[QueryOutcome, str]:
        outcome = run(QueryPlan(query, access, tmp_path / name, dialect="spark", max_records=100))
        return outcome, "".join(path.read_text() for path in sorted((tmp_path / name).iterdir()))

    outcome, text = written(
        'SELECT x AS `"x"`, y AS `,y`, CAST(0.0000001 AS DECIMAL(20, 10)) AS z FROM t LIMIT 100', "all"
    )
    header = '"\\"x\\"",",y",z\n'
    second = ["#a" if each == '"#a"' else each for each in first]
    rows = [f"{one},{two},1.000E-7\n" for one, two in zip(first, second, strict=True)]
    assert text.replace(header, "") == "".join(rows)
    assert text.count(header) == outcome.files
    assert (outcome.dialect, outcome.dialect_columns, outcome.unwritten) == ("spark", ('"x"', ",y"), 0)
    alone, text = written("SELECT CAST(NULL AS STRING) AS x UNION ALL SELECT 'a'", "alone")
    assert (alone.records, alone.unwritten, text) == (1, 1, "x\na\n")
    with pytest.raises(QueryError, match="white space"):
        written("SELECT x AS ` x` FROM t", "spaced")
    assert "rows that contain only a null" in alone.warnings[0]


def test_every_file_has_the_header(tmp_path: Path, tables: tuple[Table, ...]) -> None:
    outcome = run(plan(tmp_path, tables, JOIN, max_records=1))

    assert outcome.files == 3
    assert lines(tmp_path / "out").count("name,amount,at") == 3


def test_an_empty_result_is_one_file(tmp_path: Path, tables: tuple[Table, ...]) -> None:
    outcome = run(plan(tmp_path, tables, "SELECT name FROM people WHERE false"))

    assert (outcome.records, outcome.files) == (0, 1)
    assert lines(tmp_path / "out") == ["name"]


def test_a_query_without_room_says_so(
    tmp_path: Path, tables: tuple[Table, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_MEMORY", "1MB")
    with pytest.raises(QueryTooLargeError) as caught:
        run(plan(tmp_path, tables, JOIN))
    assert caught.value.status_code == "INSUFFICIENT_COMPUTE"
    assert not [path.name for path in tmp_path.iterdir() if "out" in path.name]


def test_parquet(tmp_path: Path, tables: tuple[Table, ...]) -> None:
    run(plan(tmp_path, tables, "SELECT name FROM people", result_format="PARQUET"))

    assert pl.read_parquet(tmp_path / "out" / "*.snappy.parquet")["name"].to_list() == ["Ann", "", None]

    run(QueryPlan("SELECT at FROM orders", TableAccess(tables), tmp_path / "times", "PARQUET"))
    assert pl.read_parquet(tmp_path / "times" / "*.parquet").schema == {"at": pl.Datetime("us", "UTC")}


def test_spark_functions_are_understood(tmp_path: Path, tables: tuple[Table, ...]) -> None:
    run(
        plan(
            tmp_path, tables, "SELECT nvl(name, 'none') n, date_format(at, 'yyyy') y FROM people JOIN orders USING (id)"
        )
    )

    assert "none,2024" in lines(tmp_path / "out")


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("SELECT secret FROM people", "Column 'secret' could not be resolved"),
        ("SELECT name FROM peeple", "did you mean 'people'"),
        ("SELECT id FROM people", "is a join column"),
        ("SELECT upper(CAST(p.id AS STRING)) FROM people p", "is a join column"),
        ("SELECT * FROM people", "people.id: is a join column"),
        ("SELECT * FROM (SELECT id FROM people) t", "is a join column"),
        ("SELECT * FROM read_csv('/etc/passwd')", "not a table"),
        ("SELECT * FROM parquet.`/etc/passwd`", "not a table"),
        ("SELECT name FROM people; SELECT name FROM people", "not one SELECT"),
        ("DROP TABLE people", "not one SELECT"),
        ("SELECT FROM WHERE", "queryString:1"),
    ],
)
def test_what_a_query_may_not_do(tmp_path: Path, tables: tuple[Table, ...], query: str, fault: str) -> None:
    with pytest.raises(QueryError) as caught:
        run(plan(tmp_path, tables, query))

    assert fault in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_values_do_not_leave_through_errors(tmp_path: Path, tables: tuple[Table, ...]) -> None:
    secret = Table("people", tables[0].location, "parquet", ("secret",))

    with pytest.raises(EngineDiffersError) as caught:
        run(plan(tmp_path, (secret,), "SELECT to_timestamp(secret) FROM people"))

    assert "canary" not in str(caught.value)
    assert "4711" not in str(caught.value)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT p FROM people p",
        "SELECT people FROM people",
        "SELECT to_json(p) FROM people p",
        "SELECT COLUMNS('id') FROM people",
        "SELECT ID FROM people",
        "SELECT P.Id FROM people p",
        "SELECT p.* EXCEPT (name) FROM people p",
        "SELECT q.c FROM (SELECT * FROM people) q(c, d)",
        "SELECT c FROM people AS p(c, d)",
        "SELECT id FROM orders JOIN people USING (id)",
        "SELECT amount FROM orders UNION SELECT id FROM people",
        "SELECT d FROM people p LATERAL VIEW explode(array(p.id)) v AS d",
        "SELECT d FROM people p, LATERAL (SELECT p.id AS d)",
        "SELECT name FROM people GROUP BY name, id",
        "SELECT name FROM people ORDER BY id",
        "SELECT name FROM people WHERE id IN (SELECT max(id) FROM people)",
        "WITH people AS (SELECT id AS name FROM people) SELECT name FROM people",
        "SELECT row_number() OVER (ORDER BY id) FROM people",
    ],
)
def test_a_join_column_does_not_come_out_by_another_way(tmp_path: Path, tables: tuple[Table, ...], query: str) -> None:
    with pytest.raises(QueryError):
        run(plan(tmp_path, tables, query))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("SELECT p.name FROM people p JOIN orders o ON p.id = o.id", ["Ann", ""]),
        ("SELECT name FROM people JOIN orders USING (id)", ["Ann", ""]),
        ("SELECT name FROM people p WHERE EXISTS (SELECT 1 FROM orders o WHERE o.id = p.id)", ["Ann", ""]),
        (
            "WITH known AS (SELECT p.name AS n FROM people p JOIN orders o ON p.id = o.id) SELECT n FROM known",
            ["Ann", ""],
        ),
    ],
)
def test_a_join_column_may_be_compared(tmp_path: Path, tables: tuple[Table, ...], query: str, names: list[str]) -> None:
    run(plan(tmp_path, tables, query, header=False))
    assert sorted(lines(tmp_path / "out")) == sorted(names)
