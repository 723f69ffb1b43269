"""What a text that does not fit its column probably is, without the text, and what to declare for it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cleanroom_algo.channels.schema import Column

DELIMITER: Final = "another delimiter"
UNDECLARED: Final = "is not declared"
IGNORE_EXTRA: Final = 'declare these columns, leave them out of the query, or declare extra_columns="ignore"'


@dataclass(frozen=True, slots=True)
class _Hint:
    """A kind of text.

    Attributes:
        kinds: of columns that such a text does not fit.
        text: the pattern of the whole text.
        what: what the text is.
        fix: what to do.
    """

    kinds: str
    text: re.Pattern[str]
    what: str
    fix: str


def _hint(kinds: str, text: str, what: str, fix: str) -> _Hint:
    return _Hint(kinds, re.compile(rf"\s*(?:{text})\s*", re.IGNORECASE | re.DOTALL), what, fix)


_HINTS: Final = (
    _hint(
        "integer float bool date timestamp list",
        r"n/?a|nan|<na>|nat|null|none|nil|missing|unknown|#n/a|\\n|\?+|-+|\.+",
        "a word for a missing value",
        'declare the words that stand for null, csv=Csv(null_values=["NA"]), and a type that ends in "?"',
    ),
    _hint(
        "integer float",
        r"[+-]?[0-9. ']*,[0-9]+",
        "a decimal comma",
        'declare csv=Csv(delimiter=";", decimal=",")',
    ),
    _hint("float", r"[+-]?[0-9 ']*\.[0-9]+", "a decimal point", 'leave decimal="," out of csv=Csv(...)'),
    _hint(
        "integer", r"[+-]?[0-9]*\.[0-9]*(?:e[+-]?[0-9]+)?", "a number with a fraction", 'declare "float32" or "float64"'
    ),
    _hint("integer float", "true|false|yes|no", "a Boolean", 'declare "bool"'),
    _hint(
        "date timestamp",
        r"[0-9]{1,2}[./-][0-9]{1,2}[./-][0-9]{2,4}.*|[0-9]{4}[./][0-9]{1,2}[./][0-9]{1,2}.*",
        "a date in another form than 2013-01-31",
        "have the query write ISO 8601 dates, or declare the column as a string",
    ),
    _hint("date", r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ].*", "a date with a time", 'declare "timestamp"'),
    _hint(
        "date timestamp", r"[0-9]+(?:\.[0-9]*)?", "a number", 'declare "int64" for numbers such as seconds since 1970'
    ),
    _hint(
        "integer float bool date timestamp",
        r"(?![0-9]{4}-[0-9]).*[^\W\d_].*",
        "text",
        'declare "string" for categories and labels, "text" for free text',
    ),
)


def likely(text: str, column: Column) -> str:
    """Return what a text that does not fit the column probably is, after a colon, or "" where nothing is known."""
    kind = _kind(column)
    found = next((hint for hint in _HINTS if kind in hint.kinds.split() and hint.text.fullmatch(text)), None)
    return f": {found.what}" if found else ""


def fixes(faults: Iterable[str]) -> list[str]:
    """Return what to do about faults that end in what `likely` returned, each once."""
    ends = {fault.rpartition(": ")[2] for fault in faults}
    found = [hint.fix for hint in _HINTS if hint.what in ends]
    return [*found, 'declare the delimiter, such as csv=Csv(delimiter=";")'] if DELIMITER in ends else found


def _kind(column: Column) -> str:
    if column.is_integer:
        return "integer"
    if column.is_float:
        return "float"
    return "list" if column.is_list else column.dtype.removesuffix("32")
