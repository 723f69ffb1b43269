"""Parameters of analysis templates: values of their type in the parsed query, whatever their text looks like."""

from pathlib import Path

import polars as pl
import pytest

from cleanroom_algo.errors import QueryError
from cleanroom_algo.local.query.engines.run import run
from cleanroom_algo.local.query.parsing import parse
from cleanroom_algo.local.query.plan import QueryPlan
from cleanroom_algo.local.query.table import Table, TableAccess
from cleanroom_algo.local.query.templates import Parameter, faults_of_values, placeholders
from tests.local.query.spark_corpus import PARAMETERS, PARAMETERS_SHOWN, PARAMETERS_TEMPLATE

HOSTILE = ("x' OR '1'='1", "\\' OR 1=1 --", "'; DROP TABLE people; --", "\\", "'", "a\nb", ":name", "*/ OR true /*")


@pytest.fixture
def people(tmp_path: Path) -> TableAccess:
    pl.DataFrame({"id": range(len(HOSTILE)), "name": HOSTILE}).write_parquet(tmp_path / "people.parquet")
    return TableAccess((Table("people", tmp_path / "people.parquet", "parquet", ("id", "name"), ("id",)),))


def test_values_have_the_type_of_their_parameter(tmp_path: Path) -> None:
    run(QueryPlan(PARAMETERS_TEMPLATE, TableAccess(()), tmp_path / "out", header=False, parameters=PARAMETERS))
    assert [each.read_text() for each in (tmp_path / "out").iterdir()] == [PARAMETERS_SHOWN]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_is_nothing_but_a_text(tmp_path: Path, people: TableAccess, text: str) -> None:
    query = "SELECT name FROM people WHERE name = :name"
    plan = QueryPlan(query, people, tmp_path / "out", "PARQUET", parameters=(Parameter("name", "STRING", text),))

    assert run(plan).records == 1
    assert pl.read_parquet(tmp_path / "out" / "*.parquet")["name"].to_list() == [text]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("INTEGER", "1 OR 1=1"), ("INTEGER", "2147483648"), ("INTEGER", "1.0"), ("INTEGER", ""), ("TINYINT", "128"),
        ("BIGINT", "9223372036854775808"), ("DECIMAL", "1e3"), ("DECIMAL", "1" * 39), ("DOUBLE", "NaN"),
        ("DOUBLE", "1e999"), ("DOUBLE", "1_0"), ("REAL", "x"), ("BOOLEAN", "1"), ("DATE", "2024-02-30"),
        ("DATE", "20240201"), ("TIMESTAMP", "noon"), ("TIMESTAMP_NTZ", "2024-01-01 00:00:00+01:00"),
    ],
)  # fmt: skip
def test_values_of_other_types_are_faults(kind: str, value: str) -> None:
    template = {"analysisParameters": [{"name": "p", "type": kind, "defaultValue": "never taken"}]}

    (fault,) = faults_of_values(template, {"p": value}, "parameters")

    assert (fault.path, "is not a" in fault.message or "digits" in fault.message or "neither" in fault.message) == (
        "parameters.p",
        True,
    )


@pytest.mark.parametrize(
    "text",
    [
        "SELECT name FROM :p",
        "SELECT name AS :p FROM people",
        "SELECT people.:p FROM people",
        "SELECT name FROM people AS :p",
        "SELECT name FROM people ORDER BY :p",
        "SELECT name FROM people GROUP BY :p",
        "SELECT EXTRACT(:p FROM name) FROM people",
        "SELECT ? FROM people",
        "SELECT :q, :p FROM people",
        "SELECT ':p' FROM people",
        "SELECT name FROM people -- :p",
    ],
)
def test_a_parameter_stands_for_a_value_alone(text: str) -> None:
    with pytest.raises(QueryError):
        parse(text, placeholders(["p"]))


def test_a_join_column_is_not_compared_with_a_parameter(tmp_path: Path, people: TableAccess) -> None:
    given = (Parameter("p", "BIGINT", "1"),)
    with pytest.raises(QueryError, match="is a join column"):
        run(QueryPlan("SELECT name FROM people WHERE id = :p", people, tmp_path / "out", parameters=given))
    assert not (tmp_path / "out").exists()
