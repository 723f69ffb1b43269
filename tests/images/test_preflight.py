"""What would end a job before its first step is reported with the file, the line and the reason, before it starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from cleanroom_algo.errors.exit_codes import ExitCode
from tests.cli.support import run
from tests.images.test_check import write


@pytest.mark.parametrize(
    ("imports", "what"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_check_and_plan_say_where_and_why(tmp_path: Path, imports: str, what: str) -> None:
    file = write(tmp_path, imports=imports)
    data = tmp_path / "data.csv"
    data.write_text("1,2\n")

    checked = run("check", file, "--json")
    planned = run("plan", file, "--channel", f"train={data}", "--json", "--home", tmp_path / "home")

    assert checked.status == ExitCode.CONTRACT
    found = {each["name"]: each for each in checked.json["findings"]}["import"]
    assert (found["severity"], found["where"], found["what"]) == ("error", "mine.py:3", what)
    assert planned.status == ExitCode.ALGORITHM_FAILED
    assert planned.json["error"]["code"] == "CR-CLI-004"
    assert planned.json["error"]["what"] == f"mine.py:3: {what}"


def test_an_algorithm_of_one_file_has_no_neighbors(tmp_path: Path) -> None:
    file = write(tmp_path, imports="import helper")
    (tmp_path / "helper.py").write_text("\nimport no_such_module\n")

    (alone,) = (each for each in run("check", file, "--json").json["findings"] if each["name"] == "import")
    assert alone["where"] == "mine.py:3"
    assert "helper is beside mine.py" in alone["fix"]
    file.rename(tmp_path / "algorithm.py")
    found = run("check", tmp_path, "--json").json["findings"]
    assert [each["where"] for each in found if each["name"] == "import"] == ["helper.py:2"]


def test_an_import_that_ends_python_is_reported(tmp_path: Path) -> None:
    file = write(tmp_path, imports="import os; os._exit(7)")

    (found,) = (each for each in run("check", file, "--json").json["findings"] if each["name"] == "import")

    assert found["what"] == "Python ended with status 7 while it was imported"


ROWS = """
from cleanroom_algo import Hyperparameters, Schema, Trainer
class Knobs(Hyperparameters):
    depth: int
class Mine(Trainer):
    schema = Schema.of(target="y", x="float32", y="bool")
    hyperparameters = Knobs
    {}
"""
LOOP = "def model(self): ...\n    def loss(self, model, batch): return self.params.depth"
OWN = "def fit(self): self.params.depth\n    def save(self, directory): ..."


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("x = 1", (), "algorithm defines 0 subclasses of Trainer"),
        (ROWS.format("epochs = 0"), ("--hyperparameter", "depth=1"), "Mine.model: is missing"),
        (ROWS.format(LOOP), ("--hyperparameter", "dept=1"), "did you mean 'depth'"),
        (ROWS.format(LOOP), ("--hyperparameter", "depth=1"), "train/data.csv:3:y: not of type bool"),
        (ROWS.format(OWN), ("--hyperparameter", "depth=1"), "if `fit` reads the channel by the schema"),
        (ROWS.replace('"y"', '"z"').format(LOOP), (), "target: 'z' is not a column"),
    ],
    ids=["no trainer", "no model", "hyperparameter", "rows", "own fit", "schema"],
)
def test_what_the_algorithm_declares_and_its_first_rows_are_checked(
    tmp_path: Path, text: str, options: tuple[str, ...], said: str
) -> None:
    (tmp_path / "algorithm.py").write_text(text)
    (tmp_path / "data.csv").write_text("x,y\n1,1\n2,maybe\n")
    words = (tmp_path, "--channel", f"train={tmp_path / 'data.csv'}", "--home", tmp_path / "home")

    planned = run("plan", *words, "--input-mode", "Pipe", *options)

    assert said in planned.stderr
    assert (planned.status == ExitCode.OK) == ("`fit`" in said)  # which may read the channel in its own way


def test_check_reads_channels_and_needs_no_hyperparameters(tmp_path: Path) -> None:
    (tmp_path / "algorithm.py").write_text(ROWS.format(LOOP))
    (tmp_path / "data.csv").write_text("x,y\n1,1\n2,maybe\n")

    done = run("check", tmp_path, "--only", "train", "--channel", tmp_path / "data.csv", "--json")

    (found,) = done.json["findings"]
    assert (found["severity"], found["name"]) == ("error", "schema")
    assert "train/data.csv:3:y: not of type bool: text" in found["what"]
