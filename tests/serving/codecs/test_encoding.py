"""Predictions of every kind to the formats of an answer."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import polars as pl
import pytest

from cleanroom_algo.errors import PredictionShapeError
from cleanroom_algo.serving.codecs.encoding import encode_lines, encode_whole
from cleanroom_algo.serving.codecs.media_types import MediaType
from cleanroom_algo.serving.codecs.predictions import to_frame

MASK = [False, True, False]


class FullBuffer(io.BytesIO):
    """A buffer where there is no memory left."""

    def write(self, _: Any) -> int:
        raise MemoryError


def as_npy(predicted: Any) -> np.ndarray:
    array: np.ndarray = np.load(io.BytesIO(encode_whole([to_frame(predicted, 3)], MediaType.NPY)))
    return array


@pytest.mark.parametrize(
    ("predicted", "wanted"),
    [
        ([True, None, False], [1.0, np.nan, 0.0]),
        ([1, None, 3], [1.0, np.nan, 3.0]),
        ({"yes": np.array([True, None, False]), "n": np.array([1, 2, 3])}, [[1, 1], [np.nan, 2], [0, 3]]),
        (np.ma.masked_array([True, True, False], MASK), [1.0, np.nan, 0.0]),
    ],
)
def test_nulls_are_nan_in_npy(predicted: Any, wanted: list[Any]) -> None:
    np.testing.assert_array_equal(as_npy(predicted), np.array(wanted))


def test_bools_without_nulls_stay_bools_in_npy() -> None:
    assert as_npy([True, False, True]).dtype == np.bool_


@pytest.mark.parametrize(
    ("predicted", "lines"),
    [
        (np.ma.masked_array(np.array([0.1, 0.2, 0.3], np.float32), MASK), b'0.1\n""\n0.3'),
        (
            np.ma.masked_array(np.arange(6.0).reshape(3, 2), [[False, True], [False, False], [True, True]]),
            b"0.0,\n2.0,3.0\n,",
        ),
        (np.ma.masked_array(["a", "b", "c"], MASK), b'a\n""\nc'),
        (np.ma.masked_array(np.array(["a", "b", None], object), MASK), b'a\n""\n""'),
        ({"x": np.ma.masked_array([1, 2, 3], MASK), "y": np.array([4, 5, 6])}, b"1,4\n,5\n3,6"),
        (np.ma.masked_array([1, 2, 3]), b"1\n2\n3"),
    ],
)
def test_what_a_mask_hides_is_null(predicted: Any, lines: bytes) -> None:
    assert encode_lines(to_frame(predicted, 3), MediaType.CSV) == lines


def test_a_masked_array_of_no_plain_values_is_refused() -> None:
    records = np.ma.masked_array(np.array([(1, 2.0)] * 3, dtype=[("a", "i4"), ("b", "f8")]))
    with pytest.raises(PredictionShapeError, match="which no output format can hold"):
        to_frame(records, 3)


def test_predictions_of_blocks_with_and_without_nulls_are_one_array() -> None:
    frames = [pl.DataFrame({"yes": [True, False]}), pl.DataFrame({"yes": [None, True]}, {"yes": pl.Boolean})]
    whole = np.load(io.BytesIO(encode_whole(frames, MediaType.NPY)))
    np.testing.assert_array_equal(whole, [1.0, 0.0, np.nan, 1.0])


def test_memory_that_runs_out_in_polars_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polars.dataframe.frame.BytesIO", FullBuffer)
    with pytest.raises(MemoryError):
        encode_whole([pl.DataFrame({"a": [1.0] * 1000})], MediaType.JSON)
