"""Small requests answered together: a prediction of eight rows costs little more than one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from cleanroom_algo.channels.formats.csv.decoder import BOM
from cleanroom_algo.serving.codecs.media_types import Format
from cleanroom_algo.serving.predictor import ROWS_PER_FORWARD
from cleanroom_algo.serving.scoring.scorer import Scorer, Tally

MERGE_BYTES = 4096
"""The longest body that is answered together with others: what parsing costs, merging cannot save."""


@dataclass(slots=True, eq=False)
class Small:
    """A request of few lines of CSV.

    Attributes:
        body: plain UTF-8 bytes.
        response: a format of lines.
        tally: counts what happens to it.
        answer: to it, or why there is none; once there is one of both.
        lines: of the body, where each is certainly a record of its own; else 0.
    """

    body: bytes
    response: Format
    tally: Tally = field(default_factory=Tally)
    answer: bytes | Exception | None = None
    lines: int = 0


class Merger:
    """Answers small requests.

    Args:
        scorer: of all bodies.
        turn: held while something is computed.
    """

    def __init__(self, scorer: Scorer, turn: Callable[[], AbstractContextManager[None]]) -> None:
        self._scorer = scorer
        self._turn = turn
        self._names = {column.name.encode() for column in scorer.schema.columns}

    def answer(self, requests: Sequence[Small]) -> None:
        """Give each request what `Scorer.respond` would answer it, the same bytes whatever the others are."""
        kinds: defaultdict[tuple[int, Format], list[Small]] = defaultdict(list)
        for request in requests:
            lines = self._plain_lines(request.body)
            if lines is not None:
                request.lines = len(lines)
                # Bodies of one width have the target or not, all alike.
                kinds[lines[0].count(b","), request.response].append(request)
        for alike in kinds.values():
            for several in _passes(alike):
                if len(several) > 1:
                    with self._turn():
                        self._answer_together(several)
        for request in requests:
            if request.answer is None:
                with self._turn():
                    self._answer_alone(request)

    def _answer_together(self, requests: Sequence[Small]) -> None:
        """Answer all, or none: then each is answered by itself, as only one of them may be to blame."""
        tally = Tally()
        body = b"\n".join(request.body.removesuffix(b"\n") for request in requests)
        try:
            answer = self._respond_plain(body, requests[0].response, tally)
        except Exception:
            return
        lines = answer.split(b"\n")
        if tally.placeholders or tally.nan or len(lines) != sum(request.lines for request in requests):
            return
        start = 0
        for request in requests:
            request.answer = b"\n".join(lines[start : start + request.lines])
            request.tally.rows += request.lines
            start += request.lines

    def _answer_alone(self, request: Small) -> None:
        respond = self._respond_plain if request.lines else self._respond
        try:
            request.answer = respond(request.body, request.response, request.tally)
        except Exception as error:
            request.answer = error

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


def _passes(requests: Sequence[Small]) -> Iterator[list[Small]]:
    """Yield the requests in runs whose rows fit into one pass of a model."""
    run: list[Small] = []
    room = ROWS_PER_FORWARD
    for request in requests:
        if run and request.lines > room:
            yield run
            run, room = [], ROWS_PER_FORWARD
        run.append(request)
        room -= request.lines
    if run:
        yield run
