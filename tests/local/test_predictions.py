"""Predictions stand beside their rows, also those that a container answers as JSON arrays, or it is said why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from cleanroom_algo.errors import PredictionsUnreadableError
from cleanroom_algo.local.objects.listing import objects_of
from cleanroom_algo.local.predictions import beside_inputs


def columns(folder: Path, answer: str) -> dict[str, list[object]]:
    (folder / "rows.csv").write_text("x\n1\n2\n3\n")
    (folder / "rows.csv.out").write_text(answer)
    asked, answered = objects_of(folder)
    table = beside_inputs(None, [(asked, answered)], has_header=True)
    assert table["x"].to_list() == [1, 2, 3]
    return table.drop("x").to_dict(as_series=False)


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("[0.5, 1, 2.5]\n", {"prediction": [0.5, 1, 2.5]}),
        ("[0.5, 1]\n[2.5]\n", {"prediction": [0.5, 1, 2.5]}),
        ('[\n  "a",\n  null,\n  "b"\n]', {"prediction": ["a", None, "b"]}),
        ("[[0.5, 1], [2, 3], [4, 5]]", {"prediction_0": [0.5, 2, 4], "prediction_1": [1, 3, 5]}),
        ('[{"score": 1}, {"score": 2.5}, {"score": 3}]', {"score": [1, 2.5, 3]}),
        ("[UNK] a\n[UNK]\nb\n", {"prediction": ["[UNK] a", "[UNK]", "b"]}),
    ],
    ids=["numbers", "two requests", "texts", "lists", "objects", "CSV"],
)
def test_arrays_have_an_item_for_each_row(tmp_path: Path, answer: str, found: dict[str, list[object]]) -> None:
    assert columns(tmp_path, answer) == found


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("[0.5, 1]", "rows.csv has 3 rows and 2 predictions"),
        ("[1, 2]\n[3, 4]\n[5, 6]", "rows.csv has 3 rows and 6 predictions"),
        ("[[1], [1, 2], []]", "the lists in the JSON array of rows.csv.out have 0 to 2 values"),
    ],
)
def test_arrays_that_do_not_fit_the_rows_are_refused(tmp_path: Path, answer: str, why: str) -> None:
    with pytest.raises(PredictionsUnreadableError, match=why):
        columns(tmp_path, answer)


def test_objects_with_other_columns_are_joined_by_name(tmp_path: Path) -> None:
    for name, rows in {"a.csv": "x,y,late\n1,2,0\n", "b.csv": "y,x\n4,3\n"}.items():
        (tmp_path / name).write_text(rows)
        (tmp_path / f"{name}.out").write_text("0.5\n")
    first, first_answer, second, second_answer = objects_of(tmp_path)
    table = beside_inputs(None, [(first, first_answer), (second, second_answer)], has_header=True)
    assert table.rows() == [(1, 2, 0, 0.5), (3, 4, None, 0.5)]
