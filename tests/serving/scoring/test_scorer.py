"""From bodies to answers, and what an algorithm may do meanwhile."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from cleanroom_algo.channels.arrays import Arrays
from cleanroom_algo.channels.features import Features
from cleanroom_algo.channels.fitting import FeaturesFitter
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.contract.manifest import Manifest
from cleanroom_algo.errors import (
    AlgorithmClassError,
    AnswerSpaceError,
    NotAcceptableError,
    PredictionFailedError,
    PredictionShapeError,
)
from cleanroom_algo.serving.artifacts import Artifacts
from cleanroom_algo.serving.codecs.media_types import MediaType
from cleanroom_algo.serving.predictor import Predictor
from cleanroom_algo.serving.scoring.prediction import load_predictor
from cleanroom_algo.serving.scoring.scorer import Scorer

NUMBERS = Schema.of(target="t", a="float32", b="float32", t="bool")
Predict = Callable[[Arrays], Any]


class Given(Predictor):
    """Predicts what a test says."""

    def __init__(self, predict: Predict) -> None:
        self.says = predict

    def predict_arrays(self, arrays: Arrays) -> Any:
        return self.says(arrays)


def features_of(arrays: Arrays) -> np.ndarray:
    return np.hstack([arrays.numeric, arrays.categorical.astype(np.float32)])


def features(schema: Schema) -> Features:
    fitter = FeaturesFitter(schema, min_count=1)
    values = {"a": [0.1, 7.3], "b": [1.0, 2.0], "d": [1e3, 2.7], "i": [1, 2], "u": [5, 2**63], "flag": [True, False]}
    table = {**values, "word": ["x", "1"], "day": [None, None], "t": [True, False]}
    fitter.update(pl.DataFrame({name: table[name] for name in schema.names}, schema=schema.polars_schema()))
    return fitter.finish()


def write(folder: Path, fitted: Features) -> Path:
    folder.mkdir()
    (folder / "features.json").write_text(json.dumps(fitted.to_dict()))
    Manifest(algorithm="Given", table_schema=fitted.schema.to_dict()).write(folder)
    return folder


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Scorer]:
    made: dict[Schema, Artifacts] = {}

    def make(schema: Schema, predict: Predict = features_of) -> Scorer:
        if schema not in made:
            made[schema] = Artifacts(write(tmp_path_factory.mktemp("model") / "model", features(schema)))
        predictor = Given(predict)
        predictor.artifacts = made[schema]
        return Scorer(predictor, schema)

    return make


@pytest.mark.parametrize(
    ("predict", "lines"),
    [
        (lambda arrays: {"yes": [0.5, 1.5], "count": np.arange(arrays.rows)}, b"0.5,0\n1.5,1"),
        (lambda arrays: pl.Series("named", [0.5, 1.5]), b"0.5\n1.5"),
        (lambda arrays: torch.tensor([[0.5], [1.5]]), b"0.5\n1.5"),
        (lambda arrays: torch.tensor([[0.5, 2], [1.5, 1]], dtype=torch.bfloat16), b"0.5,2.0\n1.5,1.0"),
        (lambda arrays: np.array([True, False]), b"true\nfalse"),
        (lambda arrays: np.array([np.nan, 0.25]), b"NaN\n0.25"),
        (lambda arrays: [0.5, None], b'0.5\n""'),
    ],
)
def test_every_kind_of_prediction(scorer: Callable[..., Scorer], predict: Predict, lines: bytes) -> None:
    assert answer_in(scorer(NUMBERS, predict), MediaType.CSV) == lines


@pytest.mark.parametrize(
    "predict",
    [
        lambda arrays: None,
        lambda arrays: [[1], [1, 2]],
        lambda arrays: torch.ones(arrays.rows, 2).to_sparse(),
        lambda arrays: [torch.ones((), requires_grad=True)] * arrays.rows,
        lambda arrays: [object()] * arrays.rows,
        lambda arrays: pl.Series([object()] * arrays.rows, dtype=pl.Object),
        lambda arrays: np.zeros(arrays.rows, "M8[s]"),
        lambda arrays: np.ones(arrays.rows, complex),
    ],
)
def test_what_no_format_can_say_is_refused(scorer: Callable[..., Scorer], predict: Predict) -> None:
    with pytest.raises(PredictionShapeError):
        answer_in(scorer(NUMBERS, predict), MediaType.ARROW)


@pytest.mark.parametrize("kind", [MediaType.CSV, MediaType.JSON_LINES, MediaType.JSON])
def test_bytes_are_refused_where_they_cannot_be_said(scorer: Callable[..., Scorer], kind: MediaType) -> None:
    with pytest.raises(PredictionShapeError, match="Binary"):
        answer_in(scorer(NUMBERS, lambda arrays: [b"x"] * arrays.rows), kind)


def test_decimals_are_no_npy(scorer: Callable[..., Scorer]) -> None:
    with pytest.raises(NotAcceptableError):
        answer_in(scorer(NUMBERS, lambda arrays: [Decimal(1)] * arrays.rows), MediaType.NPY)


def test_dates_among_objects_are_dates(scorer: Callable[..., Scorer]) -> None:
    assert (
        answer_in(scorer(NUMBERS, lambda arrays: [date(2020, 1, 1)] * arrays.rows), MediaType.CSV)
        == b"2020-01-01\n2020-01-01"
    )


@pytest.mark.parametrize("kind", [MediaType.CSV, MediaType.JSON_LINES])
def test_a_missing_last_newline_costs_no_second_pass(scorer: Callable[..., Scorer], kind: MediaType) -> None:
    passes: list[int] = []

    def predict(arrays: Arrays) -> Any:
        passes.append(arrays.rows)
        return arrays.numeric

    made = scorer(NUMBERS, predict)
    body = b"1,2\n3,4" if kind is MediaType.CSV else b"[1,2]\n[3,4]"
    with made.respond([body], kind, MediaType.CSV):
        assert passes == [2]


def answer_in(scorer: Scorer, kind: MediaType) -> bytes:
    with scorer.respond([b"1,2\n3,4"], MediaType.CSV, kind) as answer:
        return answer.read()


def test_a_long_answer_that_finds_no_room_is_told(
    scorer: Callable[..., Scorer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cleanroom_algo.serving.scoring.scorer.SPOOL_BYTES", 4)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, hard))
    try:
        with pytest.raises(AnswerSpaceError, match="File too large"):
            answer_in(scorer(NUMBERS), MediaType.CSV)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("failure", [SystemExit(3), pl.exceptions.PanicException("SECRET"), BaseException("SECRET")])
def test_an_algorithm_that_exits_or_panics_fails_its_request(
    scorer: Callable[..., Scorer], failure: BaseException
) -> None:
    def fail(_: Arrays) -> Any:
        raise failure

    with pytest.raises(PredictionFailedError) as caught:
        answer_in(scorer(NUMBERS, fail), MediaType.CSV)
    assert "SECRET" not in str(caught.value)


def test_too_few_predictions_are_refused(scorer: Callable[..., Scorer]) -> None:
    with pytest.raises(PredictionShapeError):
        answer_in(scorer(NUMBERS, lambda arrays: arrays.numeric[1:, 0]), MediaType.CSV)


def test_what_the_algorithm_raises_is_told_without_its_message(scorer: Callable[..., Scorer]) -> None:
    def fail(_: Arrays) -> Any:
        raise ArithmeticError("SECRET")

    with pytest.raises(PredictionFailedError) as caught:
        answer_in(scorer(NUMBERS, fail), MediaType.CSV)
    assert "ArithmeticError" in str(caught.value)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("body", ["pass", "def preprocess(self, frame): return frame"])
def test_a_predictor_must_say_how_it_predicts(tmp_path: Path, body: str) -> None:
    algorithm = tmp_path / "says_nothing.py"
    algorithm.write_text(f"from cleanroom_algo import Predictor\n\nclass Nothing(Predictor):\n    {body}\n")
    with pytest.raises(AlgorithmClassError, match="predict_arrays"):
        load_predictor(str(algorithm), Artifacts(tmp_path))
