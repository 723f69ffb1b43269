"""Each project of `init` trains and predicts as it is: its own test passes, and its requests are the service's."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from itertools import takewhile
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest

from cleanroom_algo.contract.algorithm import find_class, load_algorithm
from cleanroom_algo.local.templates import templates
from cleanroom_algo.serving.predictor import Predictor
from cleanroom_algo.testing import TrainerRun, load_predictor, predict, run_trainer
from cleanroom_algo.training.trainer import Trainer
from tests.cli.support import run

IN_CONTAINERS = ("own-server", "script", "xgboost")
"""Programs of one's own, a script, two hosts of boosted trees. Our loop is in those of the printed commands."""


class InProcess:
    """What the projects' tests use of `clean_room`, without containers."""

    def train(
        self,
        algorithm: str,
        train: pl.DataFrame,
        *,
        base_model: TrainerRun | None = None,
        hyperparameters: dict[str, object] | None = None,
        **_: object,
    ) -> TrainerRun:
        trainer = find_class(load_algorithm(Path(algorithm)), Trainer)
        return run_trainer(trainer, train=train, base_model=base_model, hyperparameters=hyperparameters)

    def infer(self, model: TrainerRun, data: pl.DataFrame) -> SimpleNamespace:
        predictor = load_predictor(find_class(load_algorithm(Path("algorithm")), Predictor), model)
        return SimpleNamespace(predictions=predict(predictor, data), warnings=[])


def make_project(folder: Path, template: str) -> Path:
    project = folder / "my-Project"
    made = run("init", project, "--template", template, "--json")
    assert made.status == 0, made.stderr
    return project


@pytest.mark.parametrize("template", IN_CONTAINERS)
def test_a_project_passes_its_own_test(tmp_path: Path, template: str) -> None:
    # Found by itself, as in tests/testing/test_plugin.py, pytest rewrites the asserts of the whole package first.
    plugins = ("--disable-plugin-autoload", "-p", "cleanroom-algo", "-p", "no:cacheprovider")
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", *plugins],
        cwd=make_project(tmp_path, template),
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )
    assert tested.returncode == 0, tested.stdout


@pytest.mark.parametrize("template", sorted(templates().keys() - set(IN_CONTAINERS)))
def test_a_project_passes_its_own_test_in_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, template: str
) -> None:
    project = make_project(tmp_path, template)
    monkeypatch.chdir(project)
    monkeypatch.syspath_prepend(project)
    monkeypatch.delitem(sys.modules, "make_data", raising=False)
    (test,) = (each for name, each in runpy.run_path("test_algorithm.py").items() if name.startswith("test_"))
    monkeypatch.delitem(sys.modules, "make_data")

    test(InProcess())


@pytest.mark.parametrize("template", templates())
def test_the_requests_of_a_project_are_those_of_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, template: str
) -> None:
    project = make_project(tmp_path, template)
    monkeypatch.chdir(project)
    runpy.run_path("make_data.py", run_name="__main__")

    if template in ("script", "tabular"):  # of a Trainer, the same for all
        bound = ("--algorithm", project / "algorithm", "--channel", f"train={project / 'data/train'}")
        planned = run("plan", "--request", project / "request.json", *bound, "--home", tmp_path / "home", "--json")
        assert planned.status == 0, planned.stderr
    assert json.loads((project / "request.json").read_text())["name"] == "my-project"
    readme = (project / "README.md").read_text()
    assert "$" not in readme
    assert "cleanroom-algo train algorithm --name my-project --channel train=data/train" in readme


@pytest.mark.process
@pytest.mark.parametrize("template", ["script", "tabular"])  # with an option, and without
def test_the_printed_commands_work(tmp_path: Path, template: str) -> None:
    made = run("init", tmp_path / "my project", "--template", template)
    trained = shell(tmp_path, next_of(made.stderr))
    rows = (tmp_path / "my project/data/new/part-0.csv").read_text().splitlines()
    predicted = trained.stdout.splitlines()[-len(rows) :]
    assert predicted[0] == f"{rows[0]},prediction"

    show, infer, page = next_of(trained.stderr)
    again = shell(tmp_path, [show, infer.replace("NEW_ROWS.csv", "'my project/data/new'")])
    assert again.stdout.splitlines()[-len(rows) :] == predicted
    assert page == "cleanroom-algo ui"


def next_of(talk: str) -> list[str]:
    """Return the commands that a command suggests, the first time that it does."""
    lines = talk.partition("\nNext:\n")[2].splitlines()
    return [line.strip() for line in takewhile(lambda line: line.startswith("  "), lines)]


def shell(folder: Path, commands: list[str]) -> subprocess.CompletedProcess[str]:
    """Run commands as they would be pasted."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-ec", "\n".join(commands)],
        cwd=folder,
        env=os.environ | {"PATH": path, "CLEANROOM_ALGO_HOME": str(folder / "home")},
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_what_init_refuses(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    for words, status, what in (
        ((tmp_path, "--template", "tabular"), 2, "already exists"),
        ((tmp_path / "new", "--template", "tabluar"), 2, "did you mean 'tabular'?"),
        ((tmp_path / "new",), 2, "the template is missing"),
    ):
        done = run("init", *words)
        assert done.status == status, done.stderr
        assert what in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert run("init", "--list", "--json").json[0].keys() == {"name", "about"}
