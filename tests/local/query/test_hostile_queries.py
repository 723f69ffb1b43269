"""What a member may not read does not come out, however the query is written; nor would the engine give it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import duckdb
import polars as pl
import pytest

from cleanroom_algo.errors import QueryError
from cleanroom_algo.local.query.engines.database import load_tables, open_database
from cleanroom_algo.local.query.engines.duckdb import create_result
from cleanroom_algo.local.query.engines.run import run
from cleanroom_algo.local.query.plan import QueryPlan
from cleanroom_algo.local.query.rules import check
from cleanroom_algo.local.query.table import Table, TableAccess
from tests.local.query.hostile import COLUMNS, COMPARISONS, NAMES, STARS, variants

HOSTILE = [text for query in (*STARS, *COLUMNS, *COMPARISONS, *NAMES) for text in dict.fromkeys(variants(query))]


def tables(folder: Path) -> TableAccess:
    """Tables in a folder, where there is more than a query may see."""
    return TableAccess(
        (
            Table("people", folder / "people.parquet", "parquet", ("email", "name", "city"), join_columns=("email",)),
            Table("orders", folder / "orders.csv", "csv", ("email", "item"), join_columns=("email",)),
            Table("staff", folder / "staff.csv", "csv", ("badge", "team"), withheld_columns=("badge",)),
        ),
        hidden={"vault": "its owner does not let this algorithm's association use it"},
    )


ACCESS = tables(Path("/data"))


@pytest.fixture
def access(tmp_path: Path) -> TableAccess:
    """The same with their files, and one that is none of a query's business."""
    pl.DataFrame(
        {
            "email": ["ann@canary.example", "bob@canary.example"],
            "name": ["Ann", "Bob"],
            "city": ["Rome", None],
            "secret": ["canary-1", "canary-2"],
        }
    ).write_parquet(tmp_path / "people.parquet")
    pl.DataFrame({"email": ["ann@canary.example"], "item": ["Hat"]}).write_csv(tmp_path / "orders.csv")
    pl.DataFrame({"badge": ["canary-3", "b"], "team": ["x", "y"]}).write_csv(tmp_path / "staff.csv")
    (tmp_path / "other.csv").write_text("line\ncanary-5\n")
    return tables(tmp_path)


def test_the_corpus_is_large() -> None:
    assert len(HOSTILE) > 1500


@pytest.mark.parametrize("query", [*STARS, *COLUMNS, *COMPARISONS, *NAMES])
def test_every_variant_is_refused(query: str) -> None:
    for text in dict.fromkeys(variants(query)):
        assert not accepted(text.replace("{folder}", "/data")), text


@pytest.mark.parametrize(
    "query",
    [
        "SELECT name FROM people",
        "SELECT count(*) AS n FROM people",
        "SELECT o.item, p.name FROM people p JOIN orders o ON p.email = o.email",
        "SELECT t.* FROM (SELECT name, city FROM people) t",
        "WITH w AS (SELECT name AS x FROM people) SELECT w.x FROM w",
        "SELECT v.a FROM VALUES (1) AS v(a)",
        "SELECT x FROM people p LATERAL VIEW explode(array(p.name)) v AS x",
        "SELECT name AS x FROM people UNION SELECT city FROM people",
    ],
)
def test_every_variant_of_an_honest_query_is_accepted(query: str) -> None:
    for text in dict.fromkeys(variants(query)):
        assert accepted(text), text


