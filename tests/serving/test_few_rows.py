"""A few rows are answered from their features with the same bytes as from a table of them."""

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
from hypothesis import example, given
from hypothesis import strategies as st

from cleanroom_algo.channels.features import Arrays, Features, NumericFeature
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
from cleanroom_algo.serving.codecs.encoding import encode_few, encode_lines
from cleanroom_algo.serving.codecs.media_types import Format
from cleanroom_algo.serving.predictor import Predictor, to_frame
from cleanroom_algo.serving.scoring.scorer import Scorer, Tally
from cleanroom_algo.serving.server.service import load_predictor

NUMBERS = Schema.of(target="t", a="float32", b="float32", t="bool")
MIXED = Schema.of(target="t", a="float32?", d="float64", i="int8", u="uint64?", flag="bool", word="string?", t="bool")
DATES = Schema.of(a="float32", day="date32")

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


def from_a_table(scorer: Scorer, body: bytes, tally: Tally) -> bytes | None:
    try:
        with scorer.respond([body], Format.CSV, Format.CSV, tally=tally) as answer:
            return answer.read()
    except Exception:
        return None


def assert_alike(scorer: Scorer, body: bytes) -> None:
    few, table = Tally(), Tally()
    quick = scorer.respond_to_few(body, few)
    exact = from_a_table(scorer, body, table)
    assert quick is None or (quick, few) == (exact, table)


numbers = st.one_of(
    st.floats().map(repr),
    st.floats(width=32).map(repr),
    st.integers(-300, 300).map(str),
    st.integers(-(2**64), 2**65).map(str),
    st.text("0123456789.+-eE_ xnaif", max_size=6),
    st.sampled_from(["1_0", "+1", " 1", "1 ", "0x1F", "1e999", "-0", "16777217.000000001", "inf", "NaN", "1.", ".5"]),
)
any_field = st.one_of(numbers, st.sampled_from(["", "true", "FALSE", "yes", "x", "1", "a", "\u00e9"]))


