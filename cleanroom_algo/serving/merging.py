"""Small requests that wait for the same turn, answered together: a prediction of eight rows costs little more than one.

Whoever gets the turn takes along what has arrived while the one before computed.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from cleanroom_algo.channels.csv_decoder import BOM
from cleanroom_algo.serving.formats import Format
from cleanroom_algo.serving.predictor import ROWS_PER_FORWARD
from cleanroom_algo.serving.scoring import Scorer, Tally

MERGE_BYTES = 4096
"""The longest body that is answered together with others: what parsing costs, merging cannot save."""

ARRIVAL_SECONDS = 0.0005
"""How long the first of them waits until as many have arrived as the last times: the thread that computed before held
up the others' reading. One that comes alone never waits."""


@dataclass(slots=True, eq=False)
class _Part:
    """One request.

    Attributes:
        body: its lines.
        rows: how many.
        taken: whether another request has taken it along.
        answer: to it, if that succeeded.
    """

    body: bytes
    rows: int
    taken: bool = False
    answer: bytes | None = None


class Merger:
    """Answers bodies of few lines of CSV.

    Args:
        scorer: of all bodies.
        turn: held while something is computed.
    """

    def __init__(self, scorer: Scorer, turn: Callable[[], AbstractContextManager[None]]) -> None:
        self._scorer = scorer
        self._turn = turn
        self._names = {column.name.encode() for column in scorer.schema.columns}
        self._arrival = threading.Condition()
        self._usual = 1.0
        self._waiting: defaultdict[tuple[int, Format], list[_Part]] = defaultdict(list)

    def answer(self, body: bytes, response: Format, tally: Tally) -> bytes:
        """Return what `Scorer.respond` would, and the same bytes whatever other requests are in work.

        Args:
            body: lines of CSV, as plain UTF-8 bytes.
            response: a format of lines.
            tally: counts what happened.

        Raises:
            CleanroomError: as `Scorer.respond` does.
        """
        lines = self._plain_lines(body)
        if lines is not None:
            part = _Part(body if body.endswith(b"\n") else body + b"\n", len(lines))
            # Bodies of one width have the target or not, all alike.
            answer = self._take_turn(part, (lines[0].count(b","), response), tally)
            if answer is not None:
                return answer
        with self._turn():
            return self._respond(body, response, tally)

    def _take_turn(self, part: _Part, kind: tuple[int, Format], tally: Tally) -> bytes | None:
        with self._arrival:
            self._waiting[kind].append(part)
            self._arrival.notify()
        with self._turn():
            if not part.taken:
                with self._arrival:
                    self._arrival.wait_for(lambda: len(self._waiting[kind]) > self._usual - 1, ARRIVAL_SECONDS)
                    others = self._take_along(part, kind)
                if not others:
                    return self._respond_plain(part.body, kind[1], tally)
                self._answer_together([part, *others], kind[1])
        if part.answer is not None:
            tally.rows += part.rows
        return part.answer

    def _take_along(self, part: _Part, kind: tuple[int, Format]) -> list[_Part]:
        """Return the others that wait and fit into one pass of a model; those that are left come at their turns."""
        room = ROWS_PER_FORWARD - part.rows
        others: list[_Part] = []
        left: list[_Part] = []
        for other in self._waiting[kind]:
            if other is part:
                continue
            fits = other.rows <= room
            room -= other.rows if fits else 0
            other.taken = fits
            (others if fits else left).append(other)
        self._waiting[kind] = left
        count = 1 + len(others)
        self._usual = max(count, self._usual + (count - self._usual) / 8)
        return others

    def _answer_together(self, parts: list[_Part], response: Format) -> None:
        """Answer all parts, or none: then each is answered by itself, as only one of them may be to blame."""
        tally = Tally()
        try:
            answer = self._respond_plain(b"".join(part.body for part in parts), response, tally)
        except Exception:
            return
        lines = answer.split(b"\n")
        if tally.placeholders or tally.nan or len(lines) != sum(part.rows for part in parts):
            return
        start = 0
        for part in parts:
            part.answer = b"\n".join(lines[start : start + part.rows])
            start += part.rows

    def _respond_plain(self, body: bytes, response: Format, tally: Tally) -> bytes:
        few = self._scorer.respond_to_few(body, tally) if response is Format.CSV else None
        return self._respond(body, response, tally) if few is None else few

    def _respond(self, body: bytes, response: Format, tally: Tally) -> bytes:
        with self._scorer.respond([body], Format.CSV, response, tally=tally) as answer:
            return answer.read()

    def _plain_lines(self, body: bytes) -> list[bytes] | None:
        """Return the lines, or None where not each is certainly a record of its own: a header, quotes, blank lines."""
        if b'"' in body or b"\r" in body or body.startswith(BOM):
            return None
        lines = body.removesuffix(b"\n").split(b"\n")
        plain = all(lines) and self._names.isdisjoint(lines[0].split(b","))
        return lines if plain else None
