"""Resolves the names in a member's query: each one must be in a table of the collaboration, or the query is refused.

sqlglot qualifies the tree: names ignore case as in Spark, columns get their table, stars are expanded, and every table
gets a unique alias, so that scopes are not ambiguous. The engine's SQL is generated from this tree. In it, tables of
the collaboration have their own schema, so a name that was resolved to a subquery can never reach a table or a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.normalize_identifiers import normalize_identifiers
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, traverse_scope

from cleanroom_algo.contract.suggestions import did_you_mean
from cleanroom_algo.errors import Problem
from cleanroom_algo.local.query.parsing import MAX_NODES, MemberSql, is_count, refused, spark_name
from cleanroom_algo.local.query.table import Table, TableAccess

MEMBERS: Final = "members"
"""The schema of the collaboration's tables in SQL for engines."""

Source = exp.Table | Scope


@dataclass(frozen=True, slots=True)
class Resolution:
    """A query whose names are all resolved.

    Attributes:
        statement: the qualified tree.
        sources: the meaning of every alias: a table of the collaboration, or a subquery.
        tables: of the collaboration, by name in lower case.
    """

    statement: exp.Query
    sources: Mapping[str, Source]
    tables: Mapping[str, Table]

    def origins(self, column: exp.Column) -> frozenset[tuple[str, str]]:
        """Return the tables' columns that a column passes on unchanged, with names in lower case; empty for others."""
        source = self.sources.get(column.table)
        if isinstance(source, exp.Table):
            return frozenset({(source.name.lower(), column.name.lower())})
        return self._passed_on(source.expression, column.name) if isinstance(source, Scope) else frozenset()

    def _passed_on(self, query: exp.Expr, name: str) -> frozenset[tuple[str, str]]:
        if isinstance(query, exp.Subquery):
            return self._passed_on(query.this, name)
        if isinstance(query, exp.SetOperation):
            left, right = query.this.unnest(), query.expression.unnest()
            place = left.named_selects.index(name) if name in left.named_selects else None
            if place is None or place >= len(right.named_selects):
                return frozenset()
            sides = [self._passed_on(left, name), self._passed_on(right, right.named_selects[place])]
            return frozenset().union(*sides) if all(sides) else frozenset()
        found = [each.unalias() for each in getattr(query, "selects", ()) if each.alias_or_name == name]
        return self.origins(found[0]) if len(found) == 1 and isinstance(found[0], exp.Column) else frozenset()

    @property
    def columns(self) -> Mapping[str, tuple[str, ...]]:
        """The columns that the query uses, by name of the table, with their original names."""
        used: dict[str, set[str]] = {
            source.name.lower(): set() for source in self.sources.values() if isinstance(source, exp.Table)
        }
        for column in self.statement.find_all(exp.Column):
            source = self.sources.get(column.table)
            if isinstance(source, exp.Table):
                used[source.name.lower()].add(column.name.lower())
        return {
            self.tables[name].name: tuple(each for each in self.tables[name].columns if each.lower() in columns)
            for name, columns in used.items()
        }


def resolve(statement: exp.Query, access: TableAccess) -> Resolution:
    """Resolve every name of a query.

    Args:
        statement: as `parse` returns it.
        access: the tables that it can see.

    Raises:
        QueryError: CR-JOB-401, a name is unknown or hidden, or cannot be resolved.
    """
    tables = {table.name.lower(): table for table in access.tables}
    if problems := list(_unknown_tables(statement, tables, access.hidden)):
        raise refused("the query breaks the rules of the collaboration", problems)
    statement = statement.copy()
    declared = {column.lower(): column for table in access.tables for column in table.columns}
    written = {**declared, **_name_outputs(statement)}
    traced, sources = _qualified(statement, tables)
    if problems := list(_untraced(traced, sources, tables)):
        raise refused("the query has names that cannot be traced to a table", problems)
    _restore_names(traced, written)
    for source in sources.values():
        if isinstance(source, exp.Table):
            source.set("db", exp.to_identifier(MEMBERS, quoted=True))
    return Resolution(traced, sources, tables)


def referenced_tables(statement: exp.Query) -> list[str]:
    """Return the names in FROM that do not belong to queries in WITH, in lower case.

    Raises:
        QueryError: CR-JOB-401, names cannot be resolved.
    """
    try:
        scopes = traverse_scope(normalize_identifiers(statement.copy(), dialect=MemberSql))
    except SqlglotError as error:
        raise refused("the query has unknown names", [Problem("queryString", str(error))]) from None
    return sorted({each.name for scope in scopes for each in scope.sources.values() if isinstance(each, exp.Table)})


def _unknown_tables(statement: exp.Query, tables: Mapping[str, Table], hidden: Mapping[str, str]) -> Iterator[Problem]:
    normal = normalize_identifiers(statement.copy(), dialect=MemberSql)
    unseen = {name.lower(): why for name, why in hidden.items()}
    try:
        scopes = traverse_scope(normal)
        own = {id(node) for scope in scopes for _, node in scope.references if _is_own(scope, node)}
    except SqlglotError as error:
        yield Problem("queryString", str(error))
        return
    for each in normal.find_all(exp.Table):
        if id(each) in own or each.name in tables:
            continue
        reason = unseen.get(each.name, "is not a table of the collaboration" + did_you_mean(each.name, tables))
        yield Problem(each.name, reason)


