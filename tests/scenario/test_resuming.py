"""`train --resume`: a job that was killed continues after its last whole epoch, and ends with the same bits."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from cleanroom_algo.errors.exit_codes import ExitCode
from tests.cli.support import Done, run
from tests.training.support import act_at, algorithm, csv_rows

WAIT_ONCE = """import pathlib, time
        mark = pathlib.Path({mark!r})
        if not mark.exists():
            mark.touch()
            print("waiting", flush=True)
            while not self.stopping:
                time.sleep(0.05)"""
EAGER = """
def save(self, directory):
    import sys
    assert "torch._dynamo" not in sys.modules, "importing it takes as long as torch, and nothing is compiled"
"""
IN_THE_SECOND_EPOCH = 20  # of 16 steps each


@dataclass
class Trial:
    """An algorithm that stops once in the second epoch of three, its data, and a room of process hosts."""

    folder: Path
    code: Path
    data: Path
    home: Path

    def words(self, *more: object) -> list[str]:
        options = ("--hyperparameter", "epochs=3", "--hyperparameter", "batch_size=64")
        return [str(word) for word in ("train", self.code, "--channel", f"train={self.data}", *options, *more)]

    def train(self, *words: object) -> Done:
        return run(*words, "--home", self.home)

    def start(self) -> subprocess.Popen[str]:
        """Start the command and return it once the algorithm waits in the second epoch."""
        command = subprocess.Popen(
            [sys.executable, "-m", "cleanroom_algo.cli", *self.words("--home", self.home)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        assert command.stderr is not None
        assert any("waiting" in line for line in command.stderr)
        return command

    def weights(self) -> dict[str, bytes]:
        """Return the tensors of the newest artifacts."""
        archive = max(self.home.glob("models/*/model.tar.gz"), key=lambda path: path.stat().st_mtime_ns)
        with tarfile.open(archive) as tar:
            files = {each.name: tar.extractfile(each) for each in tar if each.name.endswith(".safetensors")}
            return {name: file.read() for name, file in files.items() if file is not None}


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    data = tmp_path / "data"
    data.mkdir()
    for name, seed in (("a.csv", 0), ("b.csv", 1)):
        (data / name).write_text(csv_rows(500, seed))
    waiting = act_at(IN_THE_SECOND_EPOCH, WAIT_ONCE.format(mark=str(tmp_path / "mark")))
    code = algorithm(tmp_path / "code", waiting + EAGER)
    home = tmp_path / "home"
    home.mkdir()
    (home / "settings.toml").write_text('[machine]\nhost_kind = "process"\n')
    return Trial(tmp_path, code, data, home)


def kill(command: subprocess.Popen[str]) -> None:
    processes = psutil.Process(command.pid).children(recursive=True)
    command.kill()
    command.communicate()
    assert not psutil.wait_procs(processes, timeout=60)[1]


def test_a_job_that_was_killed_goes_on_to_the_same_bits(trial: Trial) -> None:
    kill(trial.start())

    resumed = trial.train("train", "--resume", "late-algorithm")

    assert resumed.status == ExitCode.OK, resumed.stderr
    assert "continuing from checkpoint epoch-00001" in resumed.stderr
    weights = trial.weights()
    assert weights
    assert trial.train(*trial.words("--name", "whole")).status == ExitCode.OK  # the mark is there: it runs through
    assert trial.weights() == weights
    models = run("show", "--json", "--home", trial.home).json["trainedModels"]
    killed, went_on, whole = models
    assert (killed["status"], went_on["status"]) == ("CREATE_FAILED", "ACTIVE")
    assert went_on["resumedFrom"] == killed["trainedModelArn"]
    assert "resumedFrom" not in whole
    assert went_on["hyperparameters"] == killed["hyperparameters"]


def test_an_interrupted_command_says_how_to_go_on_and_what_changed_is_refused(trial: Trial) -> None:
    command = trial.start()
    command.send_signal(2)
    _, told = command.communicate(timeout=120)
    assert "cleanroom-algo train --resume late-algorithm" in told
    shown = run("show", "late-algorithm", "--home", trial.home).stdout
    assert "fix       continue it with `train --resume late-algorithm`, or start it again\n" in shown
    assert f"resume    cleanroom-algo train --resume late-algorithm --home {trial.home}\n" in shown

    (trial.data / "b.csv").write_text(csv_rows(500, 2))
    objects = trial.train("train", "--resume", "late-algorithm")
    trial.code.write_text(trial.code.read_text() + "# another\n")
    both = trial.train("train", "--resume", "late-algorithm")

    assert (objects.status, both.status) == (ExitCode.CONTRACT, ExitCode.CONTRACT)
    assert "CR-JOB-307" in objects.stderr
    assert "the objects of the channels: has changed" in " ".join(objects.stderr.split())
    assert "the sources" not in objects.stderr
    assert "the sources of the algorithm" in both.stderr


def test_what_has_no_checkpoint_or_says_more_is_refused(trial: Trial, tmp_path: Path) -> None:
    (trial.data / "b.csv").write_text("no,rows\n")
    assert trial.train(*trial.words()).status != ExitCode.OK

    nothing = trial.train("train", "--resume", "late-algorithm")
    more = trial.train("train", "--resume", "late-algorithm", "--hosts", "2")

    assert "left no checkpoint" in nothing.stderr
    assert (nothing.status, more.status) == (ExitCode.CONTRACT, ExitCode.USAGE)
    assert "--hosts" in more.stderr
