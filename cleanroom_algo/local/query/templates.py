"""Analysis templates: SQL text with typed parameters; their values become literals in the parsed query, never text.

(Botocore's model of cleanrooms, ParameterType; Clean Rooms SQL reference, "Data types" and "Data type support by SQL
engine": what the types are in Spark.)
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlglot import exp

from cleanroom_algo.contract.suggestions import did_you_mean
from cleanroom_algo.errors import Problem

_BITS: Final = {"TINYINT": 8, "SMALLINT": 16, "INT": 32, "BIGINT": 64}
_MAX_DIGITS: Final = 38


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a template and its value.

    Attributes:
        name: without the colon.
        type: as the template declares it, such as DOUBLE_PRECISION.
        value: as given in the request.
    """

    name: str
    type: str
    value: str

    def literal(self) -> exp.Expr:
        """Return the value as a literal of its type.

        Raises:
            ValueError: it does not have this type; the message does not quote it.
        """
        return _LITERALS[self.type](self.value)


def parameters_of(template: Mapping[str, Any], given: Mapping[str, str]) -> tuple[Parameter, ...]:
    """Return the parameters of a template with the given values, or with those in its declaration.

    Args:
        template: the document of its record.
        given: values by name.
    """
    declared = {each["name"]: each for each in template.get("analysisParameters", ())}
    values = {name: given.get(name, each.get("defaultValue")) for name, each in declared.items()}
    return tuple(Parameter(name, declared[name]["type"], value) for name, value in values.items() if value is not None)


def faults_of_values(template: Mapping[str, Any], given: Mapping[str, str], path: str) -> Iterator[Problem]:
    """Yield the faults of the values for a template: not declared, missing, or of another type."""
    declared = [each["name"] for each in template.get("analysisParameters", ())]
    for name in given.keys() - declared:
        yield Problem(f"{path}.{name}", "is not a parameter of the analysis template" + did_you_mean(name, declared))
    parameters = parameters_of(template, given)
    for name in sorted(set(declared) - {each.name for each in parameters}):
        yield Problem(f"{path}.{name}", "is missing: this parameter of the analysis template has no default value")
    for parameter in parameters:
        try:
            parameter.literal()
        except ValueError as error:
            yield Problem(f"{path}.{parameter.name}", str(error))


def placeholders(names: Iterable[str]) -> dict[str, exp.Expr]:
    """Return what replaces parameters while their values are not known."""
    return {name: exp.Null() for name in names}


def is_emulated(parameter_type: str) -> bool:
    """Whether queries here can have parameters of a type."""
    return parameter_type in _LITERALS


def _text(value: str) -> exp.Expr:
    return exp.Literal.string(value)


def _boolean(value: str) -> exp.Expr:
    if value.lower() not in ("true", "false"):
        raise ValueError("is neither true nor false")
    return exp.Boolean(this=value.lower() == "true")


def _integer(kind: str) -> Callable[[str], exp.Expr]:
    def literal(value: str) -> exp.Expr:
        limit = 2 ** (_BITS[kind] - 1)
        if not re.fullmatch(r"[+-]?[0-9]{1,19}", value) or not -limit <= int(value) < limit:
            raise ValueError(f"is not a whole number from {-limit} to {limit - 1}")
        if kind == "INT" and int(value) >= 0:
            return exp.Literal.number(int(value))  # LIMIT and some functions require a plain number
        widest = exp.cast(exp.Literal.string(str(int(value))), "BIGINT")
        return widest if kind == "BIGINT" else exp.cast(widest, kind)

    return literal


def _decimal(value: str) -> exp.Expr:
    found = re.fullmatch(r"[+-]?([0-9]+)(?:\.([0-9]+))?", value)
    if found is None:
        raise ValueError("is not a decimal number")
    whole, fraction = found[1].lstrip("0"), found[2] or ""
    digits = max(len(whole) + len(fraction), 1)
    if digits > _MAX_DIGITS:
        raise ValueError(f"has more than {_MAX_DIGITS} digits")
    return exp.cast(exp.Literal.string(value), f"DECIMAL({digits}, {len(fraction)})")


def _double(value: str) -> exp.Expr:
    if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", value) or math.isinf(float(value)):
        raise ValueError("is not a finite number")
    number = repr(abs(float(value)))
    literal = exp.Literal.number(number if "e" in number else f"{number}E0")  # the exponent makes it a double
    return exp.paren(exp.Neg(this=literal)) if float(value) < 0 else literal


def _float(value: str) -> exp.Expr:
    return exp.cast(_double(value), "FLOAT")


def _date(value: str) -> exp.Expr:
    try:
        if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
            raise ValueError
        day = dt.date.fromisoformat(value)
    except ValueError:
        raise ValueError("is not a date in the form 2013-01-31") from None
    return exp.cast(exp.Literal.string(day.isoformat()), "DATE")


def _timestamp(kind: str) -> Callable[[str], exp.Expr]:
    def literal(value: str) -> exp.Expr:
        try:
            moment = dt.datetime.fromisoformat(value)
            if moment.tzinfo is not None and kind == "TIMESTAMP_NTZ":
                raise ValueError
        except ValueError:
            with_zone = ", without an offset" if kind == "TIMESTAMP_NTZ" else ""
            raise ValueError(f"is not a time in the form 2013-01-31 23:59:59.999999{with_zone}") from None
        moment = moment.astimezone(dt.UTC).replace(tzinfo=None) if moment.tzinfo else moment  # sessions use UTC
        text = exp.Literal.string(moment.isoformat(sep=" "))
        return exp.Cast(this=text, to=exp.DataType.build(kind, dialect="spark"))

    return literal


_LITERALS: Final[Mapping[str, Callable[[str], exp.Expr]]] = {
    **dict.fromkeys(("CHAR", "CHARACTER", "VARCHAR", "STRING"), _text),
    "BOOLEAN": _boolean,
    **dict.fromkeys(("TINYINT", "BYTE"), _integer("TINYINT")),
    **dict.fromkeys(("SMALLINT", "SHORT"), _integer("SMALLINT")),
    **dict.fromkeys(("INTEGER", "INT"), _integer("INT")),
    **dict.fromkeys(("BIGINT", "LONG"), _integer("BIGINT")),
    **dict.fromkeys(("DECIMAL", "NUMERIC"), _decimal),
    **dict.fromkeys(("DOUBLE", "DOUBLE_PRECISION"), _double),
    **dict.fromkeys(("REAL", "FLOAT"), _float),
    "DATE": _date,
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMP_LTZ"), _timestamp("TIMESTAMP")),
    "TIMESTAMP_NTZ": _timestamp("TIMESTAMP_NTZ"),
}
"""Spark has no type TIME, and binary values cannot be compared: these types of the model are not emulated."""
