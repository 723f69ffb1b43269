"""Finds the type of texts."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from cleanroom_algo.channels.hints import likely_number
from cleanroom_algo.channels.schema import Column
from cleanroom_algo.channels.values import BOOLEANS, FLOAT32_BOUND, convert

_NULL_WORDS: Final = frozenset(
    {"NA", "N/A", "n/a", "na", "NaN", "nan", "<NA>", "NaT", "NULL", "Null", "null", "None", "none", "nil"}
    | {"missing", "Missing", "unknown", "#N/A", "\\N", "?", "-", "--", "."}
)
_INTEGER: Final = r"^[+-]?[0-9]+$"
_CODE: Final = r"^0[0-9]+$"
_NUMBER: Final = r"^\s*[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|(?i:inf(?:inity)?))$"
_COMMA: Final = r"^[+-]?[0-9]*,[0-9]+$|^[+-]?[0-9]+$"
_THREE: Final = r"^[+-]?[0-9]{1,3}(?:,[0-9]{3})?$"
_THREE_DIGITS: Final = (
    "has commas before three digits, which are read as decimal commas; if they separate thousands, write the numbers "
    "without them"
)
_DATE: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_TIMESTAMP: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]+(?:Z|[+-][0-9:]+)?$"
_LIST: Final = r"^\s*\[[^\[\]{}\"]*\]\s*$"
_OTHER_DATE: Final = r"^[0-9]{1,4}[./-][0-9]{1,2}[./-][0-9]{1,4}(?:[T ].*)?$"

_LOOKED_AT: Final = 100  # texts of a column that show how it is written


@dataclass(frozen=True, slots=True)
class Reading:
    """How a column of texts is read.

    Attributes:
        dtype: its type.
        null_words: texts that mean null.
        decimal_comma: whether its floats have a decimal comma.
        note: what a person should know.
    """

    dtype: str
    null_words: frozenset[str] = frozenset()
    decimal_comma: bool = False
    note: str = ""


def reading_of(texts: pl.Series) -> Reading:
    """Return how a column of strings is read; nulls do not count."""
    values = texts.drop_nulls().unique()
    words = frozenset(values.filter(values.is_in(list(_NULL_WORDS))).to_list())
    rest = values.filter(~values.is_in(list(words)))
    if not len(rest):
        return Reading("string", note="has no values")
    found = _reading(rest)
    return found if found.dtype == "string" else replace(found, null_words=words)


def _reading(values: pl.Series) -> Reading:
    def all_match(pattern: str) -> bool:
        return bool(values.str.contains(pattern).all())

    if len(values) <= len(BOOLEANS) and {BOOLEANS.get(text.lower()) for text in values} == {True, False}:
        return Reading("bool")
    if all_match(_INTEGER):
        if values.str.contains(_CODE).any():
            return Reading("category", note="has numbers that begin with 0")
        return Reading("int64" if _fits(values, "int64") else "category")
    for pattern, dtype in ((_NUMBER, "float32"), (_NUMBER, "float64"), (_DATE, "date32"), (_TIMESTAMP, "timestamp")):
        if all_match(pattern) and _fits(values, dtype):
            return Reading(dtype)
    if all_match(_COMMA):
        return Reading("float32", decimal_comma=True, note=_THREE_DIGITS if all_match(_THREE) else "")
    if all_match(_LIST):
        return Reading("list[int64]" if _fits(values, "list[int64]") else "list[float32]")
    return Reading("string", note=_note(values))


def _note(values: pl.Series) -> str:
    """Return what a person should know about texts that may have another meaning."""
    if values.str.contains(_OTHER_DATE).all():
        return "has dates that are not in the form 2013-01-31, and are read as strings"
    plain = values.str.contains(_NUMBER) | values.str.contains(_COMMA)
    written = {likely_number(text) for text in values.filter(~plain).head(_LOOKED_AT)}
    if len(written) == 1 and (found := written.pop()) is not None:
        return f"has {found[0]} and is read as strings; {found[1]}"
    others = values.filter(~values.str.contains(_NUMBER))
    if 0 < 2 * len(others) < len(values):
        words = json.dumps(others.sort().head(3).to_list(), ensure_ascii=False)
        return f"has numbers and other strings; if these mean a missing value, declare csv=Csv(null_values={words})"
    return ""


def _fits(values: pl.Series, dtype: str) -> bool:
    column = Column("any", dtype)
    try:
        if not column.is_float:
            return len(convert(values, column) if not column.is_integer else values.cast(pl.Int64)) > 0
        numbers = values.str.strip_chars().cast(pl.Float64)
        largest = numbers.filter(numbers.is_finite()).abs().max()
    except (pl.exceptions.PolarsError, ValueError):
        return False
    return isinstance(largest, float) and largest < (FLOAT32_BOUND if dtype == "float32" else math.inf)
