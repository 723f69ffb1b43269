"""Splits JSON into the texts of its values.

A long list is never kept as objects, which need ten times its size, and a number keeps its digits. Each byte is read as
a character: all bytes with a meaning in JSON are ASCII, and a longer UTF-8 sequence contains no such byte.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from typing import Final

_VALUES: Final = json.JSONDecoder()
_SPACE: Final = re.compile(r"[ \t\r\n]*")


def elements(text: str, position: int) -> Generator[str, None, int]:
    """Yield the text of each element of a list.

    Args:
        text: contains the list.
        position: after its opening bracket.

    Returns:
        The position after its closing bracket.

    Raises:
        ValueError: it is not JSON.
        RecursionError: it is nested too deeply.
    """
    position = skip_space(text, position)
    while not text.startswith("]", position):
        _, end = _VALUES.raw_decode(text, position)
        yield text[position:end]
        position = _next(text, end, "]")
    return position + 1


def members(text: str, position: int) -> dict[str, str]:
    """Return the text of each member of an object by its name.

    Args:
        text: contains the object.
        position: after its opening brace.

    Raises:
        ValueError: it is not JSON.
        RecursionError: it is nested too deeply.
    """
    found = {}
    position = skip_space(text, position)
    while not text.startswith("}", position):
        name, end = _VALUES.raw_decode(text, position)
        begin = skip_space(text, end)
        if not isinstance(name, str) or not text.startswith(":", begin):
            raise ValueError("no member of an object")
        begin = skip_space(text, begin + 1)
        _, end = _VALUES.raw_decode(text, begin)
        found[name] = text[begin:end]
        position = _next(text, end, "}")
    return found


def skip_space(text: str, position: int) -> int:
    """Return the position of the next character that is not a space."""
    found = _SPACE.match(text, position)
    return found.end() if found else position


def _next(text: str, position: int, closing: str) -> int:
    """Return the position of the closing bracket, or of the value after the comma."""
    position = skip_space(text, position)
    if text.startswith(closing, position):
        return position
    if not text.startswith(",", position):
        raise ValueError("neither a comma nor an end")
    position = skip_space(text, position + 1)
    if text.startswith(closing, position):
        raise ValueError("a comma before the end")
    return position
