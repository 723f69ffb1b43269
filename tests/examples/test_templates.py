"""Each project of `init` trains and predicts as it is: its own test passes, and its requests are the service's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cleanroom_algo.local.templates import templates
from tests.cli.support import run


@pytest.mark.parametrize("template", templates())
def test_a_project_passes_its_own_test(tmp_path: Path, template: str) -> None:
    project = tmp_path / "my-Project"
    made = run("init", project, "--template", template, "--json")
    assert made.status == 0, made.stderr
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )
    assert tested.returncode == 0, tested.stdout

    subprocess.run([sys.executable, "make_data.py"], cwd=project, check=True, timeout=60)
    bound = ("--algorithm", project / "algorithm", "--channel", f"train={project / 'data/train'}")
    planned = run("plan", "--request", project / "request.json", *bound, "--home", tmp_path / "home", "--json")
    assert planned.status == 0, planned.stderr
    assert json.loads((project / "request.json").read_text())["name"] == "my-project"
    readme = (project / "README.md").read_text()
    assert "$" not in readme
    assert "cleanroom-algo train algorithm --name my-project --channel train=data/train" in readme


def test_what_init_refuses(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    for words, status, what in (
        ((tmp_path, "--template", "tabular"), 2, "is there already"),
        ((tmp_path / "new", "--template", "tabluar"), 2, "did you mean 'tabular'?"),
        ((tmp_path / "new",), 2, "no template is named"),
    ):
        done = run("init", *words)
        assert done.status == status, done.stderr
        assert what in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert run("init", "--list", "--json").json[0].keys() == {"name", "about"}
