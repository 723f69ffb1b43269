"""Translates a query in Spark's dialect to one with the same values on DuckDB, or reports the parts that may differ.

Every expression gets its type in Spark, and is written in DuckDB's SQL with all casts explicit. Whatever is not listed
here or in `functions` is refused: nothing depends on DuckDB's own rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from sqlglot import exp
from sqlglot.optimizer.scope import Scope, traverse_scope

from cleanroom_algo.errors import EngineDiffersError, Problem
from cleanroom_algo.local.query.engines import patterns
from cleanroom_algo.local.query.engines.spark_types import (
    INTEGERS,
    NULL,
    as_decimal,
    cast,
    common_type,
    decimal_type,
    implicit_cast,
    is_number,
)
from cleanroom_algo.local.query.functions import AGGREGATES, SIGNATURES, UNORDERED, WINDOW_FUNCTIONS, Signature
from cleanroom_algo.local.query.resolution import Resolution

Columns = Mapping[str, str]
"""Types by name in lower case."""

_STRUCTURE: Final = (
    exp.Select, exp.Subquery, exp.CTE, exp.With, exp.From, exp.Join, exp.Where, exp.Group, exp.Having, exp.Order,
    exp.Ordered, exp.Limit, exp.Offset, exp.Distinct, exp.Tuple, exp.TableAlias, exp.Table, exp.Identifier,
    exp.SetOperation, exp.Values, exp.Lateral, exp.Alias, exp.WindowSpec, exp.Star,
)  # fmt: skip
_ARITHMETIC: Final[Mapping[type[exp.Expr], str]] = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Mod: "%"}
_COMPARISONS: Final[Mapping[type[exp.Expr], str]] = {
    exp.EQ: "=", exp.NEQ: "<>", exp.GT: ">", exp.GTE: ">=", exp.LT: "<", exp.LTE: "<=",
    exp.NullSafeEQ: "IS NOT DISTINCT FROM",
}  # fmt: skip
_ARGUMENTS: Final = frozenset(
    {"this", "expression", "expressions", "table", "alias", "low", "high", "ifs", "default", "true", "to", "query"}
    | {"is_string", "spec", "partition_by", "order", "over", "safe", "typed", "negate"}
)
"""The known arguments of expressions; an expression with others is refused."""

_BITS: Final[Mapping[type[exp.Expr], str]] = {exp.BitwiseAnd: "&", exp.BitwiseOr: "|"}


class Value(NamedTuple):
    """An expression of DuckDB, and its type in Spark."""

    sql: str
    type: str


class _Differs(Exception):  # noqa: N818
    """A part of a query whose values on DuckDB may differ from Spark's."""


def translate(resolution: Resolution, tables: Mapping[str, Columns]) -> exp.Query:
    """Return the query for DuckDB.

    Args:
        resolution: of the query.
        tables: types of the used columns, by names of tables in lower case.

    Raises:
        EngineDiffersError: CR-JOB-403, DuckDB may return other values than Spark.
    """
    statement = resolution.statement.copy()
    translation = _Translation(statement, tables)
    translation.structure(statement)
    if translation.problems:
        raise EngineDiffersError(
            "DuckDB may return other values than Spark for this query",
            expected="functions, operators and casts that return the same values in both engines "
            "(docs/reference/query-functions.md)",
            fix='choose --engine spark, or query_engine = "spark" in settings.toml, or rewrite the query without them',
            problems=list(dict.fromkeys(translation.problems)),
        )
    return statement