def accepted(query: str) -> bool:
    try:
        check(query, ACCESS)
    except QueryError:
        return False
    return True


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("SELECT count(*) AS n FROM PEOPLE", ["n", "2"]),
        ("SELECT Name, CITY AS Town FROM people WHERE city IS NOT NULL", ["Name,Town", "Ann,Rome"]),
        ("SELECT p.name FROM people p JOIN orders o ON p.email = o.email", ["name", "Ann"]),
        ("SELECT p.name FROM people p JOIN orders o ON (o.email) <=> (p.email) AND p.city = 'Rome'", ["name", "Ann"]),
        ("SELECT NAME FROM people JOIN Orders USING (EMAIL)", ["NAME", "Ann"]),
        ("SELECT name FROM people JOIN orders USING (email) JOIN orders o USING (email)", ["name", "Ann"]),
        ("SELECT name FROM people p LEFT SEMI JOIN orders o ON p.email = o.email", ["name", "Ann"]),
        ("SELECT name FROM people p LEFT ANTI JOIN orders o ON p.email = o.email", ["name", "Bob"]),
        ("SELECT name FROM people p, orders o WHERE p.email = o.email", ["name", "Ann"]),
        (
            "SELECT name FROM people p WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.email = p.email)",
            ["name", "Bob"],
        ),
        ("SELECT team FROM staff WHERE badge = 'b' OR badge IS NULL", ["team", "y"]),
        ("SELECT team FROM staff WHERE badge IN ('b', 'c') AND NOT badge = 'd'", ["team", "y"]),
        ("WITH people AS (SELECT name AS n FROM people) SELECT p.N FROM People p ORDER BY n LIMIT 1", ["N", "Ann"]),
        ("SELECT * FROM (SELECT name, 1 AS One FROM people) t ORDER BY name DESC LIMIT 1", ["name,One", "Bob,1"]),
        ("SELECT upper(name), count(*) FROM people GROUP BY 1 ORDER BY 1 LIMIT 1", ["upper(name),count(1)", "ANN,1"]),
        (
            "SELECT item FROM (SELECT item, b c FROM (SELECT item, item b FROM orders)) LEFT JOIN people ON email = c",
            ["item", "Hat"],
        ),
        ("SELECT name AS n, length(name) AS l FROM people ORDER BY abs(l), n DESC LIMIT 1", ["n,l", "Bob,3"]),
        ("SELECT /*+ BROADCAST(p) */ name -- all\nFROM people p WHERE name = 'Ann'", ["name", "Ann"]),
        ("SELECT x FROM people LATERAL VIEW explode(split(name, 'n')) v AS x WHERE x > ''", ["x", "A", "Bob"]),
        ("SELECT v.a FROM VALUES (1, 2) AS v(a, b)", ["a", "1"]),
        ("SELECT v.*, o.item FROM orders o, (SELECT name AS Who FROM people) v", ["Who,item", "Ann,Hat", "Bob,Hat"]),
    ],
)
def test_honest_queries_run(access: TableAccess, tmp_path: Path, query: str, rows: list[str]) -> None:
    run(QueryPlan(query, access, tmp_path / "out"))

    lines = [path.read_text().splitlines() for path in sorted((tmp_path / "out").iterdir())]
    assert [lines[0][0], *(line for part in lines for line in part[1:])] == rows


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_csv('{folder}/other.csv')",
        "SELECT * FROM read_text('{folder}/other.csv')",
        "SELECT * FROM '{folder}/other.csv'",
        "SELECT * FROM glob('{folder}/*')",
        "SELECT secret FROM members.people",
        "SELECT email FROM members.people",
        "SELECT * FROM members.staff",
        "SELECT * FROM resolution",
    ],
)
def test_the_engine_does_not_hold_what_the_checks_forbid(access: TableAccess, tmp_path: Path, statement: str) -> None:
    (tmp_path / "draft").mkdir()
    with open_database(tmp_path / "draft") as connection:
        load_tables(connection, check("SELECT name FROM people", access))

        with pytest.raises(duckdb.Error):
            create_result(connection, statement.replace("{folder}", str(tmp_path)))


def test_names_that_multiply_are_refused_at_once() -> None:
    names = ", ".join(f"a{n} + a{n} AS a{n + 1}" for n in range(60))

    with pytest.raises(QueryError, match="too long"):
        check(f"SELECT 1 AS a0, {names} FROM people", ACCESS)


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(QueryError):
        check(f"SELECT {'(' * 5000}1{')' * 5000} AS x FROM people", ACCESS)


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(QueryError, match="name of two columns"):
        check("SELECT name, upper(name) AS NAME FROM people", ACCESS)


def test_a_broken_table_fails_only_queries_that_name_it(access: TableAccess, tmp_path: Path) -> None:
    broken = Table("broken", tmp_path / "other.csv", "parquet", ("line",))
    access = replace(access, tables=(*access.tables, broken))

    run(QueryPlan("SELECT name FROM people", access, tmp_path / "out"))
    with pytest.raises(Exception, match="table 'broken' cannot be read as parquet") as caught:
        run(QueryPlan("SELECT line FROM broken", access, tmp_path / "other"))

    assert not re.search(f"canary|{tmp_path}", str(caught.value))
    assert not (tmp_path / "other").exists()
