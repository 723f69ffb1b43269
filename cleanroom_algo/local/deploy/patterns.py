"""Patterns of IAM: whether one covers another, even if parts are not known yet.

`*` matches any text, `?` matches one character. A placeholder is one text that is not known here: it is assumed to
equal the text with which it is compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from cleanroom_algo.local.deploy.placeholders import Joined, Placeholder

STAR: Final = "*"
UNKNOWN: Final = ""
"""The token of a placeholder; every other token is one character."""


def tokens(pattern: str | Joined | Placeholder) -> tuple[str, ...]:
    """Return the tokens of a pattern."""
    if isinstance(pattern, Placeholder):
        return (UNKNOWN,)
    if isinstance(pattern, Joined):
        return tuple(mark for part in pattern.parts for mark in tokens(part))
    return tuple(pattern)


def covers(wide: Sequence[str], narrow: Sequence[str]) -> bool:
    """Whether every text that matches one pattern also matches the other."""

    def step(ends: Ends, i: int, j: int) -> bool:
        mark, other = wide[i : i + 1], narrow[j : j + 1]
        if not mark:
            return not other
        if mark[0] == STAR:
            return ends[i + 1, j] or (bool(other) and ends[i, j + 1])
        if not other or other[0] == STAR:
            return False
        if mark[0] == UNKNOWN:
            return ends[i + 1, j + 1] or ends[i, j + 1]
        if other[0] == UNKNOWN:
            return ends[i + 1, j + 1] or ends[i + 1, j]
        return mark[0] in ("?", other[0]) and ends[i + 1, j + 1]

    return _compare(wide, narrow, step)


def overlap(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether a text matches both patterns."""
    loose = (STAR, UNKNOWN)

    def step(ends: Ends, i: int, j: int) -> bool:
        left, right = one[i : i + 1], other[j : j + 1]
        if not left and not right:
            return True
        if left and left[0] in loose and (ends[i + 1, j] or (bool(right) and ends[i, j + 1])):
            return True
        if right and right[0] in loose and (ends[i, j + 1] or (bool(left) and ends[i + 1, j])):
            return True
        if not left or not right:
            return False
        return (left[0] == right[0] or "?" in (left[0], right[0])) and ends[i + 1, j + 1]

    return _compare(one, other, step)


_LOOSE: Final = {STAR, UNKNOWN, "?"}
Ends = dict[tuple[int, int], bool]
"""Whether the rests of both patterns, from two positions on, compare as required."""


def _compare(one: Sequence[str], other: Sequence[str], step: Callable[[Ends, int, int], bool]) -> bool:
    same = 0  # most patterns have the same beginning, or differ soon
    while same < min(len(one), len(other)) and one[same] == other[same] and one[same] not in _LOOSE:
        same += 1
    if same < min(len(one), len(other)) and not {one[same], other[same]} & _LOOSE:
        return False
    ends: Ends = {}
    for i in range(len(one), same - 1, -1):
        for j in range(len(other), same - 1, -1):
            ends[i, j] = step(ends, i, j)
    return ends[same, same]


def text_of(pattern: str | Joined | Placeholder, values: Any = None) -> str:
    """Return a pattern for readers: placeholders in angle brackets, or their values."""
    known = values or {}
    if isinstance(pattern, Placeholder):
        return str(known.get(pattern.name, f"<{pattern.name}>"))
    if isinstance(pattern, Joined):
        return "".join(text_of(each, known) for each in pattern.parts)
    return pattern