class _Translation:
    """The translation of one query."""

    def __init__(self, statement: exp.Query, tables: Mapping[str, Columns]) -> None:
        self.tables = tables
        self.problems: list[Problem] = []
        self._sources = {
            alias: source.expression if isinstance(source, Scope) else source
            for scope in traverse_scope(statement)
            for alias, source in scope.sources.items()
        }
        self._outputs: dict[int, dict[str, str]] = {}
        self._done: dict[int, tuple[exp.Expr, Value]] = {}  # with the node, so that its id is not reused

    def structure(self, node: exp.Expr) -> None:
        """Replace every expression below a part of a query by its translation."""
        if isinstance(node, exp.Query):
            self.outputs(node)
        for child in list(node.iter_expressions()):
            if isinstance(child, exp.Subquery) and _is_value_of(child):
                self.replace(child)
            elif isinstance(child, _STRUCTURE):
                self.structure(child)
            elif isinstance(child, exp.Explode) and isinstance(node, exp.Lateral):
                self.replace(child.this)
            elif not isinstance(child, exp.Var):
                self.replace(child)

    def replace(self, node: exp.Expr) -> None:
        if isinstance(node.parent, exp.Ordered | exp.Limit | exp.Offset) and isinstance(node, exp.Literal):
            return  # a position in the SELECT list, or a number of rows
        if isinstance(node.parent, exp.Group) and isinstance(node, exp.Literal):
            return
        value = self.value(node)
        node.replace(exp.Var(this=value.sql))

    def value(self, node: exp.Expr) -> Value:
        """Return an expression for DuckDB, with its type; refused parts are recorded."""
        if id(node) not in self._done:
            try:
                handler = _HANDLERS.get(type(node))
                if handler is None or any(node.args[name] for name in node.args.keys() - _ARGUMENTS):
                    raise _Differs("is not known to return the same values in both engines")
                found = handler(self, node)
            except _Differs as reason:
                self.problems.append(Problem(node.sql(dialect="spark", comments=False)[:80], str(reason)))
                found = Value("CAST(NULL AS INTEGER)", NULL)
            self._done[id(node)] = (node, found)
        return self._done[id(node)][1]

    def outputs(self, query: exp.Expr) -> dict[str, str]:
        """Return the types of a query's columns, by name, in order."""
        query = query.unnest() if isinstance(query, exp.Subquery) else query
        if id(query) not in self._outputs:
            self._outputs[id(query)] = {}  # of a recursive query: names without types
            self._outputs[id(query)] = self._find_outputs(query)
        return self._outputs[id(query)]

    def _find_outputs(self, query: exp.Expr) -> dict[str, str]:
        if isinstance(query, exp.SetOperation):
            left, right = self.outputs(query.this), self.outputs(query.expression)
            if list(left.values()) != list(right.values()):
                self.problems.append(
                    Problem(
                        type(query).__name__.upper(),
                        "has sides with different column types; cast them to the same types",
                    )
                )
            return left
        if isinstance(query, exp.Select):
            return {each.alias_or_name.lower(): self.value(each.unalias()).type for each in query.selects}
        if isinstance(query, exp.Values):
            rows = [[self.value(each).type for each in row.expressions] for row in query.expressions]
            if any(row != rows[0] for row in rows):
                self.problems.append(Problem("VALUES", "has rows with different types; cast them to the same types"))
            return dict(zip(map(str.lower, query.alias_column_names), rows[0], strict=False))
        if isinstance(query, exp.Lateral) and isinstance(query.this, exp.Explode) and not query.args.get("outer"):
            inner = self.value(query.this)
            return dict.fromkeys(map(str.lower, query.alias_column_names), inner.type)
        self.problems.append(
            Problem(type(query).__name__.upper(), "is not known to return the same values in both engines")
        )
        return {}

    # One method for each kind of expression

    def column(self, node: exp.Column) -> Value:
        sql = node.sql(dialect="duckdb")
        if not node.table:  # a name from the SELECT list in ORDER BY
            select = node.find_ancestor(exp.Query)
            assert select is not None
            return Value(sql, self.outputs(select).get(node.name.lower(), NULL))
        source = self._sources.get(node.table)
        if isinstance(source, exp.Table):
            return Value(sql, self.tables[source.name.lower()][node.name.lower()])
        if source is None:
            raise _Differs("is not known to return the same values in both engines")
        found = self.outputs(source).get(node.name.lower())
        if found is None:
            raise _Differs("has no known type")
        return Value(sql, found)

    def literal(self, node: exp.Literal) -> Value:
        sql = node.sql(dialect="duckdb")
        if node.is_string:
            return Value(sql, "string")
        text = node.name.lower()
        if "e" in text:
            return Value(f"CAST({text} AS DOUBLE)", "double")
        if "." in text:
            whole, _, fraction = text.partition(".")
            kind = decimal_type(max(len(whole.lstrip("0")) + len(fraction), len(fraction), 1), len(fraction))
            if kind is None:
                raise _Differs("has too many digits")
            return Value(f"CAST({sql} AS {kind})", kind)
        number = int(text)
        if number >= 2**63:
            raise _Differs("has too many digits")
        return Value(
            f"CAST({sql} AS {'INTEGER' if number < 2**31 else 'BIGINT'})", "int" if number < 2**31 else "bigint"
        )

    def raw_string(self, node: exp.RawString) -> Value:
        return Value(exp.Literal.string(node.name).sql(dialect="duckdb"), "string")

    def constant(self, node: exp.Expr) -> Value:
        if isinstance(node, exp.Null):
            return Value("CAST(NULL AS INTEGER)", NULL)
        return Value(node.sql(dialect="duckdb"), "boolean")

    def paren(self, node: exp.Paren) -> Value:
        inner = self.value(node.this)
        return Value(f"({inner.sql})", inner.type)

    def negative(self, node: exp.Neg) -> Value:
        inner = self.value(node.this)
        if not is_number(inner.type):
            raise _Differs("has no number")
        return Value(f"(-{inner.sql})", inner.type)

    def logic(self, node: exp.Expr) -> Value:
        sides = [self.typed(each, "boolean") for each in (node.args.get("this"), node.args.get("expression")) if each]
        if isinstance(node, exp.Not):
            return Value(f"(NOT {sides[0]})", "boolean")
        return Value(f"({sides[0]} {'AND' if isinstance(node, exp.And) else 'OR'} {sides[1]})", "boolean")

    def typed(self, node: exp.Expr, target: str) -> str:
        """Return an expression cast to the type that Spark requires."""
        value = self.value(node)
        sql = implicit_cast(value.sql, value.type, target)
        if sql is None:
            raise _Differs(f"has the type {value.type}; cast it to {target}")
        return sql

    def alike(self, values: list[Value], *, compared: bool = False) -> tuple[list[str], str]:
        """Return expressions cast to Spark's common type of all of them."""
        kind = values[0].type
        for value in values[1:]:
            joined = common_type(kind, value.type, compared=compared)
            if joined is None:
                raise _Differs(f"combines {kind} and {value.type}; cast them to the same type")
            kind = joined
        found = [cast(value.sql, value.type, kind) for value in values]
        if None in found:
            raise _Differs(f"needs a cast to {kind} that is not known to return the same values in both engines")
        return [each for each in found if each is not None], kind

    def comparison(self, node: exp.Expr) -> Value:
        sides, _ = self.alike([self.value(node.args["this"]), self.value(node.args["expression"])], compared=True)
        return Value(f"({sides[0]} {_COMPARISONS[type(node)]} {sides[1]})", "boolean")

    def between(self, node: exp.Between) -> Value:
        if node.args.get("symmetric"):
            raise _Differs("is SYMMETRIC")
        value = self.value(node.this)
        low, _ = self.alike([value, self.value(node.args["low"])], compared=True)
        high, _ = self.alike([value, self.value(node.args["high"])], compared=True)
        return Value(f"({low[0]} >= {low[1]} AND {high[0]} <= {high[1]})", "boolean")

    def is_in(self, node: exp.In) -> Value:
        value = self.value(node.this)
        if query := node.args.get("query"):
            kinds = list(self.outputs(query).values())
            if kinds != [value.type]:
                raise _Differs("compares different types; cast them to the same type")
            self.structure(query)
            return Value(f"({value.sql} IN {query.sql(dialect='duckdb', comments=False)})", "boolean")
        values, _ = self.alike([value, *map(self.value, node.expressions)])
        return Value(f"({values[0]} IN ({', '.join(values[1:])}))", "boolean")

    def is_null(self, node: exp.Is) -> Value:
        value, tested = self.value(node.this), node.expression
        if isinstance(tested, exp.Null):
            return Value(f"({value.sql} IS NULL)", "boolean")
        if isinstance(tested, exp.Boolean) and value.type == "boolean":
            return Value(f"({value.sql} IS {tested.sql()})", "boolean")
        raise _Differs("is not known to return the same values in both engines")

    def like(self, node: exp.Like) -> Value:
        pattern = node.expression
        if not isinstance(pattern, exp.Literal | exp.RawString) or "\\" in pattern.name:
            raise _Differs("has a pattern that is not text without backslashes")
        operator = "NOT LIKE" if node.args.get("negate") else "LIKE"
        return Value(f"({self.typed(node.this, 'string')} {operator} {self.value(pattern).sql})", "boolean")

    def joined_text(self, node: exp.DPipe) -> Value:
        sides = [self.typed(node.this, "string"), self.typed(node.expression, "string")]
        return Value(f"({sides[0]} || {sides[1]})", "string")

    def arithmetic(self, node: exp.Expr) -> Value:
        left, right = (self._number(node.args[name]) for name in ("this", "expression"))
        kind = common_type(left.type, right.type)
        if kind is None or kind == NULL:
            raise _Differs(f"computes with {left.type} and {right.type}")
        operator = _ARITHMETIC[type(node)]
        if kind.startswith("decimal"):
            return _decimal(left, right, operator)
        (first, second), _ = self.alike([left, right])
        if operator == "%":
            return Value(f"(CASE WHEN {second} <> 0 THEN {first} % {second} END)", kind)
        return Value(f"({first} {operator} {second})", kind)

    def _number(self, node: exp.Expr) -> Value:
        """Return an operand: texts become doubles."""
        value = self.value(node)
        if value.type == "string":
            return Value(self.typed(node, "double"), "double")
        if not is_number(value.type) and value.type != NULL:
            raise _Differs(f"computes with {value.type}")
        return value

    def division(self, node: exp.Div) -> Value:
        sides = [self._number(node.this), self._number(node.expression)]
        fraction = any(each.type in ("float", "double") for each in sides)
        if not fraction and any(each.type.startswith("decimal") for each in sides):
            raise _Differs("divides decimals; cast one of them to double")
        first, second = (cast(each.sql, each.type, "double") for each in sides)
        return Value(f"(CASE WHEN {second} <> 0 THEN {first} / {second} END)", "double")

    def whole_division(self, node: exp.IntDiv) -> Value:
        first, second = (self.typed(each, "bigint") for each in (node.this, node.expression))
        return Value(f"(CASE WHEN {second} <> 0 THEN {first} // {second} END)", "bigint")

    def bits(self, node: exp.Expr) -> Value:
        values = [self.value(node.args["this"]), self.value(node.args["expression"])]
        if not all(each.type in INTEGERS for each in values):
            raise _Differs("uses bits of a value that is not an integer")
        sides, kind = self.alike(values)
        return Value(f"({sides[0]} {_BITS[type(node)]} {sides[1]})", kind)

    def cast(self, node: exp.Cast) -> Value:
        value, target = self.value(node.this), _type_name(node.to)
        sql = cast(value.sql, value.type, target)
        if sql is None:
            raise _Differs(f"casts {value.type} to {target}")
        return Value(sql, target)

    def case(self, node: exp.Case) -> Value:
        subject = self.value(node.this) if node.this else None
        conditions = []
        for each in node.args["ifs"]:
            if subject is None:
                conditions.append(self.typed(each.this, "boolean"))
            else:
                sides, _ = self.alike([subject, self.value(each.this)], compared=True)
                conditions.append(f"{sides[0]} = {sides[1]}")
        default = node.args.get("default")
        values = [self.value(each.args["true"]) for each in node.args["ifs"]]
        values.append(self.value(default) if default else Value("NULL", NULL))
        results, kind = self.alike(values)
        whens = " ".join(f"WHEN {when} THEN {then}" for when, then in zip(conditions, results, strict=False))
        return Value(f"(CASE {whens} ELSE {results[-1]} END)", kind)

    def extract(self, node: exp.Extract) -> Value:
        name = node.name.lower()
        if name not in ("year", "quarter", "month", "week", "day", "dayofweek", "hour", "minute"):
            raise _Differs("is not known to return the same values in both engines")
        return self.function(exp.Anonymous(this={"week": "weekofyear"}.get(name, name), expressions=[node.expression]))

    def merged(self, node: exp.Coalesce) -> Value:
        """Translate columns of several tables that USING merges."""
        values, kind = self.alike([self.value(each) for each in (node.this, *node.expressions)])
        return Value(f"coalesce({', '.join(values)})", kind)

    def exists(self, node: exp.Exists) -> Value:
        self.outputs(node.this)
        self.structure(node.this)
        return Value(f"EXISTS ({node.this.sql(dialect='duckdb', comments=False)})", "boolean")

    def subquery(self, node: exp.Subquery) -> Value:
        (kind,) = self.outputs(node).values()
        self.structure(node)
        return Value(node.sql(dialect="duckdb", comments=False), kind)

    def explode(self, node: exp.Explode) -> Value:
        value = self.value(node.this)
        if not value.type.startswith("array<") or node.expressions:
            raise _Differs("reads an element of a value that is not an array")
        return Value(f"unnest({value.sql})", value.type[6:-1])

    def filtered(self, node: exp.Filter) -> Value:
        return self.function(node.this, f" FILTER (WHERE {self.typed(node.expression.this, 'boolean')})")

    def window(self, node: exp.Window) -> Value:
        inner, filtered = node.this, ""
        if isinstance(inner, exp.Filter):
            filtered = f" FILTER (WHERE {self.typed(inner.expression.this, 'boolean')})"
            inner = inner.this
        if isinstance(inner, exp.IgnoreNulls | exp.RespectNulls) or node.args.get("alias"):
            raise _Differs("is not known to return the same values in both engines")
        spec = node.args.get("spec")
        if spec is not None and any(each.find(exp.Interval) for each in spec.iter_expressions()):
            raise _Differs("has a frame of intervals")
        parts = [self.value(each).sql for each in node.args.get("partition_by") or ()]
        over = f"PARTITION BY {', '.join(parts)} " if parts else ""
        if order := node.args.get("order"):
            self.structure(order)
            over += order.sql(dialect="duckdb").strip() + " "
        if spec is not None:
            over += spec.sql(dialect="duckdb")
        return self.function(inner, f"{filtered} OVER ({over.strip()})")

    def function(self, node: exp.Expr, over: str = "") -> Value:
        name, arguments, distinct = _call(node)
        if name in UNORDERED and "OVER" not in over:
            raise _Differs("returns the value of an arbitrary row")
        if (name in WINDOW_FUNCTIONS) and "OVER" not in over:
            raise _Differs("needs OVER")
        if over and name not in WINDOW_FUNCTIONS and name not in AGGREGATES:
            raise _Differs("is neither an aggregate nor a window function")
        if name == "count" and arguments and all(isinstance(each, exp.Star) for each in arguments):
            return Value(f"count(*){over}", "bigint")
        reasons = []
        for signature in SIGNATURES:
            if signature.name == name and signature.takes(len(arguments)):
                try:
                    return self.call(signature, arguments, distinct, over)
                except _Differs as reason:
                    reasons.append(str(reason))
        raise _Differs(reasons[-1] if reasons else "is not known to return the same values in both engines")

    def call(self, signature: Signature, arguments: list[exp.Expr], distinct: bool, over: str) -> Value:
        kinds = [signature.argument(place) for place in range(len(arguments))]
        shared = {kind: [node for node, each in zip(arguments, kinds, strict=True) if each == kind] for kind in "TC"}
        common = {
            kind: self.alike([self.value(each) for each in nodes], compared=kind == "C") if nodes else ([], NULL)
            for kind, nodes in shared.items()
        }
        remaining = {kind: iter(found[0]) for kind, found in common.items()}
        written = [
            next(remaining[kind]) if kind in remaining else self.argument(node, kind)
            for node, kind in zip(arguments, kinds, strict=True)
        ]
        if distinct and written:
            written[0] = f"DISTINCT {written[0]}"
        sql = signature.sql.replace("{*}", ", ".join(written)).replace("{||}", " || ".join(written))
        for place, text in enumerate(written):
            sql = sql.replace(f"{{{place}}}", f"({text})" if not distinct else text)
        result = signature.result.replace("T", common["T"][1])
        if result.isdecimal():
            result = self.value(arguments[int(result)]).type
            if common["T"][0] and result != common["T"][1]:
                raise _Differs("has arguments of different types; cast them to the same type")
        return Value(sql.replace("{over}", over), result)

    def argument(self, node: exp.Expr, kind: str) -> str:
        """Return an argument of a function, cast to the parameter's type."""
        if kind == "constant":
            if not isinstance(node, exp.Literal) or node.is_string:
                raise _Differs("requires a literal number here")
            return node.sql(dialect="duckdb")
        if kind in patterns.KINDS:
            text = node.name if isinstance(node, exp.Literal | exp.RawString) else None
            found = None if text is None else patterns.KINDS[kind](text)
            if found is None:
                raise _Differs(
                    f"has a {kind.replace('_', ' ')} that is not known to return the same values in both engines"
                )
            return exp.Literal.string(found).sql(dialect="duckdb")
        return self.typed(node, kind)


