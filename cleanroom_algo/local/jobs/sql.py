"""The queries that members write: Spark's dialect, read by sqlglot, held to the tables' analysis rules, run by DuckDB.

Of the analysis rules of Clean Rooms, these are enforced: a query sees only the tables of its collaboration and only
their allowed columns; of a table with a LIST rule the join columns may be compared but not selected. (Clean Rooms user
guide, "Analysis rules in AWS Clean Rooms".)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError

from cleanroom_algo.contract.suggestions import did_you_mean
from cleanroom_algo.errors import Problem, QueryError


@dataclass(frozen=True, slots=True)
class Table:
    """A configured table, as a query sees it.

    Attributes:
        name: in the collaboration.
        location: a file, or a folder of files.
        format: of the files.
        columns: allowed in analyses; the only ones that a query can see.
        join_columns: allowed in comparisons only (LIST rule); among `columns`.
        account: of its owner.
    """

    name: str
    location: Path
    format: Literal["csv", "parquet"]
    columns: tuple[str, ...]
    join_columns: tuple[str, ...] = ()
    account: str = ""


def translate(query: str, tables: Mapping[str, Table]) -> str:
    """Return a query of Spark's dialect in DuckDB's, once it keeps to the rules.

    Args:
        query: one SELECT statement, at most 500,000 characters (botocore model of cleanroomsml).
        tables: by name.

    Raises:
        QueryError: CR-JOB-401, it is no query, or breaks the rules of the tables; all faults at once.
    """
    try:
        statements = [each for each in sqlglot.parse(query, read="spark") if each is not None]
    except ParseError as error:
        place = error.errors[0] if error.errors else {}
        path = f"queryString:{place.get('line', 1)}:{place.get('col', 1)}"
        raise _refused(
            "the query cannot be parsed", [Problem(path, str(place.get("description", "invalid SQL")))]
        ) from None
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise _refused("the query is not one SELECT statement", [])
    statement = statements[0]
    problems = list(_faults(statement, tables))
    if problems:
        raise _refused("the query breaks the rules of the collaboration", problems)
    return statement.sql(dialect="duckdb")


def _faults(statement: exp.Query, tables: Mapping[str, Table]) -> Iterator[Problem]:
    own = {each.alias_or_name for each in statement.find_all(exp.CTE)}
    aliases: dict[str, Table] = {}
    for each in statement.find_all(exp.Table):
        name = each.name
        if not isinstance(each.this, exp.Identifier) or each.args.get("db"):
            yield Problem(each.sql(dialect="spark"), "is not a table of the collaboration")
        elif name in tables:
            aliases[each.alias_or_name] = tables[name]
        elif name not in own:
            yield Problem(name, "is not a table of the collaboration" + did_you_mean(name, tables))
    used = set(aliases.values())
    for select in statement.find_all(exp.Select):
        for projection in select.expressions:
            for column in projection.find_all(exp.Column):
                owners = [aliases[column.table]] if column.table in aliases else used
                if any(column.name in table.join_columns for table in owners):
                    yield Problem(column.sql(), "is a join column: it may be compared, not selected")
            if projection.is_star and any(table.join_columns for table in used):
                yield Problem("*", "would select join columns; name the columns")


def _refused(what: str, problems: list[Problem]) -> QueryError:
    return QueryError(
        what,
        expected="one SELECT in Spark SQL over the tables of the collaboration and their allowed columns",
        fix="correct the query; `cleanroom-algo show` lists the tables of the room",
        problems=problems,
    )
