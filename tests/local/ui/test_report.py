"""Reports: one file without scripts, and without rows unless they are asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.errors import OutputUnwritableError
from cleanroom_algo.local.ui.report import report_of
from tests.cli.support import run
from tests.local.support import RoomFixture
from tests.local.ui.support import add_model, add_predictions

SCHEMA = Schema.of(target="kind", carrier="string", miles="float32", kind="string")
CLASSES = ("canary-red", "canary-blue", "canary-green")
ROWS = "carrier,miles,kind\n" + "".join(f"canary-{n},{700 + n}.125,{CLASSES[n % 3]}\n" for n in range(120))
CANARIES = ("canary", "700.125", "0.98765")


def report(desk: RoomFixture, target: str, answers: str, rows: str = ROWS, *, with_rows: bool = False) -> str:
    schema = Schema.of(target="kind", carrier="string", miles="float32", kind=target)
    job = add_predictions(desk, add_model(desk, schema), rows, answers)
    return report_of(desk.room.workspace, job, with_rows=with_rows)


def test_no_row_is_in_a_report_unless_asked_for(desk: RoomFixture) -> None:
    answers = "".join(f"{CLASSES[n % 2]}\n" for n in range(120))

    page = report(desk, "string", answers)

    assert "class 2" in page
    assert "value 1" in page
    assert "Accuracy" in page
    assert not [each for each in CANARIES if each in page]


def test_rows_are_in_a_report_that_is_to_have_them(desk: RoomFixture) -> None:
    answers = "".join(f"{CLASSES[n % 2]}\n" for n in range(120))

    page = report(desk, "string", answers, with_rows=True)

    assert "canary-red" in page
    assert "700.125" in page
    assert "class 2" not in page


def test_numbers_are_judged_without_points(desk: RoomFixture) -> None:
    rows = "carrier,miles,kind\n" + "".join(f"canary-{n},{700 + n}.125,{n}.98765\n" for n in range(120))

    page = report(desk, "float32", "0.98765\n" * 120, rows)

    assert "Mean absolute error" in page
    assert "Distribution of prediction" in page
    assert "<circle" not in page
    assert not [each for each in CANARIES if each in page]


def test_few_rows_have_no_statistics(desk: RoomFixture) -> None:
    rows = "carrier,miles,kind\ncanary-0,700.125,true\ncanary-1,701.125,false\n"

    page = report(desk, "bool", "0.98765\n0.5\n", rows)

    assert "statistics begin with 100 rows" in page
    assert not [each for each in (*CANARIES, "ROC", "Brier") if each in page]


def test_a_failure_is_told_without_what_it_may_quote(desk: RoomFixture) -> None:
    details = {"statusCode": "AlgorithmError", "message": "AlgorithmError: ValueError: canary-7 is no number"}
    model = desk.add_model(1, status="CREATE_FAILED")
    record = desk.room.store.update(model, document={"statusDetails": details})

    assert "ValueError" in (short := report_of(desk.room.workspace, record, with_rows=False))
    assert "canary" not in short
    assert "canary-7" in report_of(desk.room.workspace, record, with_rows=True)


def test_a_report_of_a_model_needs_nothing_else(desk: RoomFixture, tmp_path: Path) -> None:
    model = add_model(desk, SCHEMA)
    home, path = desk.room.workspace.files.home, tmp_path / "report.html"

    done = run("report", model.name, "--home", str(home), "-o", str(path), "--json")

    assert json.loads(done.stdout) == {"report": str(path)}
    page = path.read_text()
    assert "epoch train loss" in page
    assert "--accent" in page
    assert not [word for word in ("<script", "href=", "src=", "http://", "https://", "url(") if word in page]


@pytest.mark.parametrize("output", ["missing/report.html", "."])
def test_what_cannot_be_written_is_explained(desk: RoomFixture, tmp_path: Path, output: str) -> None:
    model = add_model(desk, SCHEMA)
    home = desk.room.workspace.files.home

    done = run("report", model.name, "--home", str(home), "-o", str(tmp_path / output), "--json")

    assert done.status == OutputUnwritableError.exit_code
    assert json.loads(done.stdout)["error"]["code"] == OutputUnwritableError.code
    assert "cannot be written" in json.loads(done.stdout)["error"]["what"]
