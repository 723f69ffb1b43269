"""The project file: found upwards, beaten by the command line, and checked."""

from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import run

FILE = """
[tool.cleanroom-algo]
algorithm = "algorithm.py"
home = "room"
name = "daily"
hosts = 2

[tool.cleanroom-algo.channels]
train = "train.csv"
validation = "s3://bucket/validation/"

[tool.cleanroom-algo.hyperparameters]
epochs = 3
layers = [4, 2]
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pyproject.toml").write_text(FILE)
    (tmp_path / "algorithm.py").write_text("")
    (tmp_path / "train.csv").write_text("x\n1\n")
    below = tmp_path / "below/further"
    below.mkdir(parents=True)
    (below.parent / "pyproject.toml").write_text("[project]\nname = 'other'\n")
    monkeypatch.chdir(below)
    monkeypatch.delenv("CLEANROOM_ALGO_HOME", raising=False)
    return tmp_path


def error_of(project: Path, old: str, new: str) -> dict[str, Any]:
    (project / "pyproject.toml").write_text(FILE.replace(old, new, 1))
    error: dict[str, Any] = run("train", "--json").json["error"]
    assert error["code"] == "CR-CLI-003"
    return error


def test_it_is_used_from_a_folder_below_and_the_command_line_wins(project: Path) -> None:
    local = ("--channel", f"validation={project / 'train.csv'}")
    done = run("train", "--print-request", *local)
    assert done.stderr.startswith(f"using [tool.cleanroom-algo] of {project / 'pyproject.toml'}\n")
    request = done.json
    assert (request["name"], request["resourceConfig"]["instanceCount"]) == ("daily", 2)
    assert [each["channelName"] for each in request["dataChannels"]] == ["train", "validation"]
    assert request["hyperparameters"] == {"epochs": "3", "layers": "[4, 2]"}
    assert (project / "room").is_dir()

    (project / "below/further/other.py").write_text("")
    words = ("other.py", "--name", "mine", "--hosts", 1, "--hyperparameter", "epochs=9")
    other = run("train", *words, *local, "--home", project / "elsewhere", "--print-request").json
    assert (other["name"], other["resourceConfig"]["instanceCount"]) == ("mine", 1)
    assert other["hyperparameters"] == {"epochs": "9", "layers": "[4, 2]"}
    name = "configuredModelAlgorithmAssociationArn"
    assert other[name] != request[name]
    assert (project / "elsewhere").is_dir()


def test_what_is_wrong_is_named_with_the_nearest_key(project: Path) -> None:
    misspelled = error_of(project, "hosts = 2", "host = 2\nInput_Mode = 'Pipe'")
    assert [each["path"] for each in misspelled["problems"]] == ["host", "Input_Mode"]
    assert misspelled["problems"][0]["message"] == "is not a key; did you mean 'hosts'?"
    assert "did you mean 'input-mode'?" in misspelled["problems"][1]["message"]
    assert error_of(project, "hosts = 2", "hosts = true")["problems"][0]["message"] == "is not a whole number"
    assert error_of(project, "hosts = 2", "hosts = 9")["problems"][0]["path"] == "hosts"
    assert error_of(project, '"train.csv"', "3")["problems"][0]["path"] == "channels.train"
    assert run("show").stderr.startswith("CR-CLI-003  ")  # every command that opens a room
    assert "is not a table" in str(error_of(project, FILE, "[tool]\ncleanroom-algo = 1\n"))
    assert "is not TOML" in error_of(project, "hosts = 2", "hosts = ")["what"]