def bodies(columns: int, field: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    row = st.lists(field, min_size=columns, max_size=columns) | st.lists(field, min_size=1, max_size=columns + 2)
    # What the server asks to be answered so: lines none of which is blank.
    lines = st.lists(row.map(",".join).filter(bool), min_size=1, max_size=4)
    return st.tuples(lines, st.sampled_from(["", "\n"])).map(lambda parts: ("\n".join(parts[0]) + parts[1]).encode())


@given(body=bodies(2, numbers))
@example(body=b"16777217.000000001,1e39")
@example(body=b"1e-45,-1e-46\n")
def test_numbers_give_the_same_bytes(scorer: Callable[..., Scorer], body: bytes) -> None:
    assert_alike(scorer(NUMBERS), body)


@given(body=bodies(6, any_field))
@example(body=b"1,1,1,1,true,x")
@example(body=b",1e308,127,18446744073709551615,FALSE,\n16777217.000000001,-0,-128,,true,1\n")
@example(body=b"1,1,128,1,true,x")
@example(body=b"1,1,1.0,1,true,x")
@example(body=b"1,1,1,1,1,x")
def test_all_types_give_the_same_bytes(scorer: Callable[..., Scorer], body: bytes) -> None:
    assert_alike(scorer(MIXED), body)


@pytest.mark.parametrize(
    ("schema", "body"), [(NUMBERS, b"1.5,-2e3\n.25,7"), (MIXED, b"1,1.5,1,1,true,x\n,2,-3,,FALSE,zz\n")]
)
def test_plain_rows_need_no_table(scorer: Callable[..., Scorer], schema: Schema, body: bytes) -> None:
    tally = Tally()
    assert scorer(schema).respond_to_few(body, tally) is not None
    assert tally == Tally(rows=2)


@pytest.mark.parametrize(
    "body", [b"1,x", b"1", b"1,2,3", b"1,2,true", b"1,", b"1_0,2", b"1,2\n" * 5000], ids=lambda body: body[:9]
)
def test_what_does_not_fit_is_left_to_the_table(scorer: Callable[..., Scorer], body: bytes) -> None:
    tally = Tally()
    assert scorer(NUMBERS).respond_to_few(body, tally) is None
    assert tally == Tally()


def test_dates_are_left_to_the_table(scorer: Callable[..., Scorer]) -> None:
    assert scorer(DATES).respond_to_few(b"1,2020-01-01", Tally()) is None


def test_features_in_another_order_than_the_columns() -> None:
    fitted = Features(MIXED, (NumericFeature("i"), NumericFeature("a", 0.1, 3.0)))
    names = [column.name for column in MIXED.features]
    rows: list[list[Any]] = [[0.7, 1.0, 5, 6, True, "x"], [None, 1.0, 7, 6, True, None]]
    table = pl.DataFrame(rows, schema=MIXED.without_target().polars_schema(), orient="row")
    assert fitted.transform_values(rows, names).numeric.tobytes() == fitted.transform(table).numeric.tobytes()


floats = st.floats() | st.floats(-1e6, 1e6) | st.sampled_from([0.0, -0.0, 1e7, 1e15, 1e16, 1e-4, 1e-5, 123456.79])


@given(values=st.lists(floats, min_size=1, max_size=70), single=st.booleans(), columns=st.sampled_from([0, 1, 3]))
def test_predictions_are_written_alike(values: list[float], single: bool, columns: int) -> None:
    with np.errstate(over="ignore"):
        array = np.array(values).astype(np.float32 if single else np.float64)
    predicted = np.tile(array[:, None], columns) if columns else array
    quick = encode_few(predicted, len(values))
    assert quick is None or quick == encode_lines(to_frame(predicted, len(values)), Format.CSV)


@pytest.mark.parametrize("columns", [0, 1, 3])
def test_plain_predictions_are_written_without_a_table(columns: int) -> None:
    predicted = np.full((2, columns) if columns else 2, 0.25)
    assert encode_few(predicted, 2) == b"\n".join([b",".join([b"0.25"] * max(columns, 1))] * 2)


@pytest.mark.parametrize(
    "predict",
    [
        lambda arrays: {"yes": arrays.numeric[:, 0], "count": np.arange(arrays.rows)},
        lambda arrays: pl.Series("named", arrays.numeric[:, 0]),
        lambda arrays: arrays.numeric[:, 0].tolist(),
        lambda arrays: arrays.numeric[:, 0] > 0,
        lambda arrays: np.where(arrays.numeric > 0, np.nan, arrays.numeric),
        lambda arrays: [0.5, None][: arrays.rows],
    ],
)
def test_every_kind_of_prediction(scorer: Callable[..., Scorer], predict: Predict) -> None:
    assert_alike(scorer(NUMBERS, predict), b"1.5,2\n-0.25,7\n")


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
    for way in (lambda made: made.respond_to_few(b"1,2\n3,4", Tally()), lambda made: answer_in(made, Format.ARROW)):
        with pytest.raises(PredictionShapeError):
            way(scorer(NUMBERS, predict))


@pytest.mark.parametrize("kind", [Format.CSV, Format.JSON_LINES, Format.JSON])
def test_bytes_are_refused_where_they_cannot_be_said(scorer: Callable[..., Scorer], kind: Format) -> None:
    with pytest.raises(PredictionShapeError, match="Binary"):
        answer_in(scorer(NUMBERS, lambda arrays: [b"x"] * arrays.rows), kind)


def test_decimals_are_no_npy(scorer: Callable[..., Scorer]) -> None:
    with pytest.raises(NotAcceptableError):
        answer_in(scorer(NUMBERS, lambda arrays: [Decimal(1)] * arrays.rows), Format.NPY)


def test_dates_among_objects_are_dates(scorer: Callable[..., Scorer]) -> None:
    assert (
        answer_in(scorer(NUMBERS, lambda arrays: [date(2020, 1, 1)] * arrays.rows), Format.CSV)
        == b"2020-01-01\n2020-01-01"
    )


@pytest.mark.parametrize("kind", [Format.CSV, Format.JSON_LINES])
def test_a_missing_last_newline_costs_no_second_pass(scorer: Callable[..., Scorer], kind: Format) -> None:
    passes: list[int] = []

    def predict(arrays: Arrays) -> Any:
        passes.append(arrays.rows)
        return arrays.numeric

    made = scorer(NUMBERS, predict)
    body = b"1,2\n3,4" if kind is Format.CSV else b"[1,2]\n[3,4]"
    with made.respond([body], kind, Format.CSV):
        assert passes == [2]


def answer_in(scorer: Scorer, kind: Format) -> bytes:
    with scorer.respond([b"1,2\n3,4"], Format.CSV, kind) as answer:
        return answer.read()


def test_a_long_answer_that_finds_no_room_is_told(
    scorer: Callable[..., Scorer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cleanroom_algo.serving.scoring.SPOOL_BYTES", 4)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, hard))
    try:
        with pytest.raises(AnswerSpaceError, match="File too large"):
            answer_in(scorer(NUMBERS), Format.CSV)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("failure", [SystemExit(3), pl.exceptions.PanicException("SECRET"), BaseException("SECRET")])
def test_an_algorithm_that_exits_or_panics_fails_its_request(
    scorer: Callable[..., Scorer], failure: BaseException
) -> None:
    def fail(_: Arrays) -> Any:
        raise failure

    with pytest.raises(PredictionFailedError, match=type(failure).__name__):
        scorer(NUMBERS, fail).respond_to_few(b"1,2", Tally())


def test_too_few_predictions_are_refused(scorer: Callable[..., Scorer]) -> None:
    with pytest.raises(PredictionShapeError):
        scorer(NUMBERS, lambda arrays: arrays.numeric[1:, 0]).respond_to_few(b"1,2\n3,4", Tally())


def test_what_the_algorithm_raises_is_told_without_its_message(scorer: Callable[..., Scorer]) -> None:
    def fail(_: Arrays) -> Any:
        raise ArithmeticError("SECRET")

    with pytest.raises(PredictionFailedError) as caught:
        scorer(NUMBERS, fail).respond_to_few(b"1,2", Tally())
    assert "ArithmeticError" in str(caught.value)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("hook", ["preprocess", "predict"])
def test_a_predictor_that_wants_the_rows_gets_them(hook: str, tmp_path: Path) -> None:
    class Rows(Given):
        pass

    setattr(Rows, hook, lambda self, frame: frame if hook == "preprocess" else frame["a"])
    predictor = Rows(features_of)
    predictor.artifacts = Artifacts(write(tmp_path / "model", features(NUMBERS)))
    assert Scorer(predictor, NUMBERS).respond_to_few(b"1,2", Tally()) is None


@pytest.mark.parametrize("body", ["pass", "def preprocess(self, frame): return frame"])
def test_a_predictor_must_say_how_it_predicts(tmp_path: Path, body: str) -> None:
    algorithm = tmp_path / "says_nothing.py"
    algorithm.write_text(f"from cleanroom_algo import Predictor\n\nclass Nothing(Predictor):\n    {body}\n")
    with pytest.raises(AlgorithmClassError, match="predict_arrays"):
        load_predictor(str(algorithm), Artifacts(tmp_path))
