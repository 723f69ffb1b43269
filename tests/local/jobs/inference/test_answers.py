"""Predictions are counted, not lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleanroom_algo.local.jobs.inference.answers import Answer, count_lines, count_predictions

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("body", "content_type", "predictions"),
    [
        (b"1\n2\n3\n", "text/csv", 3),
        (b"1\n\n2\r\n\r\n3", "text/csv; charset=utf-8", 3),
        (b"", "text/csv", 0),
        (b"1\n2\n3", "", 3),
        (b"[1, 2, 3]", "", 3),
        (b"[1, 2, 3]", "application/json", 3),
        (b"[\n  1,\n  2,\n  3\n]\n", "application/json", 3),
        (b'{"predictions": [{"score": 1}, {"score": 2}, {"score": 3}]}', "application/json", 3),
        (b'{"scores": [1, 2, 3], "labels": ["a", "b", "c"]}', "application/json", 3),
        (b'{"score": 1, "version": "a"}', "application/json", 1),
        (b'{"score": 1}\n{"score": 2}\n{"score": 3}\n', "application/json", 3),
        (b'{"score": 1}\n{"score": 2}\n{"score": 3}\n', "application/jsonlines", 3),
        (b"[0.1, 0.9]\n[0.2, 0.8]\n[0.3, 0.7]\n", "text/csv", 3),
    ],
)
def test_an_answer_holds_predictions(body: bytes, content_type: str, predictions: int) -> None:
    assert count_predictions(Answer(body, content_type), {7}) == predictions


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'"a\nb"\n"c"\n"d"\n', "text/csv"),  # a line break in quotes
        (b'5"\n6\n7\n', "text/csv"),  # a quote that opens nothing
        (b"[[1, 2], [3, 4], [5, 6]]", ""),
    ],
)
def test_what_can_be_counted_in_two_ways_is_what_was_wanted(body: bytes, content_type: str) -> None:
    assert count_predictions(Answer(body, content_type), {3}) == 3


def test_one_vector_is_one_prediction_where_one_is_wanted() -> None:
    assert count_predictions(Answer(b"[0.1, 0.9]"), {1}) == 1


def test_other_types_are_not_counted() -> None:
    assert count_predictions(Answer(b"\n\n\n", "application/x-npy"), {3}) is None


@given(st.lists(st.sampled_from([b"", b"\r", b"a", b"ab\r", b'"', b","]), max_size=8), st.booleans())
def test_lines_are_those_that_hold_something(parts: list[bytes], final: bool) -> None:
    data = b"\n".join(parts) + (b"\n" if final else b"")
    assert count_lines(data) == sum(1 for line in data.split(b"\n") if line.removesuffix(b"\r"))
