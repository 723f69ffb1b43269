"""The queries that members write: Spark's dialect, read by sqlglot, held to the tables' analysis rules, run by DuckDB.

Of the analysis rules of Clean Rooms, these are enforced: a query sees only the tables of its collaboration and only
their allowed columns; join columns of a LIST rule, and columns that a CUSTOM rule disallows in the output, may only be
compared. (Clean Rooms user guide, "Analysis rules in AWS Clean Rooms".)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import traverse_scope

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
        join_columns: allowed in comparisons only; among `columns`.
        account: of its owner.
    """

    name: str
    location: Path
    format: Literal["csv", "parquet"]
    columns: tuple[str, ...]
    join_columns: tuple[str, ...] = ()
    account: str = ""


def translate(query: str, tables: Mapping[str, Table], hidden: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return a query of Spark's dialect in DuckDB's, once it keeps to the rules.

    Args:
        query: one SELECT statement, at most 500,000 characters (botocore model of cleanroomsml).
        tables: by name.
        hidden: why other tables of the collaboration may not be used, by name.

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
    problems = list(_unknown_tables(statement, tables, hidden)) or list(_shown_join_columns(statement, tables))
    if problems:
        raise _refused("the query breaks the rules of the collaboration", problems)
    return statement.sql(dialect="duckdb")


def _unknown_tables(statement: exp.Query, tables: Mapping[str, Table], hidden: Mapping[str, str]) -> Iterator[Problem]:
    own = {each.alias_or_name for each in statement.find_all(exp.CTE)}
    for each in statement.find_all(exp.Table):
        name = each.name
        if not isinstance(each.this, exp.Identifier) or each.args.get("db"):
            yield Problem(each.sql(dialect="spark"), "is not a table of the collaboration")
        elif name in hidden:
            yield Problem(name, hidden[name])
        elif name not in tables and name not in own:
            yield Problem(name, "is not a table of the collaboration" + did_you_mean(name, tables))


def _shown_join_columns(statement: exp.Query, tables: Mapping[str, Table]) -> Iterator[Problem]:
    """Yield join columns that stand anywhere but in a comparison: they, or what is made of them, could be read.

    Every column is traced to its table, through aliases, subqueries and stars; what cannot be traced is refused.
    """
    used = {each.name for each in statement.find_all(exp.Table)}
    compared = {name: {column.lower() for column in tables[name].join_columns} for name in used if name in tables}
    if not any(compared.values()):
        return
    yield from _untraceable(statement, compared)
    schema: dict[str, object] = {table.name: dict.fromkeys(table.columns, "text") for table in tables.values()}
    try:
        traced = qualify(statement.copy(), dialect="spark", schema=schema)
    except SqlglotError as error:
        yield Problem("queryString", f"{error}: with join columns in the query, every column must be a table's")
        return
    found = {
        f"{column.table}.{column.name}"
        for scope in traverse_scope(traced)
        for column in scope.columns
        if isinstance(source := scope.sources.get(column.table), exp.Table)
        and column.name.lower() in compared.get(source.name, ())
        and not _is_compared(column)
    }
    for name in sorted(found):
        yield Problem(name, "is a join column: it may be compared (ON, USING, WHERE), and stand nowhere else")


def _untraceable(statement: exp.Query, compared: Mapping[str, set[str]]) -> Iterator[Problem]:
    for each in statement.find_all(exp.Table):
        if compared.get(each.name) and each.alias_column_names:
            yield Problem(each.alias_or_name, "has other names for its columns; use those of the table")
    for function in statement.find_all(exp.Func):
        if (function.name if isinstance(function, exp.Anonymous) else function.sql_name()).upper() == "COLUMNS":
            yield Problem("COLUMNS", "may select join columns; name the columns")


def _is_compared(column: exp.Expr) -> bool:
    """Whether a column stands in the condition of a join or of WHERE, and not in a query inside of that."""
    node: exp.Expr = column
    while node.parent is not None and not isinstance(node.parent, exp.Query):
        if isinstance(node.parent, (exp.Where, exp.Join)):
            return isinstance(node.parent, exp.Where) or node.arg_key == "on"
        node = node.parent
    return False


def _refused(what: str, problems: list[Problem]) -> QueryError:
    return QueryError(
        what,
        expected="one SELECT in Spark SQL over the tables of the collaboration and their allowed columns",
        fix="correct the query; `cleanroom-algo show` lists the tables of the room",
        problems=problems,
    )
