"""How good predictions are: of two classes, of several, and of numbers; None where their form does not tell."""

from __future__ import annotations

import polars as pl
import pytest

from cleanroom_algo.channels.schema import Column
from cleanroom_algo.local.summaries.evaluation import OTHERS, Confusion, Errors, Scores, evaluate


def predictions(*values: object) -> pl.DataFrame:
    return pl.DataFrame({"prediction": values})


@pytest.mark.parametrize(
    ("truth", "dtype"),
    [([False, True, False, True], "bool"), (["no", "yes", "N", "Y"], "bool"), ([0, 1, 0, 1], "int8")],
)
def test_probabilities_of_two_classes(truth: list[object], dtype: str) -> None:
    found = evaluate(pl.Series(truth), predictions(0.1, 0.9, 0.5, 0.5), Column("late", dtype))

    assert isinstance(found, Scores)
    assert found.area == pytest.approx(0.875)  # of four pairs three are in order, and one is even
    assert found.brier == pytest.approx((0.01 + 0.01 + 0.25 + 0.25) / 4)
    assert found.confusion(0.5).counts == ((1, 1), (0, 2))
    assert found.confusion(0.95).counts == ((2, 0), (2, 0))
    assert found.curve[0] == (0.0, 0.0)
    assert found.curve[-1] == (1.0, 1.0)
    assert sum(rows for _, _, rows in found.groups) == 4


def test_one_class_alone_has_no_area() -> None:
    found = evaluate(pl.Series([True, True]), predictions(0.5, 0.6), Column("late", "bool"))

    assert isinstance(found, Scores)
    assert found.area is None


@pytest.mark.parametrize(
    ("truth", "predicted", "dtype", "labels"),
    [
        (["a", "b", "b"], predictions("a", "b", "a"), "string", ("a", "b")),
        ([1, 2, 2], predictions(1, 2, 1), "int64", ("1", "2")),
        ([True, False, False], predictions(True, False, True), "bool", ("false", "true")),
        (["a", "b", "b"], pl.DataFrame({"a": [0.9, 0.2, 0.8], "b": [0.1, 0.8, 0.2]}), "string", ("a", "b")),
        ([0, 1, 1], pl.DataFrame({"p0": [0.9, 0.2, 0.8], "p1": [0.1, 0.8, 0.2]}), "int64", ("0", "1")),
    ],
)
def test_classes(truth: list[object], predicted: pl.DataFrame, dtype: str, labels: tuple[str, ...]) -> None:
    found = evaluate(pl.Series(truth), predicted, Column("species", dtype))

    assert isinstance(found, Confusion)
    assert found.labels == labels
    assert found.accuracy == pytest.approx(2 / 3)


def test_many_classes_are_cut_to_the_most_frequent() -> None:
    truth = pl.Series([f"class-{number:02}" for number in range(40)] + ["class-00"] * 5)

    found = evaluate(truth, truth.to_frame(), Column("species", "string"))

    assert isinstance(found, Confusion)
    assert len(found.labels) == 13
    assert found.labels[-1] == OTHERS
    assert sum(map(sum, found.counts)) == 45


def test_numbers() -> None:
    found = evaluate(pl.Series([1.0, 2.0, None, 3.0]), predictions(1.0, 2.0, 9.0, 6.0), Column("price", "float32"))

    assert isinstance(found, Errors)
    assert found.mean_absolute == 1.0
    assert found.root_mean_square == pytest.approx(3**0.5)
    assert found.explained == pytest.approx(1 - 3 / (2 / 3))
    assert found.pairs == ((1.0, 1.0), (2.0, 2.0), (3.0, 6.0))


@pytest.mark.parametrize(
    ("truth", "predicted", "dtype"),
    [
        ([None, None], predictions(0.1, 0.2), "bool"),
        ([1.0, 2.0], predictions("low", "high"), "float32"),
        ([1.0, 2.0], predictions([1.0], [2.0]), "float32"),
        (["a", "b"], pl.DataFrame({"p": [0.1, 0.2], "q": [0.1, 0.2], "r": [0.1, 0.2]}), "string"),
        ([True, False], predictions("perhaps", "no"), "bool"),
        ([1.0, 2.0], predictions(1.0, None), "float32"),
    ],
)
def test_other_forms_are_not_judged(truth: list[object], predicted: pl.DataFrame, dtype: str) -> None:
    assert evaluate(pl.Series(truth), predicted, Column("target", dtype)) is None
