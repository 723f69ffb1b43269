"""What predictions say about a target."""

from __future__ import annotations

import math

import polars as pl
import pytest

from cleanroom_algo.errors import AuditError
from cleanroom_algo.local.audit.scores import scores_of


def one(values: list[object]) -> pl.DataFrame:
    return pl.DataFrame({"prediction": values})


def test_reads_probabilities_and_logits_of_two_classes() -> None:
    target = pl.Series("y", [True, False, True])
    found = scores_of(one([0.8, 0.2, 0.5]), target)
    assert found.meaning == "probability of the right class"
    assert found.values == pytest.approx([math.log(4), math.log(4), 0.0])
    assert scores_of(one([3.0, -2.0, -1.0]), target).values == pytest.approx([3.0, 2.0, -1.0])
    assert math.isfinite(scores_of(one([1.0, 1.0, 0.0]), target).values[1])


def test_reads_columns_of_classes_by_number_label_and_name() -> None:
    shares = [[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]]
    expected = pytest.approx([math.log(0.7 / 0.3), math.log(0.8 / 0.2)])
    columns = pl.DataFrame(shares, schema=["prediction_0", "prediction_1", "prediction_2"], orient="row")
    assert scores_of(columns, pl.Series("y", [0, 2])).values == expected
    named = columns.rename({"prediction_0": "cat", "prediction_1": "dog", "prediction_2": "eel"})
    assert scores_of(named, pl.Series("y", ["cat", "eel"])).values == expected
    more = pl.concat([columns, columns.head(1)])
    sorted_labels = scores_of(more, pl.Series("y", ["a", "c", "b"]))
    assert sorted_labels.values[:2] == expected
    logits = columns.select(pl.all().log() + 5)
    assert scores_of(logits, pl.Series("y", [0, 2])).values == expected
    with pytest.raises(AuditError, match="belong to none"):
        scores_of(columns, pl.Series("y", ["a", "d"]))


def test_reads_numbers_and_labels() -> None:
    errors = scores_of(one([1.5, 4.0]), pl.Series("y", [1.0, 3.0]))
    assert (errors.values == pytest.approx([-math.log(0.25), 0.0]), errors.are_labels) == (True, False)
    labels = scores_of(one(["cat", "dog"]), pl.Series("y", ["cat", "eel"]))
    assert (labels.values.tolist(), labels.are_labels) == ([1.0, 0.0], True)
    assert scores_of(one([True, False]), pl.Series("y", [1, 1])).values.tolist() == [1.0, 0.0]


def test_refuses_what_it_cannot_compare() -> None:
    with pytest.raises(AuditError, match="is null in 1 rows"):
        scores_of(one([0.5, 0.5]), pl.Series("y", [True, None]))
    with pytest.raises(AuditError, match="numbers in one column"):
        scores_of(one([0.5, 0.7]), pl.Series("y", ["a", "b"]))