def _is_value_of(node: exp.Subquery) -> bool:
    """Whether a query in parentheses is used as a value."""
    return not isinstance(node.parent, exp.From | exp.Join | exp.SetOperation | exp.Subquery | exp.Lateral | exp.With)


def _call(node: exp.Expr) -> tuple[str, list[exp.Expr], bool]:
    """Return the name and the arguments of a call, and whether they are DISTINCT."""
    if not isinstance(node, exp.Anonymous | exp.AnonymousAggFunc):
        raise _Differs("is not known to return the same values in both engines")
    arguments = list(node.expressions)
    if len(arguments) == 1 and isinstance(arguments[0], exp.Distinct):
        return node.name.lower(), list(arguments[0].expressions), True
    return node.name.lower(), arguments, False


def _decimal(left: Value, right: Value, operator: str) -> Value:
    one, two = as_decimal(left.type), as_decimal(right.type)
    if one is None or two is None or operator == "%":
        raise _Differs(f"computes with {left.type} and {right.type}")
    scale = one[1] + two[1] if operator == "*" else max(one[1], two[1])
    digits = one[0] + two[0] + 1 if operator == "*" else max(one[0] - one[1], two[0] - two[1]) + scale + 1
    kind = decimal_type(digits, scale)
    if kind is None:
        raise _Differs("has too many digits")
    first, second = (f"CAST({each.sql} AS DECIMAL({p}, {s}))" for each, (p, s) in ((left, one), (right, two)))
    return Value(f"CAST({first} {operator} {second} AS {kind})", kind)


