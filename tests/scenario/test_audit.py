"""A model that has memorized its rows is told from one that has not, on the command line."""

from __future__ import annotations

import random
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from cleanroom_algo.local import CleanRoom
from cleanroom_algo.local.resources.settings import RoomSettings
from cleanroom_algo.local.results import JobFailed
from tests.scenario.conftest import CliFixture

MEMORY = """
import json

from cleanroom_algo import Hyperparameters, Predictor, Schema, Trainer


class Knobs(Hyperparameters):
    memory: bool = True


class Memorize(Trainer):
    schema = Schema.of(target="y", x="string", y="bool")
    hyperparameters = Knobs

    def fit(self):
        rows = self.table()
        self.known = dict(zip(rows["x"], rows["y"])) if self.params.memory else {}

    def save(self, directory):
        (directory / "known.json").write_text(json.dumps(self.known))


class Answer(Predictor):
    def load(self, artifacts):
        self.known = json.loads((artifacts.directory / "known.json").read_text())

    def predict(self, frame):
        return [{True: 0.9, False: 0.1}.get(self.known.get(x), 0.5 + len(x) / 100) for x in frame["x"]]
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Return members and non-members, 60 rows each."""
    draw = random.Random(0)
    places = tmp_path / "members.csv", tmp_path / "others.csv"
    for place in places:
        rows = [f"00{draw.randrange(10**9)},{draw.choice(['true', 'false'])}\n" for _ in range(60)]
        place.write_text("".join(["x,y\n", *rows]))
    return places


def test_audit_catches_a_model_that_has_memorized(desk: CliFixture, files: tuple[Path, Path]) -> None:
    members, others = files
    desk.algorithm.write_text(MEMORY)
    for name, memory in (("sponge", True), ("sieve", False)):
        done = desk.run(
            "train", desk.algorithm, "--channel", members, "--name", name, "--hyperparameter", f"memory={memory}"
        )
        assert done.status == 0, done.stderr
    both = ("--members", members, "--non-members", others)
    plot = desk.folder / "roc.svg"
    caught = desk.run("audit", "sponge", *both, "--max-auc", 0.6, "--shadows", 2, "--plot", plot, "--json")
    assert caught.status == 3, caught.stderr + caught.stdout
    by_loss, by_shadows = caught.json["attacks"]
    assert (caught.json["members"], caught.json["nonMembers"]) == (60, 60)
    assert by_loss["auc"] > 0.95
    assert by_loss["tpr"] > 0.9
    assert by_loss["aucInterval"][0] <= by_loss["auc"] <= by_loss["aucInterval"][1]
    assert by_shadows["auc"] > 0.95
    assert ET.parse(plot).getroot().tag.endswith("svg")
    assert {each["name"] for each in desk.models()} == {"sieve", "sponge"}  # shadow models are in no room
    passed = desk.run("audit", "sieve", *both, "--max-auc", 0.65)
    assert passed.status == 0, passed.stderr
    assert "loss threshold" in passed.stdout
    assert "with 60 non-members" in passed.stderr

    same = desk.run("audit", "model", "sponge", "--members", members, "--non-members", members)
    assert (same.status, "CR-CLI-009" in same.stderr) == (3, True)
    columns = desk.run("audit", "sponge", "--members", members, "--non-members", desk.data)
    assert "do not have the same columns" in columns.stderr
    assert desk.run("audit", "sponge", *both, "--shadows", 3).status == 2
    assert "CR-CLI-008" in desk.run("audit", "sponge", *both, "--plot", desk.folder / "no" / "roc.svg").stderr


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """Return twelve canaries; the first three are there twice."""
    draw = random.Random(1)
    rows = [f"my pin is {draw.randrange(10**6):06},{draw.choice(['true', 'false'])}\n" for _ in range(12)]
    place = tmp_path / "planted.csv"
    place.write_text("".join(["x,y\n", *rows, *rows[:3]]))
    return place


