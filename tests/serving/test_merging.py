"""Requests answered together get what each would get alone."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cleanroom_algo.errors import CleanroomError
from cleanroom_algo.serving.artifacts import Artifacts
from cleanroom_algo.serving.codecs.media_types import Format
from cleanroom_algo.serving.merging import Merger, Small
from cleanroom_algo.serving.scoring.scorer import Scorer, Tally
from cleanroom_algo.serving.server.service import load_predictor
from tests.serving.support import Container

BODIES = [
    b"AA,1.5,3\n",
    b"B6,,17",
    b"DL,2,4\nUA,-1e3,0\nXX,7,23\n",
    b"AA,1.5,3,true\n",  # with the target
    b"carrier,distance,hour\nAA,1.5,3\n",
    b"hour,carrier,distance\n3,AA,1.5\n",  # what follows it must not be read in its order
    b'"AA",1.5,3\n',
    b"AA,1.5,3\r\nB6,2.5,4\r\n",
    b"\nAA,1.5,3\n\nB6,2.5,4\n\n",
    b"\xef\xbb\xbfAA,1.5,3\n",
    b"AA,1.5,SECRET\n",
    b"AA,1.5\n",
    b"\xff,1.5,3\n",
    b"RAISE,1.5,3\n",
    b"",
    b"\n",
]


@pytest.fixture(scope="module")
def calls() -> list[int]:
    return []


@pytest.fixture(scope="module", params=[None, "ERROR"])
def scorer(container: Container, calls: list[int], request: pytest.FixtureRequest) -> Scorer:
    artifacts = Artifacts(container.root / "model")
    predictor = load_predictor(str(container.algorithm), artifacts)
    predict = predictor.predict

    def counted(frame: pl.DataFrame) -> object:
        calls.append(frame.height)
        if "RAISE" in frame["carrier"]:
            raise ArithmeticError
        return predict(frame)

    predictor.predict = counted  # type: ignore[method-assign, assignment]
    return Scorer(predictor, artifacts.schema, placeholder=request.param)


def alone(scorer: Scorer, body: bytes, response: Format) -> tuple[object, int, int]:
    tally = Tally()
    try:
        with scorer.respond([body], Format.CSV, response, tally=tally) as answer:
            return answer.read(), tally.rows, tally.placeholders
    except CleanroomError as error:
        return str(error), tally.rows, tally.placeholders


def together(scorer: Scorer, requests: Sequence[tuple[bytes, Format]]) -> list[tuple[object, int, int]]:
    small = [Small(*request) for request in requests]
    Merger(scorer, nullcontext).answer(small)
    return [
        (str(each.answer) if isinstance(each.answer, CleanroomError) else each.answer, tally.rows, tally.placeholders)
        for each in small
        for tally in [each.tally]
    ]


@given(
    requests=st.lists(
        st.tuples(st.sampled_from(BODIES), st.sampled_from([Format.CSV, Format.JSON_LINES])), min_size=1, max_size=12
    )
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_gets_what_it_would_get_alone(scorer: Scorer, requests: list[tuple[bytes, Format]]) -> None:
    assert together(scorer, requests) == [alone(scorer, *request) for request in requests]


def test_they_share_a_prediction(scorer: Scorer, calls: list[int]) -> None:
    calls.clear()
    together(scorer, [(BODIES[0], Format.CSV), (BODIES[1], Format.CSV), (BODIES[2], Format.CSV)])
    assert calls == [5]


def test_one_that_fails_costs_the_others_nothing_but_time(scorer: Scorer) -> None:
    answers = together(scorer, [(BODIES[0], Format.CSV), (b"RAISE,1.5,3\n", Format.CSV), (BODIES[1], Format.CSV)])
    assert "CR-SRV-008" in str(answers[1][0])
    assert [answers[0], answers[2]] == [alone(scorer, body, Format.CSV) for body in BODIES[:2]]


def test_more_rows_than_one_pass_has_are_predicted_by_several(scorer: Scorer, calls: list[int]) -> None:
    calls.clear()
    body = BODIES[0] * 100
    answers = together(scorer, [(body, Format.CSV)] * 4)
    assert {answer[0] for answer in answers} == {alone(scorer, body, Format.CSV)[0]}
    assert max(calls) <= 256
    assert sum(calls[:-1]) == 400
