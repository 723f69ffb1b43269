"""What goes wrong ends with a code, a FAILED record with the true reason, a status, and no artifact."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cleanroom_algo.errors.exit_codes import ExitCode
from tests.cli.support import Done, run
from tests.scenario.conftest import CliFixture

ARN = "arn:aws:cleanrooms-ml:us-east-1:111122223333:membership/00000000-0000-4000-8000-000000000001"
CHANNEL = f"{ARN}/ml-input-channel/00000000-0000-4000-8000-000000000002"


def request(**changed: Any) -> dict[str, Any]:
    return {
        "membershipIdentifier": "00000000-0000-4000-8000-000000000001",
        "name": "delays",
        "configuredModelAlgorithmAssociationArn": f"{ARN}/configured-model-algorithm-association/"
        "00000000-0000-4000-8000-000000000003",
        "resourceConfig": {"instanceCount": 1, "instanceType": "ml.m5.2xlarge", "volumeSizeInGB": 1},
        "dataChannels": [{"mlInputChannelArn": CHANNEL, "channelName": "train"}],
        "trainingInputMode": "File",
        **changed,
    }


def send(desk: CliFixture, parameters: object, *words: object) -> Done:
    path = desk.folder / "request.json"
    path.write_text(parameters if isinstance(parameters, str) else json.dumps(parameters))
    bound = ("--algorithm", desk.algorithm, "--channel", f"train={desk.data}")
    return desk.run("train", "--request", path, *(words or bound))


BASE = {"trainedModelArn": f"{ARN}/trained-model/00000000-0000-4000-8000-000000000004"}
WRONG_REQUESTS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "unknown field": (request(nmae="x"), ["nmae"]),
    "bad enum": (request(trainingInputMode="Fille"), ["trainingInputMode"]),
    "21 channels": (
        request(dataChannels=[{"mlInputChannelArn": CHANNEL, "channelName": f"c{n}"} for n in range(21)]),
        ["dataChannels"],
    ),
    "two incremental channels": (
        request(incrementalTrainingDataChannels=[{**BASE, "channelName": name} for name in ("a", "b")]),
        ["incrementalTrainingDataChannels"],
    ),
    "two faults": (
        request(trainingInputMode="x", resourceConfig={"instanceCount": 6, "instanceType": "ml.m5.2xlarge"}),
        ["trainingInputMode", "resourceConfig.instanceCount", "resourceConfig.volumeSizeInGB"],
    ),
}


@pytest.mark.parametrize("name", WRONG_REQUESTS)
def test_a_wrong_request_names_all_its_faults(desk: CliFixture, name: str) -> None:
    parameters, paths = WRONG_REQUESTS[name]
    done = send(desk, parameters)
    assert done.status == ExitCode.CONTRACT, done.stderr
    assert "CR-REQ-" in done.stderr
    for path in paths:
        assert path in done.stderr
    assert desk.models() == []


def test_a_channel_that_nobody_has(desk: CliFixture) -> None:
    done = send(desk, request(), "--algorithm", desk.algorithm)
    assert done.status == ExitCode.CONTRACT, done.stderr
    assert "train" in done.stderr or CHANNEL in done.stderr
    assert desk.models() == []


def test_a_channel_folder_that_is_not_there(desk: CliFixture) -> None:
    done = desk.run("train", desk.algorithm, "--channel", "train=nowhere")
    assert done.status == ExitCode.USAGE
    assert "CR-CLI-003" in done.stderr


@pytest.mark.parametrize("text", ["{", "[]", '{"a": }'])
def test_a_request_that_is_no_json_object(desk: CliFixture, text: str) -> None:
    done = send(desk, text)
    assert done.status == ExitCode.USAGE
    assert "CR-CLI-003" in done.stderr


def test_an_algorithm_that_is_not_there(desk: CliFixture) -> None:
    done = desk.run("train", desk.folder / "nothing.py", "--channel", f"train={desk.data}")
    assert done.status == ExitCode.CONTRACT
    assert "CR-CON-004" in done.stderr
    assert desk.models() == []


def failed(desk: CliFixture, done: Done) -> str:
    """Check that a job failed and left no artifact; return its reason."""
    record = desk.model()
    assert record["status"] == "CREATE_FAILED"
    assert desk.artifacts() == []
    reason: str = record["statusDetails"]["message"]
    assert reason.splitlines()[0].removeprefix("AlgorithmError: ") in done.stderr
    return reason


def refused(desk: CliFixture, done: Done) -> str:
    """Check that a job did not start and left no record; return what was said."""
    assert desk.models() == []
    assert "cleanroom-algo logs" not in done.stderr
    return done.stderr


def test_a_wrong_hyperparameter(desk: CliFixture) -> None:
    done = desk.train("--hyperparameter", "powre=2", "--hyperparameter", "power=secret-word")
    assert done.status == ExitCode.CONTRACT, done.stderr
    reason = refused(desk, done)
    assert reason.count("CR-CON-002  ") == 1
    assert "did you mean 'power'" in reason
    assert "secret-word" not in done.stderr


def test_a_wrong_row(desk: CliFixture) -> None:
    (desk.data / "part-00001.csv").write_text("x,label,y\n1,a,2\nsecret-word,a,3\n")
    done = desk.train()
    assert done.status == ExitCode.CONTRACT, done.stderr
    reason = failed(desk, done)
    assert "CR-SCH-002" in reason
    assert "part-00001.csv:3" in reason
    assert "secret-word" not in done.stderr + reason


def test_an_algorithm_that_raises(desk_with: Callable[..., CliFixture]) -> None:
    desk = desk_with(fit="raise RuntimeError('no such luck')")
    done = desk.train()
    assert done.status == ExitCode.ALGORITHM_FAILED, done.stderr
    reason = failed(desk, done)
    assert "RuntimeError" in reason
    assert "mean_algorithm.py" in reason


def test_an_algorithm_that_is_killed(desk_with: Callable[..., CliFixture]) -> None:
    desk = desk_with(fit="import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    desk.run_on("process")  # in a sandbox it is process 1, which its own signals do not reach
    done = desk.train()
    assert done.status == ExitCode.ALGORITHM_FAILED, done.stderr
    assert "SIGKILL" in failed(desk, done) or "137" in failed(desk, done)


def on_a_disk_with(largest_file: int, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command that can write no file of more bytes, as on a full disk."""
    return subprocess.run(
        [sys.executable, "-m", "cleanroom_algo.cli", *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, resource.RLIM_INFINITY)),
    )


