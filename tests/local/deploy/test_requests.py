"""Requests that repeat local jobs, as a Python script and as commands of a shell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cleanroom_algo.local.deploy.api_calls import job_call
from cleanroom_algo.local.deploy.scripts import python_script, shell_script, unknown_values
from cleanroom_algo.local.resources.arns import EXPORT_JOB, TRAINED_MODEL
from cleanroom_algo.local.service_model.shapes import ML, operation_model
from cleanroom_algo.local.service_model.validation import faults
from tests.cli.support import run
from tests.local.deploy.support import MEMBERSHIP, ODD_LINE, ODD_TEXT, RecordingClient, odd_jobs, record, store_in

VERSION = "0a1b2c3d-0000-4000-8000-0123456789ab"


@pytest.mark.process  # a shell
def test_both_forms_send_what_was_asked_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with store_in(tmp_path) as store:
        model, _ = odd_jobs(store)
        call = job_call(store, model)
    values = {each.name: each.example for each in unknown_values([call])}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    client = RecordingClient()
    monkeypatch.setitem(sys.modules, "boto3", SimpleNamespace(client=lambda _: client))
    exec(compile(python_script([call], "Repeats it.", outputs={}), "call.py", "exec"), {})
    (sent, _) = client.calls.values()
    assert sent["hyperparameters"] == {ODD_LINE: ODD_LINE, "accountId": MEMBERSHIP}
    assert sent["environment"] == {"X": ODD_TEXT}
    assert sent["configuredModelAlgorithmAssociationArn"] == values["ASSOCIATION_CF2ABF_ARN"]
    assert "mlModelTrainingPayerAccountId" not in sent
    aws = f"#!{sys.executable}\nimport sys, json; print(json.dumps(sys.argv[1:]))\n"
    (tmp_path / "aws").write_text(aws)
    (tmp_path / "aws").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = ["sh", "-euc", shell_script([call])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    words = json.loads(done.stdout)
    assert words[:3] == ["cleanroomsml", "create-trained-model", "--cli-input-json"]
    assert json.loads(words[3]) == sent
    del environment["MEMBERSHIP_IDENTIFIER"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "MEMBERSHIP_IDENTIFIER: identifier of the membership of the caller" in done.stderr


def test_versions_and_exports_name_what_they_start_from(tmp_path: Path) -> None:
    with store_in(tmp_path) as store:
        model, _ = odd_jobs(store)
        later = record(store, TRAINED_MODEL, "later", model.parent, VERSION, **model.document)
        base = {"key": model.key, "version": None, "channelName": "base"}
        later = store.update(later, private={"base": base})
        request = job_call(store, later).params["incrementalTrainingDataChannels"]
        assert [(name, getattr(value, "name", value)) for name, value in request[0].items()] == [
            ("trainedModelArn", "MODEL_A_MODEL_X_6B8E4E_ARN"),
            ("channelName", "base"),
        ]
        members = {"members": [{"accountId": "111111111111"}]}
        own: dict[str, Any] = {
            "trainedModelArn": later.key,
            "trainedModelVersionIdentifier": VERSION,
            "outputConfiguration": members,
        }
        export = job_call(store, record(store, EXPORT_JOB, "export", later.key, **own))
    assert [each.name for each in unknown_values([export])] == [
        "MODEL_LATER_ARN",
        "VERSION_0A1B2C3D",
        "ACCOUNT",
        "MEMBERSHIP_IDENTIFIER",
    ]
    values = {each.name: each.example for each in unknown_values([export])}
    shape = operation_model(ML, "StartTrainedModelExportJob").input_shape
    text = shell_script([export]).partition("--cli-input-json ")[2].strip().strip("'")
    for name, value in values.items():
        text = text.replace(f"'\"${name}\"'", value)
    assert faults(shape, json.loads(text)) == ()


def test_the_command_prints_both_forms(tmp_path: Path) -> None:
    with store_in(tmp_path) as store:
        odd_jobs(store)
    done = run("deploy", "request", "job", "--home", tmp_path)
    assert "ml.start_trained_model_inference_job(" in done.stdout
    assert "aws cleanroomsml start-trained-model-inference-job" in done.stdout
    found = run("deploy", "request", "job", "--json", "--home", tmp_path).json
    assert found["parameters"]["membershipIdentifier"] == "<MEMBERSHIP_IDENTIFIER>"
    assert run("deploy", "request", "nothing", "--home", tmp_path).status == 2
