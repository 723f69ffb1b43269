"""Counts the predictions in the answers of a server, in any format."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

_JSON = {"application/json"}
_LINES = {"", "application/jsonlines", "application/x-jsonlines", "application/jsonl"}  # and all types text/*
_LINE_FEED, _CARRIAGE_RETURN, _QUOTE = b'\n\r"'


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one request.

    Attributes:
        body: of it.
        content_type: of its header; "" if there is none.
    """

    body: bytes
    content_type: str = ""


def count_predictions(answer: Answer, wanted: Collection[int]) -> int | None:
    """Return how many predictions an answer contains; None if its content type does not show it.

    An answer can often be counted in several ways: as lines, as records of CSV with line breaks in quotes, as the
    elements of a JSON document. If one of them gives a wanted number, that is the result.

    Args:
        answer: of the server.
        wanted: the correct numbers.
    """
    kind = answer.content_type.partition(";")[0].strip().lower()
    if kind not in _JSON | _LINES and not kind.startswith("text/"):
        return None
    found = []
    for count in _counts(answer.body, is_json=kind in _JSON):
        if count in wanted:
            return count
        found.append(count)
    return found[0]


def _counts(body: bytes, *, is_json: bool) -> Iterator[int]:
    """Yield the possible numbers of predictions in a body, the most likely one first."""
    lines = count_lines(body)
    whole = None
    if is_json or (lines == 1 and body.lstrip()[:1] in {b"[", b"{"}):
        whole = _count_elements(body)
    if whole is not None:
        yield whole
    yield lines
    if whole is None and b'"' in body:
        yield count_records(body)


def count_lines(payload: bytes) -> int:
    """Return how many lines of a request, or of an answer, are not empty."""
    values = np.frombuffer(payload, dtype=np.uint8)
    ends = np.flatnonzero(values == _LINE_FEED)
    if not payload.endswith(b"\n"):
        ends = np.append(ends, len(payload))
    lengths = np.diff(ends, prepend=-1) - 1
    one_byte = values[ends[lengths == 1] - 1]
    return int(np.count_nonzero(lengths)) - int(np.count_nonzero(one_byte == _CARRIAGE_RETURN))


def count_records(body: bytes) -> int:
    """Return how many records of CSV a body contains: a line break inside quotes does not end one."""
    values = np.frombuffer(body, dtype=np.uint8)
    outside = np.cumsum(values == _QUOTE) % 2 == 0
    return int(np.count_nonzero((values == _LINE_FEED) & outside)) + (not body.endswith(b"\n"))


def _count_elements(body: bytes) -> int | None:
    """Return how many predictions a JSON document contains; None if it is not JSON.

    `[...]` contains one for each element; so does an object with one list, as in `{"predictions": [...]}`, or with
    several lists of one length, as in `{"scores": [...], "labels": [...]}`. Any other document is one prediction.
    """
    try:
        document: Any = json.loads(body)
    except ValueError:
        return None
    if isinstance(document, list):
        return len(document)
    lists = [value for value in document.values() if isinstance(value, list)] if isinstance(document, dict) else []
    lengths = {len(value) for value in lists}
    return lengths.pop() if len(lengths) == 1 else 1
