"""Faults of rows, counted and grouped: a column that is wrong in every row is one line of the error."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from cleanroom_algo.channels.hints import fixes
from cleanroom_algo.errors import Problem, RowMismatchError

MAX_PROBLEMS: Final = 20
"""Kinds of faults listed in one error: enough to see a pattern, few enough to read."""


@dataclass(slots=True)
class RowFaults:
    """The faults of some rows of an object.

    Args:
        source: what to call the object in messages.

    Attributes:
        rows: how many rows have any.
    """

    source: str
    rows: int = 0
    _first: dict[tuple[str, str], str] = field(default_factory=dict)  # by column and kind: where the first one is
    _counts: dict[tuple[str, str], int] = field(default_factory=dict)

    def add_row(self, place: str, faults: Iterable[tuple[str, str]]) -> None:
        """Add the faults of a row.

        Args:
            place: of the row in the object: its line.
            faults: the column, "" for the row as a whole, and what is wrong with it, never with a value.
        """
        self.rows += 1
        for column, what in faults:
            self.add(place, column, what)

    def add(self, place: str, column: str, what: str, count: int = 1) -> None:
        """Add a fault that `count` rows have; `place` is that of the first of them."""
        kind = column, what
        self._first.setdefault(kind, place)
        self._counts[kind] = self._counts.get(kind, 0) + count

    def error(self, rows_read: int) -> RowMismatchError:
        """Return the error for these faults, found in a block of `rows_read` rows."""
        problems = []
        everywhere = [what for (_, what), count in self._counts.items() if count == rows_read]
        for (column, what), place in list(self._first.items())[:MAX_PROBLEMS]:
            count = self._counts[column, what]
            path = ":".join(filter(None, (self.source, place, column)))
            problems.append(Problem(path, what if count == 1 else f"{what}; {count} such rows, this is the first"))
        return RowMismatchError(
            f"{self.source}: {self.rows} row(s) of a block of {rows_read} do not fit the schema",
            expected="rows with the declared number of fields, each with the type of its column",
            fix="; ".join(fixes([what for _, what in self._first], everywhere))
            or "correct these rows in the file or in the query that creates it, or correct the declared schema",
            problems=problems,
        )
