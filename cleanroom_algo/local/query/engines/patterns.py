"""Converts format texts in a query from Spark's form to DuckDB's: patterns of times, units, regular expressions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

_TIME_LETTERS: Final = {
    "yyyy": "%Y", "yy": "%y", "MM": "%m", "M": "%-m", "MMM": "%b", "MMMM": "%B", "dd": "%d", "d": "%-d", "HH": "%H",
    "H": "%-H", "hh": "%I", "mm": "%M", "m": "%-M", "ss": "%S", "s": "%-S", "SSS": "%g", "SSSSSS": "%f", "a": "%p",
    "E": "%a", "EEEE": "%A",
}  # fmt: skip
_UNITS: Final = {
    "year": "year", "yyyy": "year", "yy": "year", "quarter": "quarter", "month": "month", "mon": "month",
    "mm": "month", "week": "week",
}  # fmt: skip
_TIME_UNITS: Final = {**_UNITS, "day": "day", "dd": "day", "hour": "hour", "minute": "minute", "second": "second"}


def time_pattern(text: str) -> str | None:
    """Return a pattern of `date_format` for `strftime`; None if it contains parts that may differ."""
    found = []
    for run in re.findall(r"([A-Za-z])(\1*)|([^A-Za-z]+)", text):
        letters = run[0] + run[1]
        if run[2]:
            if re.search(r"['\[\]{}#%]", run[2]):
                return None
            found.append(run[2])
        elif letters in _TIME_LETTERS:
            found.append(_TIME_LETTERS[letters])
        else:
            return None
    return "".join(found)


def regular_expression(text: str) -> str | None:
    """Return a regular expression of Java if RE2 interprets it in the same way; else None."""
    if re.fullmatch(r"(\\[.\-+*?()\[\]{}|/]|\\[dw]|[A-Za-z0-9 _,;:@/=%#&<>~-]|[+*])*", text) and not re.search(
        r"^[+*]|[+*]{2}", text
    ):
        return text
    return None


KINDS: Final[Mapping[str, Callable[[str], str | None]]] = {
    "time_pattern": time_pattern,
    "pattern": regular_expression,
    "unit": lambda text: _TIME_UNITS.get(text.lower()),
    "day_unit": lambda text: _UNITS.get(text.lower()),
}
"""How each kind of such a text is converted; None means that it may differ."""
