"""What a text that does not fit its column probably is, without quoting it, and what to declare for it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cleanroom_algo.channels.schema import Column

DELIMITER: Final = "another delimiter"
UNDECLARED: Final = "is not declared"
IGNORE_EXTRA: Final = 'declare extra_columns="ignore"; or declare these columns, or leave them out of the file or query'
ONE_NAME: Final = "give each column a unique name, in the file or with AS in the query"
UNKNOWN_CATEGORIES: Final = "unknown categories: the first rows of a request have no value that the model knows in "
"""The start of a warning of the server, by which the local clean room finds it in the log."""
SEPARATORS: Final = "thousands separators"
_WRITTEN_NUMBERS: Final = {SEPARATORS, "a comma before three digits", "a percentage", "an amount of money"}
DELIMITERS: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass(frozen=True, slots=True)
class _Hint:
    """A kind of text.

    Attributes:
        kinds: types of columns that such a text does not fit.
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
        r"[+-]?[0-9]{1,3}(?:[,' ][0-9]{3})+\.[0-9]*|[+-]?[0-9]{1,3}(?:[,'. ][0-9]{3}){2,}"
        r"|[+-]?[0-9]{1,3}(?:[.' ][0-9]{3})+,[0-9]*",
        SEPARATORS,
        "write numbers without separators: 1234.5 (pandas reads them with the option `thousands` of read_csv)",
    ),
    _hint(
        "integer float",
        r"[+-]?[0-9]{1,3},[0-9]{3}",
        "a comma before three digits",
        'write thousands without it: 1234; if it is a decimal comma, declare csv=Csv(delimiter=";", decimal=",")',
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
    _hint("integer float", r"[+-]?[0-9.,' ]+%", "a percentage", "write the number alone: 12.5"),
    _hint(
        "integer float",
        r"[+-]?(?:[$\u20ac\u00a3\u00a5]|[A-Z]{3}) ?[+-]?[0-9.,' ]+|[+-]?[0-9.,' ]+(?:[$\u20ac\u00a3\u00a5]|[A-Z]{3})",
        "an amount of money",
        "write the number alone: 12.5",
    ),
    _hint(
        "bool",
        r"[+-]?[0-9]+(?:\.[0-9]*)?",
        "a number other than 0 and 1",
        'declare a feature as "int64" or "float32"; write two labels as 0 and 1, or declare the target as "category"',
    ),
    _hint(
        "date timestamp",
        r"[0-9]{1,2}[./-][0-9]{1,2}[./-][0-9]{2,4}.*|[0-9]{4}[./][0-9]{1,2}[./][0-9]{1,2}.*",
        "a date in another form than 2013-01-31",
        'write ISO 8601 dates in the file or query, or declare "string"',
    ),
    _hint("date", r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ].*", "a date with a time", 'declare "timestamp"'),
    _hint(
        "date timestamp", r"[0-9]+(?:\.[0-9]*)?", "a number", 'declare "int64" for numbers such as seconds since 1970'
    ),
    _hint(
        "integer float bool date timestamp",
        r"(?![0-9]{4}-[0-9]).*[^\W\d_].*",
        "text",
        'declare "string" for categories and labels, "text" for free text; for words that mean a missing value, '
        "csv=Csv(null_values=[...])",
    ),
)


def likely(text: str, column: Column) -> str:
    """Return what a text that does not fit the column probably is, after a colon, or "" if it is not known."""
    kind = _kind(column)
    found = next((hint for hint in _HINTS if kind in hint.kinds.split() and hint.text.fullmatch(text)), None)
    return f": {found.what}" if found else ""


_WIDTH_FIX: Final = (
    "correct these lines (a field with a delimiter in it must be in quotes), or move a file that is not data"
)
_WIDTH: Final = " field(s) instead of "
_OTHER_COLUMNS: Final = "declare the columns of the data: `cleanroom-algo schema FOLDER` prints the declaration"
# Fixes for faults that do not depend on the kind of text, by a part of the fault's message.
_FIXES: Final = (
    ("not nullable", 'leave these rows out, or declare a type that ends in "?"; a target cannot be empty'),
    ("not valid UTF-8", 'save the file in UTF-8: in pandas, read it with encoding="latin-1" and write it again'),
    ("it is a header", "remove the header from all places but the first line, and name the columns as in the schema"),
    ("the line is blank", "remove blank lines"),
    ("NaN or infinite", 'declare "float32? nan=null" if it means missing, or "float32 nan=keep" if the model takes it'),
    (
        _WIDTH,
        _WIDTH_FIX,
    ),
)


def likely_number(text: str) -> tuple[str, str] | None:
    """Return the kind of a text that people write as a number and that cannot be read as one, and what to do."""
    found = next((hint for hint in _HINTS if "float" in hint.kinds and hint.text.fullmatch(text)), None)
    return (found.what, found.fix) if found is not None and found.what in _WRITTEN_NUMBERS else None


def fixes(faults: Sequence[str], everywhere: Sequence[str] = ()) -> list[str]:
    """Return the fixes for faults of rows, each once.

    Args:
        faults: all of them.
        everywhere: the faults that all rows have.
    """
    if other := next((char for fault in faults for char, name in DELIMITERS.items() if f" its {name} " in fault), None):
        decimal = ', and with it decimal="," for decimal commas' if other == ";" else ""
        return [f"declare the delimiter, csv=Csv(delimiter={other!r})".replace("'", '"') + decimal]
    if any(_WIDTH in fault for fault in everywhere):
        return [_OTHER_COLUMNS]
    ends = {fault.rpartition(": ")[2] for fault in faults}
    found = [hint.fix for hint in _HINTS if hint.what in ends]
    return [*found, *(fix for part, fix in _FIXES if any(part in fault for fault in faults))]


def _kind(column: Column) -> str:
    if column.is_integer:
        return "integer"
    if column.is_float:
        return "float"
    return "list" if column.is_list else column.dtype.removesuffix("32")


def unknown_categories(columns: Sequence[str]) -> str:
    """Return the warning about columns of a request whose first values are all unknown."""
    return (
        f"{UNKNOWN_CATEGORIES}{', '.join(columns)}; write the values as in the training data, where 1094 may have been "
        "1094.0"
    )