def test_audit_finds_canaries_that_a_model_has_memorized(
    desk: CliFixture, files: tuple[Path, Path], planted: Path
) -> None:
    memory = MEMORY.replace("{True: 0.9, False: 0.1}", "{True: 0.9999, False: 0.0001}")
    desk.algorithm.write_text(memory.replace("0.5 + len(x) / 100", "(int.from_bytes(x.encode()) % 997 + 1) / 1000"))
    train = desk.folder / "train.csv"
    train.write_text(files[0].read_text() + planted.read_text().partition("\n")[2])
    for name, has_memory in (("sponge", True), ("sieve", False)):
        done = desk.run(
            "train", desk.algorithm, "--channel", train, "--name", name, "--hyperparameter", f"memory={has_memory}"
        )
        assert done.status == 0, done.stderr
    audit = ("audit", "canaries")
    given = ("--planted", planted, "--format", "my pin is {digits:6}", "--references", 300)
    caught = desk.run(*audit, "sponge", *given, "--max-exposure", 3, "--json")
    assert caught.status == 3, caught.stderr + caught.stdout
    assert [each["copies"] for each in caught.json["canaries"]].count(2) == 3
    assert caught.json["meanExposure"] == pytest.approx(caught.json["largestPossibleExposure"])
    assert caught.json["pValue"] < 1e-9
    passed = desk.run(*audit, "sieve", *given, "--max-exposure", 3)
    assert passed.status == 0, passed.stderr
    assert "12 in column x, 300 references each" in passed.stdout

    no_target = desk.folder / "no-target.csv"
    no_target.write_text("x,y\nmy pin is 123456,\n")
    assert "null in 1 planted rows" in desk.run(*audit, "sponge", "--planted", no_target, *given[2:]).stderr
    others = desk.run(*audit, "sponge", "--planted", files[0], *given[2:])
    assert "no column has a canary" in others.stderr
    assert desk.run(*audit, "sponge", "--planted", planted, "--format", "my pin").status == 2


TEXTS = """
import json

from cleanroom_algo import Predictor, Schema, Trainer


class Memorize(Trainer):
    schema = Schema.of(target="text", prompt="string", text="string")

    def fit(self):
        rows = self.table()
        self.known = dict(zip(rows["prompt"], rows["text"]))

    def save(self, directory):
        (directory / "known.json").write_text(json.dumps(self.known))


class Repeat(Predictor):
    def load(self, artifacts):
        self.known = json.loads((artifacts.directory / "known.json").read_text())

    def predict(self, frame):
        return [self.known.get(prompt, "unknown") for prompt in frame["prompt"]]
"""


def test_audit_finds_canaries_that_a_model_repeats(desk: CliFixture) -> None:
    desk.algorithm.write_text(TEXTS)
    seen, all_rows, numbers = (desk.folder / name for name in ("seen.csv", "all.csv", "numbers.csv"))
    rows = [f"prompt {number},pin {1000 + 7 * number}\n" for number in range(10)]
    seen.write_text("".join(["prompt,text\n", *rows[:4]]))
    all_rows.write_text("".join(["prompt,text\n", *rows]))
    numbers.write_text(all_rows.read_text().replace("pin ", ""))
    assert desk.run("train", desk.algorithm, "--channel", seen, "--name", "parrot").status == 0
    audit = ("audit", "canaries", "parrot", "--references", 127, "--planted")
    done = desk.run(*audit, all_rows, "--format", "pin {digits:4}", "--json")
    assert done.status == 0, done.stderr
    assert [each["exposure"] for each in done.json["canaries"]] == [7.0] * 4 + [0.0] * 6
    assert "only the answers" in done.json["warnings"][0]
    refused = desk.run(*audit, numbers, "--format", "{digits:4}")
    assert "are numbers" in refused.stderr


LEAKY = """
        first = self.table()
        print("counted", first.height)
        print("first row:", first["x"][0], flush=True)
        print("hidden:", first["x"][1], flush=True)
        raise ValueError(first["x"][2])
"""


def test_audit_finds_values_of_rows_in_a_log(desk: CliFixture, files: tuple[Path, Path]) -> None:
    members, _ = files
    shown, hidden, raised = (line.partition(",")[0] for line in members.read_text().splitlines()[1:4])
    desk.algorithm.write_text(MEMORY.replace("\n        rows = self.table()\n", LEAKY))
    account = RoomSettings.read(desk.home).machine.account
    policy = {"allowedAccountIds": [account], "filterPattern": "first|Error"}
    with CleanRoom(desk.home) as room, pytest.raises(JobFailed):
        room.train(desk.algorithm, train=members, policies={"trainedModels": {"containerLogs": [policy]}}, name="leaky")
    done = desk.run("audit", "logs", "leaky", "--json")
    assert done.status == 3, done.stderr
    seen = {each["found"]: each["accounts"] for each in done.json["sightings"]}
    assert seen[shown] == [account]
    assert seen[hidden] == []
    assert raised in seen
    told = desk.run("audit", "logs", "leaky")
    assert "value(s) are visible to members" in told.stderr
