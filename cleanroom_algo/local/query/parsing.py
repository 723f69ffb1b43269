"""Parses the text of a member's query as Spark SQL, and only allows what the checks know.

Syntax and functions are lists of what is allowed. Everything else is refused before names are checked: so a star inside
a function, a table function, a pivot or a sample cannot be misinterpreted later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final

import sqlglot
from sqlglot import TokenType, exp
from sqlglot.dialects.spark import Spark
from sqlglot.errors import ParseError, SqlglotError
from sqlglot.parsers.spark import SparkParser

from cleanroom_algo.contract.suggestions import did_you_mean
from cleanroom_algo.errors import Problem, QueryError
from cleanroom_algo.local.query.functions import AGGREGATES, FUNCTIONS

MAX_NODES: Final = 100_000  # far more than a person writes; nested aliases could grow exponentially

_SYNTAX: Final = frozenset({
    # queries
    exp.Select, exp.Subquery, exp.CTE, exp.From, exp.Where,
    exp.Group, exp.Having, exp.Order, exp.Ordered, exp.Limit, exp.Offset, exp.Distinct, exp.Values, exp.Tuple,
    exp.Lateral, exp.TableAlias, exp.Window, exp.WindowSpec,
    # names and values
    exp.Identifier, exp.Column, exp.Alias, exp.Literal, exp.RawString, exp.Boolean, exp.Null, exp.Var,
    exp.Interval, exp.IntervalSpan, exp.DataType, exp.DataTypeParam, exp.ColumnDef,
    # operators
    exp.Paren, exp.Neg, exp.Not, exp.And, exp.Or, exp.Xor, exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod,
    exp.DPipe, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.Is, exp.In, exp.Between,
    exp.Like, exp.ILike, exp.Escape, exp.BitwiseAnd, exp.BitwiseOr, exp.BitwiseXor, exp.BitwiseNot,
    exp.BitwiseLeftShift, exp.BitwiseRightShift, exp.Bracket, exp.Slice, exp.PropertyEQ,
    # what surrounds functions
    exp.Filter, exp.IgnoreNulls, exp.RespectNulls, exp.Exists, exp.Explode,
})  # fmt: skip

_OF_TABLES: Final = frozenset({"this", "alias", "joins", "laterals"})
_OF_NAMES: Final = (exp.Table, exp.Column, exp.TableAlias, exp.Dot, exp.Extract, exp.Ordered, exp.Group)
_NO_VALUES: Final[Mapping[str, exp.Expr]] = MappingProxyType({})


def _builder(name: str) -> Callable[[list[exp.Expr]], exp.Expr]:
    """Return a function that keeps a call as written; engines define its meaning."""
    if name == "explode":
        return exp.Explode.from_arg_list
    node = exp.AnonymousAggFunc if name in AGGREGATES else exp.Anonymous
    return lambda arguments: node(this=name, expressions=arguments)


class MemberSql(Spark):
    """Spark SQL in which functions are only names, because sqlglot would change the meaning of some of them."""

    class Parser(SparkParser):
        """Parses functions as plain calls, except for those with special syntax."""

        ARRAY_CONSTRUCTORS: ClassVar[dict[str, Any]] = {}  # array(a)[0] is a call and an index into its result
        STRICT_CAST = True  # else CAST and TRY_CAST cannot be distinguished
        FUNCTIONS: ClassVar[dict[str, Any]] = {name.upper(): _builder(name) for name in FUNCTIONS}
        FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {
            name: SparkParser.FUNCTION_PARSERS[name] for name in ("CAST", "EXTRACT", "TRY_CAST")
        }
        NO_PAREN_FUNCTIONS: ClassVar[dict[TokenType, Any]] = {}
        NO_PAREN_FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {
            name: parse for name, parse in SparkParser.NO_PAREN_FUNCTION_PARSERS.items() if name == "CASE"
        }


def parse(query: str, values: Mapping[str, exp.Expr] = _NO_VALUES) -> exp.Query:
    """Return the only SELECT statement of a query's text, without hints, which do not affect the result.

    Args:
        query: its text.
        values: of its parameters, by name; in the tree, they replace `:name`.

    Raises:
        QueryError: CR-JOB-401, it is not a query, has syntax or functions that are not allowed, or unknown parameters.
    """
    try:
        statements = [each for each in sqlglot.parse(query, read=MemberSql) if each is not None]
    except ParseError as error:
        place = error.errors[0] if error.errors else {}
        path = f"queryString:{place.get('line', 1)}:{place.get('col', 1)}"
        problem = Problem(path, str(place.get("description", "invalid SQL")))
        raise refused("the query cannot be parsed", [problem]) from None
    except (SqlglotError, RecursionError):
        raise refused(
            "the query cannot be parsed", [Problem("queryString", "invalid SQL, or nested too deeply")]
        ) from None
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise refused("the query is not one SELECT statement", [])
    statement = statements[0]
    for select in statement.find_all(exp.Select):
        select.set("hint", None)
    if problems := list(dict.fromkeys(_unbound(statement, values))) or list(dict.fromkeys(_unlisted(statement))):
        raise refused("the query has parts that are not allowed", problems)
    return statement


def refused(what: str, problems: list[Problem]) -> QueryError:
    """Return the error for a query that is refused."""
    return QueryError(
        what,
        expected="one SELECT in Spark SQL over the tables of the collaboration and their allowed columns",
        fix="correct the query; `cleanroom-algo show` lists the tables of the room",
        problems=problems,
    )


def _unbound(statement: exp.Query, values: Mapping[str, exp.Expr]) -> Iterator[Problem]:
    """Replace parameters by their values, and yield those that have no value or cannot have one."""
    found = list(statement.find_all(exp.Placeholder, exp.Parameter))
    for each in found:
        if each.name not in values:
            yield Problem(each.sql(dialect="spark"), "is a parameter that no analysis template declares")
        elif isinstance(each.parent, _OF_NAMES) or each.arg_key == "alias":
            yield Problem(
                each.sql(dialect="spark"), "is a parameter; it can replace a value, but not a name or a position"
            )
        else:
            each.replace(values[each.name].copy())
    for name in values.keys() - {each.name for each in found}:
        yield Problem(f":{name}", "is a parameter that does not occur in the text")


def _unlisted(statement: exp.Query) -> Iterator[Problem]:
    for number, node in enumerate(statement.walk()):
        if number >= MAX_NODES:
            yield Problem("queryString", f"has more than {MAX_NODES} parts")
            return
        if problem := _fault(node):
            yield problem


def _fault(node: exp.Expr) -> Problem | None:
    check = _CHECKS.get(type(node))
    if check is not None:
        return check(node)
    if type(node) in _SYNTAX or (isinstance(node, exp.Func) and not isinstance(node, exp.UDTF)):
        return None
    return Problem(type(node).__name__.upper(), "is syntax that queries cannot use")


def _function(node: exp.Expr) -> Problem | None:
    if node.name.lower() in FUNCTIONS and isinstance(node.this, str):
        return None
    reason = "is not a function that queries can call: it is unknown to Spark, unsafe, or returns other values"
    return Problem(f"{node.name}()", reason + did_you_mean(node.name.lower(), FUNCTIONS))


def _star(node: exp.Expr) -> Problem | None:
    if not any(node.args.values()) and _is_alone(node):
        return None
    return Problem("*", "is allowed only alone in a SELECT list, after a table name, or in count(*)")


def _table(node: exp.Expr) -> Problem | None:
    if node.alias_column_names:
        return Problem(node.alias_or_name, "has an alias with column names; use the column names of the table")
    if isinstance(node.this, exp.Identifier) and not any(node.args[name] for name in node.args.keys() - _OF_TABLES):
        return None
    return Problem(node.sql(dialect="spark"), "is not a table of the collaboration")


def _field(node: exp.Expr) -> Problem | None:
    if isinstance(node.expression, exp.Identifier):
        return None
    return Problem(node.sql(dialect="spark"), "is not a column or field; a function name cannot have a prefix")


def _join(node: exp.Expr) -> Problem | None:
    method = node.args.get("method")
    return Problem(f"{method} JOIN", "is not supported; name the equal columns with ON or USING") if method else None


def _set_operation(node: exp.Expr) -> Problem | None:
    if any(node.args.get(name) for name in ("by_name", "side", "kind", "on")):
        return Problem(type(node).__name__.upper(), "is supported by position only, without options such as BY NAME")
    return None


def _with(node: exp.Expr) -> Problem | None:
    return Problem("RECURSIVE", "is not supported") if node.args.get("recursive") else None


_CHECKS: Final[Mapping[type[exp.Expr], Callable[[exp.Expr], Problem | None]]] = {
    exp.Anonymous: _function,
    exp.AnonymousAggFunc: _function,
    exp.Star: _star,
    exp.Table: _table,
    exp.Dot: _field,
    exp.Join: _join,
    exp.Union: _set_operation,
    exp.Except: _set_operation,
    exp.Intersect: _set_operation,
    exp.With: _with,
}


def _is_alone(star: exp.Expr) -> bool:
    if isinstance(star.parent, exp.Column):  # after the name of a table
        star = star.parent
    listed = isinstance(star.parent, exp.Select) and star.arg_key == "expressions"
    return listed or (isinstance(star, exp.Star) and is_count(star.parent))


def is_count(node: exp.Expr | None) -> bool:
    """Whether an expression is COUNT with one argument, which may be a star."""
    return isinstance(node, exp.AnonymousAggFunc) and node.name == "count" and len(node.expressions) == 1


def spark_name(node: exp.Expr) -> str:
    """Return Spark's name for a column of a result without an alias."""
    if isinstance(node, exp.Column | exp.Literal | exp.RawString):
        return node.name
    if isinstance(node, exp.Star):
        return "1"
    if isinstance(node, exp.Paren):
        return spark_name(node.this)
    if isinstance(node, exp.Anonymous | exp.AnonymousAggFunc):
        return f"{node.name}({', '.join(map(spark_name, node.expressions))})"
    if isinstance(node, exp.Binary) and isinstance(node, exp.Condition):
        operator = node.copy()
        operator.set("this", exp.Placeholder())
        operator.set("expression", exp.Placeholder())
        return f"({spark_name(node.this)}{operator.sql(dialect='spark')[1:-1]}{spark_name(node.expression)})"
    return node.sql(dialect="spark", normalize_functions="lower", comments=False)
