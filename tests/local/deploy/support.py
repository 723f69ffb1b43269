"""A room with names and texts that mean something to shells, YAML, Python and CloudFormation."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from botocore import xform_name
from botocore.validate import ParamValidator

from cleanroom_algo.local.deploy.rehearsal import Rehearsal
from cleanroom_algo.local.resources.arns import ASSOCIATION, INFERENCE_JOB, INPUT_CHANNEL, TRAINED_MODEL, ml_arn
from cleanroom_algo.local.resources.states import ACTIVE
from cleanroom_algo.local.resources.store import Record, Store
from cleanroom_algo.local.service_model.shapes import ML, operation_model, operation_names
from cleanroom_algo.local.service_model.validation import faults
from cleanroom_algo.local.setup.declaration import Declaration
from cleanroom_algo.local.setup.names import identifier

ODD_TEXT = 'it\'s ${AWS::AccountId} "q" $(x) `x` \\ \n# \u2028\u0085 {{x}} --'
ODD_LINE = ODD_TEXT.replace("\n", "")  # hyperparameters have no line breaks
QUERY = "SELECT 'it''s', \"q\", '${AWS::Region}', '$(rm)', `b c` -- 'x\nFROM t1\n"
ROOM = """
[collaboration]
name = "Ünï \\"q\\" 'x' ${AWS::AccountId} 日本, a name that is longer than a role's may be"
[members."Büro ${x} \\"q\\""]
account = "111111111111"
abilities = ["CAN_QUERY", "CAN_RECEIVE_RESULTS"]
ml_abilities = ["CAN_RECEIVE_MODEL_OUTPUT"]
pays = true
output = "s3://results/a/b/"
[members."b import os"]
account = "222222222222"
[members.third]
account = "333333333333"

[algorithms."日本"]
owner = "Büro ${x} \\"q\\""
image = "x"
inference_image = "y"
entrypoint = ["python", "${train}.py", "it's \\"q\\""]
arguments = ["--a=%s", "\\\\n", "yes", "1.0", "null", "#c", "- x", "\\u2028\\u0085x", "${AWS::Region}"]
metric_definitions = [{ name = "loss: 'x' # \\"y\\"", regex = 'loss=([0-9.]+)${x}' }]
[algorithms."日本".privacy]
trainedModelExports = { maxSize = { unit = "GB", value = 1 }, filesToExport = ["MODEL", "OUTPUT"] }
trainedModelInferenceJobs = { maxOutputSize = { unit = "GB", value = 1.5 } }
[algorithms."日本".privacy.trainedModels]
maxArtifactSize = { unit = "GB", value = 5.5 }
containerMetrics = { noiseLevel = "HIGH" }
[[algorithms."日本".privacy.trainedModels.containerLogs]]
allowedAccountIds = ["111111111111", "333333333333", "999999999999"]
filterPattern = "ERROR ${x} \\"q\\""
logRedactionConfiguration.entitiesToRedact = ["CUSTOM"]
logRedactionConfiguration.customEntityConfig.customDataIdentifiers = ['\\d+']
[algorithms.ready]
owner = "third"
image = "333333333333.dkr.ecr.eu-west-1.amazonaws.com/team/ready:7"

[tables.t_1]
owner = "Büro ${x} \\"q\\""
location = "t.csv"
columns = ["a", "b c"]
join_columns = ["a"]
allowed_associations = ["日本", "ready"]
[tables.t1]
owner = "third"
location = "t.csv"
columns = ["a", "b c"]
allowed_templates = ["day"]
[templates.day]
owner = "Büro ${x} \\"q\\""
query = "SELECT '${AWS::Region}' AS x FROM t1 WHERE a = :a"
synthetic = { epsilon = 1, max_attack_score = 0.6, categorical = ["a", "b", "c", "d"], numerical = ["e"] }
parameters.a = { type = "DATE", default = "2013-01-01" }

