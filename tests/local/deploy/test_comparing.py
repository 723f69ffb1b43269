"""Responses of AWS beside those of a rehearsal; here another room stands for AWS, and responses in files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import xform_name

from cleanroom_algo.errors import InputFileError
from cleanroom_algo.local.deploy.comparing import add_rows, compare, of_kind, read_answers, recorded
from cleanroom_algo.local.resources.arns import MEMBERSHIP as MEMBERSHIP_KIND
from cleanroom_algo.local.resources.arns import TRAINED_MODEL
from cleanroom_algo.local.resources.store import Record, Store
from cleanroom_algo.local.room import Room
from cleanroom_algo.local.service_model.shapes import ML, operation_names
from tests.cli.support import run
from tests.local.deploy.support import MEMBERSHIP, odd_jobs, store_in

ARN = f"arn:aws:cleanrooms-ml:eu-west-1:111111111111:membership/{MEMBERSHIP}/trained-model/1"
SHOWN = of_kind(TRAINED_MODEL)
assert SHOWN is not None
HERE = {
    "name": "x",
    "trainedModelArn": "arn:here",
    "status": "ACTIVE",
    "resourceConfig": {"instanceCount": 1, "instanceType": "ml.m5.2xlarge"},
    "hyperparameters": {"secretArn": "1"},
    "trainingInputMode": "File",
}
AWS = {
    "name": "x",
    "trainedModelArn": ARN,
    "versionIdentifier": MEMBERSHIP,
    "status": "CREATE_FAILED",
    "statusDetails": {"statusCode": "X", "message": "a row"},
    "logsStatusDetails": f"no role in 123456789012 for {ARN}, sha256:{'a' * 64}",
    "resourceConfig": {"instanceCount": 2, "instanceType": "ml.m5.2xlarge"},
    "hyperparameters": {"secretArn": "2"},
    "trainingInputMode": "File",
    "later": {"secret": ["a secret"]},
    "ResponseMetadata": {"RequestId": "x"},
    "updateTime": "2026-11-02T10:00:00Z",
}


def test_each_member_that_differs_is_told_and_nothing_private_is_recorded() -> None:
    assert SHOWN is not None
    found = compare(SHOWN, HERE, AWS)
    assert [(each.member, each.kind) for each in found] == [
        ("status", "differs"),
        ("resourceConfig.instanceCount", "asked"),
        ("hyperparameters.secretArn", "asked"),
        ("versionIdentifier", "differs"),
        ("statusDetails.statusCode", "differs"),
        ("statusDetails.message", "differs"),
        ("logsStatusDetails", "differs"),
        ("later.secret[0]", "differs"),
        ("updateTime", "differs"),
    ]
    rows = recorded(found, "eu-west-1, 2026-11-02")
    assert {each.provenance for each in rows} == {"recorded"}
    assert [each.aws for each in rows] == [
        "status is CREATE_FAILED",
        "versionIdentifier is ...",
        "statusDetails.statusCode is X",
        "statusDetails.message is there",
        "logsStatusDetails is no role in ... for ... ...",
        "later.secret[0] is there",
        "updateTime is 2026-11-02T10:00:00Z",
    ]
    assert rows[0].here == "status is ACTIVE"
    assert rows[0].operations == ("CreateTrainedModel", "GetTrainedModel")


def test_rows_are_added_once(tmp_path: Path) -> None:
    assert SHOWN is not None
    rows = recorded(compare(SHOWN, HERE, AWS), "eu-west-1, 2026-11-02")
    path = tmp_path / "recorded.json"
    assert (add_rows(path, rows), add_rows(path, rows)) == (7, 0)
    assert len(json.loads(path.read_text())) == 7
    path.write_text("{}")
    with pytest.raises(InputFileError):
        add_rows(path, rows)


@pytest.mark.parametrize("form", [AWS, [AWS], {"GetTrainedModel": AWS}, {"GetTrainedModel": [AWS]}])
def test_responses_are_read_in_any_form(tmp_path: Path, form: Any) -> None:
    (tmp_path / "responses.json").write_text(json.dumps(form))
    assert read_answers(tmp_path / "responses.json") == {"GetTrainedModel": [AWS]}


@pytest.mark.parametrize("text", ["{", "[1]", "{}", '[{"name": "x"}]', '{"trainedModelArn": "x"}'])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "responses.json").write_text(text)
    with pytest.raises(InputFileError):
        read_answers(tmp_path / "responses.json")


class Client:
    """Stands for boto3's client, before a room that stands for AWS."""

    def __init__(self, room: Room) -> None:
        self.room = room

    def __getattr__(self, name: str) -> Any:
        (operation,) = (each for each in operation_names(ML) if xform_name(each) == name)
        return lambda **params: self.room.call(operation, params, "111111111111")


def joined(store: Store) -> Record:
    """Put jobs into a store, and the membership that they are of; return the model."""
    model, _ = odd_jobs(store)
    store.insert(Record(MEMBERSHIP_KIND, MEMBERSHIP, account="111111111111", status="ACTIVE"))
    return model


def test_the_command_reads_from_aws_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("here", "aws"):
        (tmp_path / name).mkdir()
    with store_in(tmp_path / "here") as store:
        joined(store)
    with store_in(tmp_path / "aws") as store:
        model = joined(store)
        store.update(model, document={"stoppingCondition": {"maxRuntimeInSeconds": 86400}})
    words = ("deploy", "compare", "--home", tmp_path / "here", "--output", tmp_path / "recorded.json", "--json")
    with Room(tmp_path / "aws") as room:
        monkeypatch.setattr(boto3, "client", lambda *_, **__: Client(room))
        done = run(*words, model.key)
    assert done.status == 0
    (row,) = json.loads((tmp_path / "recorded.json").read_text())
    assert row["aws"] == "stoppingCondition.maxRuntimeInSeconds is 86400"
    (tmp_path / "responses.json").write_text(json.dumps({**AWS, "name": "other"}))
    assert run(*words, "--file", tmp_path / "responses.json").status == 2
    named = run(*words, "--file", tmp_path / "responses.json", "--rehearsal", model.name).json
    assert "versionIdentifier" in {each["member"] for each in named["differences"]}
    assert run(*words).status == 2
    assert run(*words, "x").status == 2
