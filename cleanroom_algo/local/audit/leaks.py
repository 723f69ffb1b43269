"""Finds values of rows in lines of a log: strings, sequences of words, and numbers as they are printed.

Only meaningful matches are reported. Values that many rows share are skipped, and so are words of the algorithm's own
source. A number must have four significant digits, and almost no other number of its column may be so close that it
would match by chance: less than one job in twenty should have a reported match by chance.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from cleanroom_algo.local.audit.rows import numbers
from cleanroom_algo.local.audit.statistics import Numbers

_WORDS: Final = 5  # length of a sequence: a log with so many consecutive words of a text quotes it
_CHARACTERS: Final = 4  # of the shortest string that is searched
_DIGITS: Final = 4  # significant digits of the shortest number
_ID_DIGITS: Final = 6  # of the shortest string that consists of digits
_COMMON_ROWS, _COMMON_SHARE = 5, 0.01  # a value with more rows than either does not identify a person
_CHANCE: Final = 0.05  # of a match by chance among all numbers of a log
_NEIGHBORS: Final = 10  # on each side, from which the density of a column is estimated

_WORD = re.compile(r"\w+")
_NUMBER = re.compile(r"(?<![\w.-])[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w-]|\.\d)")


@dataclass(frozen=True)
class Leak:
    """A value of a channel in a log.

    Attributes:
        column: the column that contains it.
        found: the text in the log.
        rows: the number of rows with the value.
        lines: the numbers of the lines with it, from 0.
    """

    column: str
    found: str
    rows: int
    lines: tuple[int, ...]


class ChannelValues:
    """The values of the channels of a job, prepared for a search.

    Args:
        tables: their rows; columns of one name count as one.
        known: text that reveals nothing about the rows, such as the algorithm's source.
    """

    def __init__(self, tables: Iterable[pl.DataFrame], known: str = "") -> None:
        self._strings: dict[str, Counter[str]] = defaultdict(Counter)
        parts: dict[str, list[Numbers]] = defaultdict(list)
        self._known = known
        self.rows = 0
        for table in tables:
            self.rows += table.height
            for column in table:
                found = numbers(column)
                if found is not None:
                    parts[column.name].append(found)
                if (found is None or column.dtype == pl.String) and not column.dtype.is_nested():
                    self._strings[column.name].update(column.cast(pl.String).drop_nulls().to_list())
        self._numbers = {name: np.sort(np.concatenate(each)) for name, each in parts.items()}
        self._common = max(_COMMON_ROWS, int(self.rows * _COMMON_SHARE))

    def leaks(self, lines: Sequence[str]) -> list[Leak]:
        """Return the values that the lines contain, the rarest first; each place of a column once."""
        index = _Index(lines)
        found = {(each.column, each.found): each for each in [*self._of_strings(index), *self._of_numbers(index)]}
        return sorted(found.values(), key=lambda leak: (leak.rows, leak.column, leak.found))

    def doubtful(self, lines: Sequence[str]) -> list[str]:
        """Return the columns whose numbers are so dense that numbers of a log would match them by chance."""
        tokens = _Index(lines).numbers
        return [name for name, values in self._numbers.items() if self._crowded(values, tokens)]

    def _of_strings(self, index: _Index) -> Iterator[Leak]:
        for column, values in self._strings.items():
            quoted: dict[str, int] = {}
            for value, rows in values.items():
                words = _WORD.findall(value)
                if len(words) > _WORDS:
                    for gram in _grams([word.lower() for word in words], _WORDS):
                        if gram in index.sequences:
                            quoted[gram] = quoted.get(gram, 0) + rows
                elif (places := index.strings.get(" ".join(words))) and self._tells(value, rows):
                    yield Leak(column, value, rows, tuple(places))
            yield from self._quotes(column, quoted, index)

    def _quotes(self, column: str, quoted: Mapping[str, int], index: _Index) -> Iterator[Leak]:
        """Yield sequences of words; for each group of lines, the rarest one."""
        rarest: dict[tuple[int, ...], tuple[int, str]] = {}
        for gram, rows in quoted.items():
            places = tuple(index.sequences[gram])
            if rows <= self._common and gram not in self._known.lower():
                rarest[places] = min(rarest.get(places, (rows, gram)), (rows, gram))
        for places, (rows, gram) in rarest.items():
            yield Leak(column, gram, rows, places)

    def _tells(self, value: str, rows: int) -> bool:
        if rows > self._common or len(value) < _CHARACTERS or value in self._known:
            return False
        return not re.fullmatch(r"[\d\W]+", value) or len(re.sub(r"\D", "", value)) >= _ID_DIGITS

    def _of_numbers(self, index: _Index) -> Iterator[Leak]:
        for column, values in self._numbers.items():
            for token, places in index.numbers.items():
                rows = _matches(values, token)
                if 0 < rows <= self._common and self._chance(values, token, len(index.numbers)) < _CHANCE:
                    yield Leak(column, token, rows, tuple(places))

    def _chance(self, values: Numbers, token: str, tokens: int) -> float:
        """Return the expected number of matches of such tokens by chance in all columns."""
        value, reach = _interval(token)
        place = int(np.searchsorted(values, value))
        low, high = max(place - _NEIGHBORS, 0), min(place + _NEIGHBORS, len(values) - 1)
        span = float(values[high] - values[low])
        density = (high - low) / span if span else 0.0
        return 2 * reach * density * tokens * len(self._numbers)

    def _crowded(self, values: Numbers, tokens: Mapping[str, object]) -> bool:
        return any(
            0 < _matches(values, token) <= self._common and self._chance(values, token, len(tokens)) >= _CHANCE
            for token in tokens
        )


class _Index:
    """The positions of strings, sequences of words and numbers in lines."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.strings: dict[str, list[int]] = {}
        self.sequences: dict[str, list[int]] = {}
        self.numbers: dict[str, list[int]] = {}
        for number, line in enumerate(lines):
            words = _WORD.findall(line)
            for length in range(1, _WORDS + 1):
                _note(self.strings, _grams(words, length), number)
            _note(self.sequences, _grams([word.lower() for word in words], _WORDS), number)
            _note(self.numbers, (token for token in _NUMBER.findall(line) if _digits(token) >= _DIGITS), number)


def _note(places: dict[str, list[int]], found: Iterable[str], line: int) -> None:
    for each in set(found):
        places.setdefault(each, []).append(line)


def _grams(words: Sequence[str], length: int) -> Iterator[str]:
    return (" ".join(words[start : start + length]) for start in range(len(words) - length + 1))


def _digits(token: str) -> int:
    """Return the number of significant digits of a printed number: 3 for 0.00250, and 2 for 15000."""
    mantissa = re.split("[eE]", token)[0].lstrip("+-")
    plain = mantissa.replace(".", "").lstrip("0")
    return len(plain if "." in mantissa else plain.rstrip("0"))


def _interval(token: str) -> tuple[float, float]:
    """Return a printed number, and the largest distance of a number that is rounded to it."""
    mantissa, _, exponent = token.lower().partition("e")
    decimals = len(mantissa.partition(".")[2])
    value = float(token)
    return value, max(0.5 * 10.0 ** (int(exponent or 0) - decimals) * (1 + 1e-6), abs(value) * 4e-16)


def _matches(values: Numbers, token: str) -> int:
    value, reach = _interval(token)
    return int(np.searchsorted(values, value + reach, "right") - np.searchsorted(values, value - reach, "left"))
