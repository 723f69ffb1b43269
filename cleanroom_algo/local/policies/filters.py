"""The lines that a filterPattern selects.

AWS documents its syntax in two ways: as a regular expression (API reference, LogsConfigurationPolicy), and as a filter
pattern, the term of CloudWatch Logs (user guide, "Receiving model logs and metrics"). Both are implemented. The room's
settings select one, and lines for which they give different results cause a warning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, Literal

from cleanroom_algo.local.policies.patterns import compile_pattern

Reading = Literal["regex", "cloudwatch", "substring"]
Matcher = Callable[[str], bool]

_TERM: Final = re.compile(r'(?P<sign>[?-]?)(?:"(?P<quoted>(?:\\.|[^"\\])*)"|%(?P<regex>[^%]+)%|(?P<word>\S+))')


def matcher(pattern: str, reading: Reading) -> Matcher:
    """Return the function that decides whether a line is selected; an empty pattern selects all.

    Args:
        pattern: of the policy, 0..1024 characters.
        reading: its syntax.

    Raises:
        ValueError: the pattern is not valid in this syntax; the message gives the reason.
    """
    return _READINGS[reading](pattern) if pattern else _everything


def readings(pattern: str) -> dict[Reading, Matcher]:
    """Return a matcher for every syntax in which a pattern is valid."""
    found: dict[Reading, Matcher] = {}
    for reading in _READINGS:
        try:
            found[reading] = matcher(pattern, reading)
        except ValueError:
            continue
    return found


def _everything(_line: str) -> bool:
    return True


def _regex(pattern: str) -> Matcher:
    try:
        compiled = compile_pattern(pattern)
    except re.error as error:
        raise ValueError(f"it is not a regular expression ({error})") from error
    return lambda line: compiled.search(line) is not None


def _substring(pattern: str) -> Matcher:
    return lambda line: pattern in line


def _cloudwatch(pattern: str) -> Matcher:
    """Interpret the pattern like CloudWatch for unstructured lines.

    Every term must occur, and none that begins with `-`; terms that begin with `?` are alternatives, and count only if
    there are no others (CloudWatch Logs user guide, "Filter pattern syntax").
    """
    if pattern.lstrip()[:1] in {"{", "["}:
        raise ValueError("it selects by the fields of structured lines, which no container is known to write")
    required: list[Matcher] = []
    forbidden: list[Matcher] = []
    alternatives: list[Matcher] = []
    lists = {"": required, "-": forbidden, "?": alternatives}
    for term in _TERM.finditer(pattern):
        lists[term["sign"]].append(_term(term))
    if required or forbidden:
        alternatives = []

    def passes(line: str) -> bool:
        wanted = all(each(line) for each in required) and not any(each(line) for each in forbidden)
        return wanted and (not alternatives or any(each(line) for each in alternatives))

    return passes


def _term(term: re.Match[str]) -> Matcher:
    if term["regex"] is not None:
        return _regex(term["regex"])
    quoted: str | None = term["quoted"]
    return _substring(term["word"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted))


_READINGS: Final[Mapping[Reading, Callable[[str], Matcher]]] = {
    "regex": _regex,
    "cloudwatch": _cloudwatch,
    "substring": _substring,
}