[channels."q'1"]
owner = "Büro ${x} \\"q\\""
algorithm = "日本"
query = '''
@QUERY@'''
[channels."q\\"1"]
owner = "third"
algorithm = "日本"
template = "day"
parameters = { a = "2013-01-01" }
"""
OWNER = 'Büro ${x} "q"'
MEMBERSHIP = "a0a0a0a0-0000-4000-8000-000000000002"


def odd_room() -> Declaration:
    return Declaration.model_validate(tomllib.loads(ROOM.replace("@QUERY@", QUERY)))


def record(store: Store, kind: str, name: str, parent: str = "", version: str | None = None, **document: Any) -> Record:
    """Put a resource of the first member into a store."""
    arn = ml_arn(kind, "us-east-1", "111111111111", MEMBERSHIP, identifier(kind, name))
    place: dict[str, Any] = {
        "account": "111111111111",
        "membership": MEMBERSHIP,
        "collaboration": identifier(odd_room().collaboration.name),
    }
    made = Record(kind, arn, version, **place, parent=parent, name=name, status=ACTIVE, document=document)
    return store.insert(made)


def odd_jobs(store: Store) -> tuple[Record, Record]:
    """Put a training and an inference job of the odd room into a store."""
    association = record(store, ASSOCIATION, "日本")
    query = {"protectedQueryInputParameters": {"sqlParameters": {"queryString": QUERY}}}
    channel = record(
        store,
        INPUT_CHANNEL,
        "q'1",
        association.key,
        configuredModelAlgorithmAssociations=[association.key],
        inputChannel={"dataSource": query, "roleArn": "arn:aws:iam::111111111111:role/x"},
        retentionInDays=30,
    )
    resources = {"instanceCount": 2, "instanceType": "ml.m5.2xlarge", "volumeSizeInGB": 30}
    model = record(
        store,
        TRAINED_MODEL,
        "a 'model' \"${x}\"",
        association.key,
        membershipIdentifier=MEMBERSHIP,
        configuredModelAlgorithmAssociationArn=association.key,
        resourceConfig=resources,
        dataChannels=[{"mlInputChannelArn": channel.key, "channelName": "train"}],
        hyperparameters={ODD_LINE: ODD_LINE, "accountId": MEMBERSHIP},
        environment={"CLEANROOM_ALGO_TRACEBACKS": "whole", "X": ODD_TEXT},
        mlModelTrainingPayerAccountId="111111111111",
        statusDetails={"statusCode": "x"},
    )
    job = record(
        store,
        INFERENCE_JOB,
        "job",
        model.key,
        trainedModelArn=model.key,
        resourceConfig={"instanceCount": 1, "instanceType": "ml.m5.2xlarge"},
        outputConfiguration={"members": [{"accountId": "333333333333"}]},
        dataSource={"mlInputChannelArn": channel.key},
    )
    return model, job


class RecordingClient:
    """Stands for boto3's clients: each call is held to botocore's model, and kept."""

    def __init__(self) -> None:
        self.calls: dict[str, dict[str, Any]] = {}
        self.outputs: list[dict[str, str]] = []
        self._operations = {xform_name(name): name for name in operation_names(ML)}

    def __getattr__(self, name: str) -> Any:
        return lambda **params: self._called(name, params)

    def _called(self, name: str, params: dict[str, Any]) -> Mapping[str, Any]:
        answers: Mapping[str, Any] = {
            "get_caller_identity": {"Account": "111111111111", "Arn": "arn:aws:sts::111111111111:x"},
            "describe_stacks": {"Stacks": [{"Outputs": self.outputs}]},
        }
        if name in answers:
            return answers[name]  # type: ignore[no-any-return]
        shape = operation_model(ML, self._operations[name]).input_shape
        assert ParamValidator().validate(params, shape).generate_report() == ""
        assert faults(shape, params) == ()
        self.calls[f"{name} {params.get('name', '')}".strip()] = params
        arn = ml_arn(f"{name.split('_', 1)[1].replace('_', '-')}", "us-east-1", "111111111111", MEMBERSHIP, "new")
        members = ("mlInputChannelArn", "trainedModelArn", "trainedModelInferenceJobArn")
        return {"status": "ACTIVE", **dict.fromkeys(members, arn)}


def rehearsal_in(store: Store) -> Rehearsal:
    from cleanroom_algo.local.deploy.rehearsed import of_declaration

    return of_declaration(store, odd_room())


def store_in(folder: Path) -> Store:
    return Store(folder / "room.sqlite")