def test_a_channel_for_which_the_disk_has_no_room(desk: CliFixture) -> None:
    (desk.data / "part-00003.csv").write_text("x,label,y\n" + "1,a,2\n" * 700_000)
    words = ["train", str(desk.algorithm), "--channel", f"train={desk.data}", "--home", str(desk.home)]
    done = on_a_disk_with(3_000_000, *words)
    assert done.returncode == ExitCode.CONTRACT, done.stderr
    record = desk.model()
    assert (record["status"], record["statusDetails"]["statusCode"]) == ("CREATE_FAILED", "CR-JOB-304")
    assert "Traceback" not in done.stderr
    assert not [path for path in desk.home.rglob("*") if path.name.startswith("part-")]


def test_outputs_for_which_the_disk_has_no_room(desk: CliFixture) -> None:
    assert desk.train().status == ExitCode.OK
    (desk.data / "part-00003.csv").write_text("x,label,y\n" + "1,a,2\n" * 400_000)
    words = ["infer", desk.algorithm.stem.replace("_", "-"), "--channel", str(desk.data), "--home", str(desk.home)]
    done = on_a_disk_with(1_000_000, *words)
    assert done.returncode == ExitCode.CONTRACT, done.stderr
    assert "CR-JOB-304" in done.stderr
    assert not list(desk.home.rglob("*.out*"))


@pytest.mark.parametrize(
    ("words", "fix"), [("partner", "`cleanroom-algo show`"), ("partner.tar.gz", "--channel base=FOLDER")]
)
def test_a_base_model_that_is_not_in_the_room(desk: CliFixture, words: str, fix: str) -> None:
    done = desk.train("--base-model", words)
    assert done.status == ExitCode.USAGE
    assert fix in next(line for line in done.stderr.splitlines() if line.startswith("  fix"))


def test_an_algorithm_that_does_not_import(desk: CliFixture) -> None:
    desk.algorithm.write_text("import no_such_module_at_all\n")
    done = desk.train()
    assert done.status == ExitCode.ALGORITHM_FAILED, done.stderr
    assert "fix       install no_such_module_at_all" in refused(desk, done)


def test_metric_definitions_of_an_algorithm_that_does_not_import(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("x = 1\nraise ValueError('because')\n")
    done = run("metric-definitions", broken)
    assert done.status == ExitCode.ALGORITHM_FAILED
    assert "broken.py:2" in done.stderr


def test_metric_definitions_of_names_that_cannot_be_registered(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    many = "class Many(cleanroom_algo.Trainer):\n    logged_names = ['a b', '9', *(f'm{n}' for n in range(40))]\n"
    wrong.write_text(f"import cleanroom_algo\n\n{many}")
    done = run("metric-definitions", wrong)
    assert done.status == ExitCode.CONTRACT
    assert "CR-TRN-005" in done.stderr
    for problem in ("'a b'", "'9'", "metrics"):
        assert problem in done.stderr