def _is_own(scope: Scope, node: exp.Expr) -> bool:
    """Whether a name in FROM refers to a query in WITH, in the given scope."""
    return isinstance(node, exp.Table) and isinstance(scope.sources.get(node.alias_or_name), Scope)


def _qualified(statement: exp.Query, tables: Mapping[str, Table]) -> tuple[exp.Query, dict[str, Source]]:
    """Return the qualified tree, and the meaning of each alias in it."""
    _limit_aliases(statement)
    schema: dict[str, object] = {
        name: dict.fromkeys(map(str.lower, each.columns), "text") for name, each in tables.items()
    }
    try:
        # Twice: the first time expands stars, because unique aliases are only given to explicit columns.
        traced = qualify(statement, dialect=MemberSql, schema=schema)
        traced = qualify(traced, dialect=MemberSql, schema=schema, canonicalize_table_aliases=True)
        sources: dict[str, Source] = {}
        for scope in traverse_scope(traced):
            for alias, _ in scope.references:
                if alias in sources or alias not in scope.sources:
                    raise refused("the query has names that cannot be traced to a table", [])
                sources[alias] = scope.sources[alias]
    except SqlglotError as error:
        raise refused("the query has unknown names", [Problem("queryString", str(error))]) from None
    except RecursionError:
        raise refused("the query is nested too deeply", []) from None
    for select in traced.find_all(exp.Select):
        _expand_order(select)
    return traced, sources


def _limit_aliases(statement: exp.Query) -> None:
    """Refuse nested aliases whose expansion would be too large."""
    for select in statement.find_all(exp.Select):
        sizes: dict[str, int] = {}
        for projection in select.expressions:
            size = sum(
                sizes.get(node.name.lower(), 1) if isinstance(node, exp.Column) else 1 for node in projection.walk()
            )
            if size > MAX_NODES:
                raise refused("names in the SELECT list refer to expressions that are too long", [])
            sizes[projection.alias_or_name.lower()] = size


def _expand_order(select: exp.Select) -> None:
    """Replace aliases inside expressions of ORDER BY by their definitions."""
    order = select.args.get("order")
    if order is None:
        return
    outputs = {each.alias_or_name: each.unalias() for each in select.selects}
    for column in list(order.find_all(exp.Column)):
        if not column.table and not isinstance(column.parent, exp.Ordered) and column.name in outputs:
            column.replace(exp.paren(outputs[column.name].copy(), copy=False))


def _untraced(traced: exp.Query, sources: Mapping[str, Source], tables: Mapping[str, Table]) -> Iterator[Problem]:
    known = {id(source) for source in sources.values()}
    for each in traced.find_all(exp.Table):
        source = sources.get(each.alias)
        if each.args.get("db") or not (isinstance(source, Scope) or (id(each) in known and each.name in tables)):
            yield Problem(each.name, "is not a table of the collaboration")
    for star in traced.find_all(exp.Star):
        if not is_count(star.parent):  # a source has columns without names here
            yield Problem("*", "stands for columns that are unknown here; name the columns")
    for column in traced.find_all(exp.Column):
        if not (column.table in sources or _is_output(column)) or isinstance(column.this, exp.Star):
            yield Problem(column.name, "is unknown; write the name of its table before it")


def _is_output(column: exp.Column) -> bool:
    """Whether a single column in ORDER BY is an alias from the SELECT list."""
    ordered = column.parent
    query = ordered.parent.parent if isinstance(ordered, exp.Ordered) and ordered.parent else None
    return not column.table and isinstance(query, exp.Query) and column.name in query.named_selects


def _name_outputs(statement: exp.Query) -> dict[str, str]:
    """Name the result's columns as Spark does if the member has not named them.

    Returns:
        The original spelling of names, by the lower case that qualification uses.
    """
    written: dict[str, str] = {}
    for each in statement.find_all(exp.Alias):
        written.setdefault(each.alias.lower(), each.alias)
    first = _first_select(statement)
    outputs = []
    for each in [] if first is None else first.expressions:
        if each.is_star:
            continue
        if not isinstance(each, exp.Alias | exp.Column | exp.Dot):
            name = spark_name(each)
            each.replace(exp.alias_(each.copy(), name, quoted=True))
            outputs.append(name)
        else:
            outputs.append(each.alias_or_name)
    return {**written, **{name.lower(): name for name in outputs}}


def _restore_names(traced: exp.Query, written: Mapping[str, str]) -> None:
    first = _first_select(traced)
    names = [] if first is None else [each.alias_or_name for each in first.selects]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        problems = [
            Problem(name, "is the name of two columns in the result; rename one of them with AS") for name in twice
        ]
        raise refused("columns of the result have the same name", problems)
    for each in [] if first is None else first.selects:
        if isinstance(each, exp.Alias):
            each.set("alias", exp.to_identifier(written.get(each.alias, each.alias), quoted=True))


def _first_select(query: exp.Expr) -> exp.Select | None:
    while isinstance(query, exp.SetOperation | exp.Subquery):
        query = query.this
    return query if isinstance(query, exp.Select) else None