def _type_name(node: exp.DataType) -> str:
    name = node.sql(dialect="spark").lower().replace(" ", "")
    return {"long": "bigint", "integer": "int", "short": "smallint", "byte": "tinyint", "decimal": "decimal(10,0)"}.get(
        name, name
    )


Handler = Callable[[_Translation, Any], Value]

_HANDLERS: Final[Mapping[type[exp.Expr], Handler]] = {
    exp.Column: _Translation.column,
    exp.Literal: _Translation.literal,
    exp.RawString: _Translation.raw_string,
    exp.Boolean: _Translation.constant,
    exp.Null: _Translation.constant,
    exp.Paren: _Translation.paren,
    exp.Neg: _Translation.negative,
    exp.Not: _Translation.logic,
    exp.And: _Translation.logic,
    exp.Or: _Translation.logic,
    **dict.fromkeys(_COMPARISONS, _Translation.comparison),
    **dict.fromkeys(_ARITHMETIC, _Translation.arithmetic),
    **dict.fromkeys(_BITS, _Translation.bits),
    exp.Between: _Translation.between,
    exp.In: _Translation.is_in,
    exp.Is: _Translation.is_null,
    exp.Like: _Translation.like,
    exp.DPipe: _Translation.joined_text,
    exp.Div: _Translation.division,
    exp.IntDiv: _Translation.whole_division,
    exp.Cast: _Translation.cast,
    exp.Case: _Translation.case,
    exp.Extract: _Translation.extract,
    exp.Coalesce: _Translation.merged,
    exp.Exists: _Translation.exists,
    exp.Subquery: _Translation.subquery,
    exp.Explode: _Translation.explode,
    exp.Filter: _Translation.filtered,
    exp.Window: _Translation.window,
    exp.Anonymous: _Translation.function,
    exp.AnonymousAggFunc: _Translation.function,
}
