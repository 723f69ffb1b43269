"""Fitted features: streaming, merged over ranks, stored, and applied."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleanroom_algo.channels.arrays import row_major
from cleanroom_algo.channels.features import Features
from cleanroom_algo.channels.fitting import FeaturesFitter
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.errors import FeaturesError

SCHEMA = Schema.of(
    target="y", n="int32?", x="float32? nan=null", word="string?", flag="bool", day="date32", at="timestamp?", y="bool"
)
FRAME = pl.DataFrame(
    {
        "n": [1, 2, None, 6],
        "x": [0.5, None, 2.5, None],
        "word": ["b", "a", None, "b"],
        "flag": [True, False, True, True],
        "day": [dt.date(1970, 1, 1 + n) for n in range(4)],
        "at": [dt.datetime(1970, 1, 1, 0, 0, n) for n in range(3)] + [None],
        "y": [True, False, False, True],
    },
    schema=SCHEMA.polars_schema(),
)


def fitted(*frames: pl.DataFrame, min_count: int = 1) -> Features:
    fitter = FeaturesFitter(SCHEMA, min_count=min_count)
    for frame in frames:
        fitter.update(frame)
    return fitter.finish()


def test_numbers_are_standardised_and_missing_ones_are_the_mean() -> None:
    features = fitted(FRAME)
    assert [feature.name for feature in features.numeric] == ["n", "x", "flag", "day", "at"]
    arrays = features.transform(FRAME)
    assert arrays.numeric.dtype == np.float32
    assert arrays.numeric.flags.c_contiguous
    assert arrays.numeric[2, 0] == arrays.numeric[1, 1] == arrays.numeric[3, 1] == arrays.numeric[3, 4] == 0
    assert arrays.numeric[[0, 1, 3], 0] == pytest.approx((np.array([1, 2, 6]) - 3) / np.std([1, 2, 6]))
    assert arrays.numeric.mean(axis=0) == pytest.approx(np.zeros(5), abs=1e-6)
    assert arrays.target is not None
    assert arrays.target.tolist() == [1, 0, 0, 1]


def test_categories_are_numbered_by_count_and_zero_is_unknown() -> None:
    features = fitted(FRAME)
    assert features.categorical[0].vocabulary == ("b", "a")
    assert features.cardinalities == (3,)
    assert features.transform(FRAME).categorical[:, 0].tolist() == [1, 2, 0, 1]
    assert features.transform(FRAME.with_columns(word=pl.lit("new"))).categorical[:, 0].tolist() == [0] * 4


def test_rare_categories_stay_out_of_the_artifacts_and_the_vocabulary_has_a_bound() -> None:
    assert fitted(FRAME, min_count=2).categorical[0].vocabulary == ("b",)
    fitter = FeaturesFitter(SCHEMA, min_count=1, max_categories=1)
    fitter.update(FRAME)
    assert fitter.finish().categorical[0].vocabulary == ("b",)


def test_an_identifier_is_no_category(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cleanroom_algo.channels.fitting.MAX_DISTINCT", 100)
    schema = Schema.of(id="string")
    with pytest.raises(FeaturesError, match="'id' has more than 100 distinct texts"):
        FeaturesFitter(schema).update(pl.DataFrame({"id": [str(n) for n in range(101)]}))


def test_columns_can_be_chosen() -> None:
    fitter = FeaturesFitter(SCHEMA, numeric=["x"], categorical=["n", "flag"], min_count=1)
    fitter.update(FRAME)
    features = fitter.finish()
    assert features.columns == ("n", "x", "flag", "y")
    assert features.cardinalities == (4, 3)
    with pytest.raises(FeaturesError) as caught:
        FeaturesFitter(SCHEMA, numeric=["word", "y", "m"], categorical=["x", "n"])
    assert len(caught.value.problems) == 3


def test_features_survive_json_and_refuse_other_forms() -> None:
    features = fitted(FRAME)
    again = Features.from_dict(json.loads(json.dumps(features.to_dict())))
    assert again == features
    assert again.transform(FRAME).numeric.tolist() == features.transform(FRAME).numeric.tolist()
    for state in (
        {},
        {**features.to_dict(), "format_version": 99},
        {**features.to_dict(), "numeric": [{"name": "zz"}]},
    ):
        with pytest.raises(FeaturesError):
            Features.from_dict(state)


def test_a_table_without_the_columns_or_with_a_null_target_is_refused() -> None:
    features = fitted(FRAME)
    assert features.transform(FRAME.drop("y")).target is None
    with pytest.raises(FeaturesError) as caught:
        features.transform(FRAME.drop("n", "word"))
    assert [problem.path for problem in caught.value.problems] == ["n", "word"]
    with pytest.raises(FeaturesError, match="null in 4 of 4 rows"):
        features.transform(FRAME.with_columns(y=pl.lit(None, pl.Boolean)))


def test_plain_features_pass_numbers_through() -> None:
    arrays = Features.plain(SCHEMA).transform(FRAME)
    assert arrays.numeric[:, 0].tolist() == [1, 2, 0, 6]
    assert arrays.categorical.shape == (4, 0)
    assert arrays.rows == 4


INFINITE = float("inf")


@pytest.mark.parametrize(
    ("dtype", "value"),
    [("float64", 1e300), ("float32", INFINITE), ("float64", float("nan")), ("float64 nan=keep", 1e300)],
)
@pytest.mark.parametrize("rows", [1, 100])
def test_a_number_that_cannot_be_a_feature_is_never_the_mean(dtype: str, value: float, rows: int) -> None:
    schema = Schema.of(x=dtype, y="int8")
    frame = pl.DataFrame({"x": [*[1.0] * (rows - 1), value], "y": [0] * rows}, schema=schema.polars_schema())
    with pytest.raises(FeaturesError, match="too large for float32") as caught:
        Features.plain(schema).transform(frame)
    assert [(p.path, p.message) for p in caught.value.problems] == [("x", f"1 of {rows} values")]


def test_what_is_kept_reaches_the_model_and_a_null_is_the_mean() -> None:
    schema = Schema.of(x="float32? nan=keep")
    frame = pl.DataFrame({"x": [1.0, None, float("nan"), -INFINITE, 3.0]}, schema=schema.polars_schema())
    fitter = FeaturesFitter(schema)
    fitter.update(frame)
    found = fitter.finish().transform(frame).numeric[:, 0].tolist()
    assert found[:2] == [-1, 0]
    assert np.isnan(found[2])
    assert found[3:] == [-INFINITE, 1]


def test_targets_that_cannot_be_tensors_are_told() -> None:
    text = Schema.of(target="y", x="float32", y="string")
    with pytest.raises(FeaturesError, match="the target 'y' is a string"):
        Features.plain(text)
    for dtype, value in (("uint64", 2**63), ("float64", 1e39)):
        schema = Schema.of(target="y", x="float32", y=dtype)
        frame = pl.DataFrame({"x": [1.0], "y": [value]}, schema=schema.polars_schema())
        with pytest.raises(FeaturesError, match="1 value"):
            Features.plain(schema).transform(frame)


def test_a_constant_column_stays_finite() -> None:
    schema = Schema.of(x="float64")
    fitter = FeaturesFitter(schema)
    fitter.update(pl.DataFrame({"x": [0.1] * 1000}))
    assert fitter.finish().transform(pl.DataFrame({"x": [0.1, 0.2]})).numeric.tolist() == [
        [pytest.approx(0, abs=1e-9)],
        [pytest.approx(0.1)],
    ]


def merge(states: list[FeaturesFitter], schema: Schema) -> Features:
    whole = FeaturesFitter(schema, min_count=1)
    for state in states:
        rank = FeaturesFitter(schema, min_count=1)
        rank.load_state_dict(json.loads(json.dumps(state.state_dict())))  # as it is gathered over ranks
        whole.merge(rank)
    return whole.finish()


@given(
    values=st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1, max_size=60),
    words=st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=60),
    ranks=st.integers(1, 5),
    offset=st.sampled_from([0.0, 1e9]),
)
@settings(max_examples=50)
def test_parts_fitted_by_ranks_merge_to_the_whole(
    values: list[float | None], words: list[str | None], ranks: int, offset: float
) -> None:
    schema = Schema.of(x="float64?", word="string?")
    rows = min(len(values), len(words))
    numbers = [None if value is None else value + offset for value in values[:rows]]
    frame = pl.DataFrame({"x": numbers, "word": words[:rows]}, schema=schema.polars_schema())
    parts = []
    for rank in range(ranks):
        parts.append(FeaturesFitter(schema, min_count=1))
        parts[-1].update(frame.gather_every(ranks, rank))
    features = merge(parts, schema)
    finite = np.array([number for number in numbers if number is not None])
    if len(finite):
        assert features.numeric[0].mean == pytest.approx(finite.mean(), rel=1e-12)
        if finite.std() > 1e-3:
            assert features.numeric[0].std == pytest.approx(finite.std(), rel=1e-6)
    counts = frame.get_column("word").drop_nulls().value_counts().sort(["count", "word"], descending=[True, False])
    assert list(features.categorical[0].vocabulary) == counts.get_column("word").to_list()
    assert merge(parts, schema) == features


def test_a_row_has_the_same_bits_alone_as_among_many() -> None:
    schema = Schema.of(a="float32?", b="float64?", c="int64?", d="bool?", e="uint8", g="float32")
    random = np.random.default_rng(5)
    count = 300
    frame = pl.DataFrame(
        {
            "a": random.normal(0, 1e3, count),
            "b": random.normal(0, 1e30, count),
            "c": random.integers(-(2**62), 2**62, count),
            "d": random.integers(0, 2, count).astype(bool),
            "e": random.integers(0, 255, count),
            "g": random.normal(3, 1, count),
        },
        schema=schema.polars_schema(),
    ).with_columns(pl.when(pl.int_range(pl.len()) % 7 != 3).then(pl.col("a", "b", "c", "d")))
    fitter = FeaturesFitter(schema)
    fitter.update(frame)
    for features in (fitter.finish(), Features.plain(schema)):
        many = features.transform(frame).numeric
        few = np.concatenate([features.transform(frame[row : row + 3]).numeric for row in range(0, count, 3)])
        assert many.tobytes() == few.tobytes()


@pytest.mark.parametrize("shape", [(0, 2), (1, 3), (15, 1), (16, 5), (17, 2), (8192, 3), (8176, 20)])
def test_columns_become_rows(shape: tuple[int, int]) -> None:
    wanted = np.arange(shape[0] * shape[1], dtype=np.float32).reshape(shape)
    found = row_major(list(wanted.T), shape)
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, wanted)


def test_columns_without_any_known_category_are_found() -> None:
    schema = Schema.of(target="y", zone="string?", hour="int32", rare="string?", y="bool")
    fitted = Features.declared(schema, categorical={"zone": ["1094.0", "7.0"], "hour": ["1"], "rare": []})

    def found(zone: Sequence[str | None], rows: int = 12) -> list[str]:
        table = pl.DataFrame({"zone": (list(zone) * rows)[:rows], "hour": [1] * rows, "rare": ["x"] * rows})
        return fitted.unknown_columns(table.cast({"zone": pl.String, "hour": pl.Int32}))

    assert found(["1094", "7"]) == ["zone"]
    assert found(["1094", "7", "7.0"]) == []
    assert found(["1094"], rows=9) == []  # so few may be rare
    assert found([None]) == found([None, "1094"]) == []
    assert found([None, "1094"], rows=20) == ["zone"]
    assert found(["1094"] * 1000 + ["7.0"] * 1000, rows=2000) == ["zone"]  # the first rows only
    assert fitted.unknown_columns(pl.DataFrame({"hour": [2] * 20})) == []
    table = pl.DataFrame({"zone": ["7.0", "7", None], "hour": [1, 2, 3], "rare": ["x", None, None]})
    assert fitted.unknown_values(table) == {"zone": (1, 2), "hour": (2, 3), "rare": (1, 1)}
