"""Accepted queries tell of join columns only which rows match: other values that match alike give the same result."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pytest

from cleanroom_algo.errors import QueryError
from cleanroom_algo.local.query.resolution import MEMBERS
from cleanroom_algo.local.query.rules import check
from cleanroom_algo.local.query.table import Table, TableAccess

ACCESS = TableAccess(
    (
        Table("people", Path("p"), "csv", ("email", "name", "age"), join_columns=("email",), either_join=True),
        Table("orders", Path("o"), "csv", ("email", "item", "price"), join_columns=("email",), either_join=True),
    )
)
EMAILS = (("a", "b", "c", "d"), ("zz", "y", "xxx", "w"))  # of another order, length and form
JOINS = ("JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN", "LEFT SEMI JOIN", "LEFT ANTI JOIN")
FUNCTIONS = ("upper({0})", "length({0})", "concat({0}, {1})", "coalesce({0}, {1})", "max({0})", "count({0})", "({0})")
OPERATORS = ("=", "<=>", "<>", "<", ">=", "LIKE")


COLUMNS = {"people": ("name", "age"), "orders": ("item", "price")}

Seen = tuple[tuple[str, tuple[str, ...]], ...]
"""Names of what stands in FROM, each with its columns, those of the queries around it included."""


class Writer:
    """Writes queries by chance: most would run, and some touch join columns where they may not."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.names: dict[str, tuple[str, ...]] = {}  # of WITH

    def one(self, *choices: str) -> str:
        return self.chance.choice(choices)

    def is_so(self, probability: float) -> bool:
        return self.chance.random() < probability

    def column(self, seen: Seen) -> str:
        alias, columns = self.chance.choice(seen)
        if self.is_so(0.04):
            return f"{alias}.{self.one('email', 'EMAIL', '*')}"
        name = self.one(*columns) if columns else "x"
        return name if self.is_so(0.1) else f"{alias}.{name}"

    def value(self, seen: Seen, depth: int) -> str:
        if depth <= 0 or self.is_so(0.6):
            return self.column(seen)
        if self.is_so(0.5):
            return self.one(*FUNCTIONS).format(self.value(seen, depth - 1), self.value(seen, depth - 1))
        if self.is_so(0.4):
            return self.one("'a'", "1", "NULL", "'zz'")
        if self.is_so(0.6):
            return f"CASE WHEN {self.condition(seen, depth - 1)} THEN 1 ELSE 2 END"
        return f"({self.query(depth - 1, seen, 1)[0]})"

    def condition(self, seen: Seen, depth: int) -> str:
        if self.is_so(0.35):
            left, right = (self.chance.choice(seen)[0] for _ in range(2))
            return (
                f"{left}.email {self.one('=', '=', '=', '<=>', '<')} {right}.{self.one('email', 'email', 'item', 'x')}"
            )
        if depth <= 0 or self.is_so(0.4):
            return f"{self.value(seen, depth - 1)} {self.one(*OPERATORS)} {self.value(seen, depth - 1)}"
        if self.is_so(0.3):
            return f"{self.one('', 'NOT ')}EXISTS ({self.query(depth - 1, seen, 1)[0]})"
        if self.is_so(0.2):
            return f"{self.column(seen)} IN ({self.query(depth - 1, seen, 1)[0]})"
        return f"{self.condition(seen, depth - 1)} {self.one('AND', 'AND', 'OR')} {self.condition(seen, depth - 1)}"

    def source(self, alias: str, depth: int) -> tuple[str, tuple[str, tuple[str, ...]]]:
        if depth > 0 and self.is_so(0.3):
            text, columns = self.query(depth - 1, ())
            return f"({text}) {alias}", (alias, columns)
        name = self.one("people", "orders", *self.names)
        columns = self.names.get(name) or COLUMNS[name]
        return f"{self.one(name, name.upper(), f'`{name}`')} {alias}", (alias, columns)

    def query(self, depth: int, outer: Seen, width: int = 2) -> tuple[str, tuple[str, ...]]:
        """Return a query, and the names of its columns."""
        first, second = self.one("p", "people", "w"), self.one("o", "orders", "r")
        text, found = self.source(first, depth)
        seen: Seen = (found,)
        clauses = [f"FROM {text}"]
        if self.is_so(0.6):
            text, found = self.source(second, depth)
            join = self.one(*JOINS)
            on = self.one("USING (email)", f"ON {first}.email = {second}.email")
            if self.is_so(0.3):
                on = f"ON {self.condition((*seen, found), depth)}"
            clauses.append(f"{join} {text} {'' if join == 'CROSS JOIN' else on}")
            seen = seen if "SEMI" in join or "ANTI" in join else (*seen, found)
        within = (*seen, *outer)
        if self.is_so(0.5):
            clauses.append(f"WHERE {self.condition(within, depth)}")
        names = tuple(self.chance.sample(("x", "y", "email", "name"), self.chance.randint(1, width)))
        shown = ", ".join(f"{self.value(within, depth)} AS {name}" for name in names)
        if self.is_so(0.1):
            clauses.append(f"ORDER BY {self.one(self.value(within, 1), *names)}")
        whole = f"SELECT {self.one('', '', 'DISTINCT ')}{shown} {' '.join(clauses)}"
        if depth > 0 and self.is_so(0.1):
            other, _ = self.query(depth - 1, outer, width)
            whole = f"({whole}) {self.one('UNION', 'UNION ALL', 'EXCEPT')} ({other})"
        return whole, names

    def whole(self) -> str:
        start = ""
        if self.is_so(0.4):
            name = self.one("w", "people", "orders", "o")
            text, columns = self.query(1, ())
            start, self.names = f"WITH {self.one(name, name.upper())} AS ({text}) ", {name: columns}
        return start + self.query(2, ())[0]


def database(emails: Sequence[str]) -> duckdb.DuckDBPyConnection:
    """Return a database in which these are the values of the join columns."""
    a, b, c, d = emails
    connection = duckdb.connect(config={"python_enable_replacements": False})
    connection.execute(f"ATTACH ':memory:' AS {MEMBERS}")
    rows = f"('{a}', 'Ann', 30), ('{b}', 'Bob', 40), ('{c}', 'Cid', NULL)"
    connection.execute(f"CREATE TABLE {MEMBERS}.people AS SELECT * FROM (VALUES {rows}) t(email, name, age)")
    rows = f"('{a}', 'Hat', 1.5), ('{a}', 'Cup', 2.5), ('{d}', 'Pen', NULL)"
    connection.execute(f"CREATE TABLE {MEMBERS}.orders AS SELECT * FROM (VALUES {rows}) t(email, item, price)")
    return connection


def answer(connection: duckdb.DuckDBPyConnection, sql: str) -> list[str]:
    """Return the rows that a query gives."""
    try:
        return sorted(map(str, connection.execute(sql).fetchall()))
    except duckdb.Error as error:  # of form, whatever the values are
        return [type(error).__name__]


def ask(seed: int) -> str | None:
    """Return the query of a seed as DuckDB gets it; None where it is refused."""
    try:
        return check(Writer(seed).whole(), ACCESS).statement.sql(dialect="duckdb")
    except QueryError:
        return None


@pytest.mark.parametrize("start", range(0, 400, 100))
def test_other_values_give_the_same_result(start: int) -> None:
    accepted = [sql for seed in range(start, start + 100) if (sql := ask(seed))]

    assert len(accepted) > 20
    with database(EMAILS[0]) as one, database(EMAILS[1]) as other:
        for sql in accepted:
            assert answer(one, sql) == answer(other, sql), sql
