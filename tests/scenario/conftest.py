"""A newcomer's folder: an algorithm, a few part files, a state folder; and the command."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import Done, run

ALGORITHM = """
from pathlib import Path

from cleanroom_algo import Hyperparameters, Predictor, Schema, Trainer
from cleanroom_algo.channels.objects import list_objects
from cleanroom_algo.channels.modes.file import read_object


class Knobs(Hyperparameters):
    power: float = 1.0


class Mean(Trainer):
    schema = Schema.of(target="y", x="float64", label="string?", y="float64")
    hyperparameters = Knobs

    def fit(self):
        objects = list_objects(self.environment.channels["train"])
        rows = sum(batch.height for each in objects for batch in read_object(each, self.schema, batch_rows=100))
        print(f"read {rows} rows")
        self.rows = rows
        {fit}

    def save(self, directory):
        (directory / "rows.txt").write_text(str(self.rows))
        {save}


class Half(Predictor):
    def predict(self, frame):
        return frame["x"] / 2
"""


@dataclass
class CliFixture:
    """Where a newcomer works.

    Attributes:
        folder: everything below it.
        home: the state folder.
        algorithm: the file of an algorithm that needs no torch.
        data: a folder of three part files, 40 rows in all.
    """

    folder: Path
    home: Path
    algorithm: Path
    data: Path

    def run(self, verb: str, *words: object) -> Done:
        """Call the command on this desk's state folder."""
        return run(verb, *words, "--home", self.home)

    def run_on(self, kind: str) -> None:
        """Let jobs run on a kind of hosts."""
        self.home.mkdir()
        (self.home / "settings.toml").write_text(f'[machine]\nhost_kind = "{kind}"\n')

    def train(self, *words: object) -> Done:
        """Train on the quick path."""
        return self.run("train", self.algorithm, "--channel", f"train={self.data}", *words)

    def models(self) -> list[dict[str, Any]]:
        """Return the records of all models and versions."""
        shown: list[dict[str, Any]] = self.run("show", "--json").json["trainedModels"]
        return shown

    def model(self) -> dict[str, Any]:
        """Return the only record."""
        (only,) = self.models()
        return only

    def artifacts(self) -> list[Path]:
        """Return every packed artifact, whole or not, below the state folder."""
        return [path for path in self.home.rglob("*") if "model.tar.gz" in path.name]


@pytest.fixture
def desk(tmp_path: Path) -> CliFixture:
    """Return a desk with a working algorithm."""
    return make_desk(tmp_path)


@pytest.fixture
def desk_with(tmp_path: Path) -> Callable[..., CliFixture]:
    """Return a function that makes a desk whose algorithm does something of its own at the end of fit or save."""
    return lambda **code: make_desk(tmp_path, **code)


def make_desk(folder: Path, fit: str = "", save: str = "") -> CliFixture:
    data = folder / "data"
    data.mkdir()
    for part, rows in enumerate((20, 15, 5)):
        lines = [f"{part}.{row},{'a' if row % 2 else ''},{row}\n" for row in range(rows)]
        (data / f"part-{part:05}.csv").write_text("".join(["x,label,y\n", *lines]))
    algorithm = folder / "mean_algorithm.py"
    indented = {
        name: textwrap.indent(textwrap.dedent(code), " " * 8).strip() for name, code in (("fit", fit), ("save", save))
    }
    algorithm.write_text(ALGORITHM.replace("{fit}", indented["fit"]).replace("{save}", indented["save"]))
    return CliFixture(folder, folder / "home", algorithm, data)
