"""Checks a query with resolved names against the rules of the tables' owners, for all engines.

A query can only see the tables of its collaboration, and only their allowed columns: resolution knows no others. This
module restricts the use of columns that must not be read. Join columns of a LIST rule can only be compared for equality
with columns of tables; columns that a CUSTOM rule keeps out of the output can also be compared with values. Any other
use would reveal their values step by step. (Clean Rooms user guide, "Analysis rules".)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlglot import exp

from cleanroom_algo.errors import Problem
from cleanroom_algo.local.query.parsing import parse, refused
from cleanroom_algo.local.query.resolution import Resolution, resolve
from cleanroom_algo.local.query.table import Table, TableAccess
from cleanroom_algo.local.query.templates import Parameter


def check(query: str, access: TableAccess, parameters: Iterable[Parameter] = ()) -> Resolution:
    """Check a query against the rules, and return it with resolved names.

    Args:
        query: one SELECT statement of Spark SQL, at most 500,000 characters (botocore's model of cleanroomsml).
        access: the tables that it can see.
        parameters: of the query's analysis template, with their values.

    Raises:
        QueryError: CR-JOB-401, it is not a query, or violates the rules of the tables.
    """
    resolution = resolve(parse(query, {each.name: each.literal() for each in parameters}), access)
    if problems := sorted(set(_shown_columns(resolution)), key=str):
        raise refused("the query breaks the rules of the collaboration", problems)
    return resolution


def _shown_columns(resolution: Resolution) -> Iterator[Problem]:
    for column in resolution.statement.find_all(exp.Column):
        source = resolution.sources.get(column.table)
        if not isinstance(source, exp.Table):
            continue
        table = resolution.tables[source.name.lower()]
        name = column.name.lower()
        path = f"{table.name}.{next(each for each in table.columns if each.lower() == name)}"
        if name in map(str.lower, table.join_columns) and not _joins(column, table, resolution):
            combined = "" if table.either_join else ", not combined with OR"
            yield Problem(
                path,
                "is a join column: it is allowed only in ON, USING and WHERE, in an equality with a column of a "
                f"table{combined}",
            )
        elif name in map(str.lower, table.withheld_columns) and not _filters(column, resolution):
            yield Problem(
                path,
                "must not be in the output: it is allowed only in ON, USING and WHERE, in an equality with a column "
                "of a table or with a value",
            )


def _joins(column: exp.Column, table: Table, resolution: Resolution) -> bool:
    comparison = _equality(column, resolution, values=False)
    within = (exp.And, exp.Or, exp.Paren) if table.either_join else (exp.And, exp.Paren)
    return comparison is not None and _is_condition(comparison, within)


def _filters(column: exp.Column, resolution: Resolution) -> bool:
    comparison = _equality(column, resolution, values=True)
    return comparison is not None and _is_condition(comparison, (exp.And, exp.Or, exp.Not, exp.Paren))


def _equality(column: exp.Column, resolution: Resolution, *, values: bool) -> exp.Expr | None:
    """Return the comparison that uses a column unchanged, and only with allowed operands; else None."""
    side = _whole_side(column)
    comparison = side.parent
    if isinstance(comparison, exp.EQ | exp.NullSafeEQ):
        other = comparison.expression if comparison.this is side else comparison.this
        return comparison if _is_comparable(other, resolution, values=values) else None
    listed: list[exp.Expr] = []
    if values and isinstance(comparison, exp.Is | exp.In) and comparison.this is side:
        listed = [comparison.expression] if isinstance(comparison, exp.Is) else comparison.expressions
    return comparison if listed and all(map(_is_value, listed)) else None


def _whole_side(column: exp.Column) -> exp.Expr:
    """Return a column with its parentheses, and with the COALESCE that USING creates for columns of several tables."""
    side: exp.Expr = column
    while isinstance(side.parent, exp.Paren) or _is_merged(side.parent):
        assert side.parent is not None
        side = side.parent
    return side


def _is_merged(node: exp.Expr | None) -> bool:
    return isinstance(node, exp.Coalesce) and all(
        isinstance(each.unnest(), exp.Column) for each in (node.this, *node.expressions)
    )


def _is_comparable(other: exp.Expr, resolution: Resolution, *, values: bool) -> bool:
    other = other.unnest()
    columns = (
        [other] if not _is_merged(other) else [other.this.unnest(), *(each.unnest() for each in other.expressions)]
    )
    if all(isinstance(each, exp.Column) and resolution.origins(each) for each in columns):
        return True
    return values and _is_value(other)


def _is_value(node: exp.Expr) -> bool:
    node = node.unnest()
    while isinstance(node, exp.Cast | exp.Neg):
        node = node.this.unnest()
    return isinstance(node, exp.Literal | exp.Boolean | exp.Null)


def _is_condition(comparison: exp.Expr, within: tuple[type[exp.Expr], ...]) -> bool:
    """Whether a comparison is a condition of a join or of WHERE, alone or combined with others."""
    node = comparison
    while isinstance(node.parent, within):
        node = node.parent
    if isinstance(node.parent, exp.Where):
        return isinstance(node.parent.parent, exp.Select)
    return isinstance(node.parent, exp.Join) and node.arg_key == "on"
