"""An algorithm that cannot be imported is reported with the file, the line and the reason, before anything starts."""

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
        ("1 / 0", "ZeroDivisionError: division by zero"),
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


def test_the_place_is_the_line_that_imports(tmp_path: Path) -> None:
    write(tmp_path, imports="import helper").rename(tmp_path / "algorithm.py")
    (tmp_path / "helper.py").write_text("\nimport no_such_module\n")

    found = run("check", tmp_path, "--json").json["findings"]

    assert [each["where"] for each in found if each["name"] == "import"] == ["helper.py:2"]


def test_an_import_that_ends_python_is_reported(tmp_path: Path) -> None:
    file = write(tmp_path, imports="import os; os._exit(7)")

    (found,) = (each for each in run("check", file, "--json").json["findings"] if each["name"] == "import")

    assert found["what"] == "Python ended with status 7 while it was imported"
