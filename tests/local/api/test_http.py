"""Every operation over real HTTP, with boto3 as it is."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from cleanroom_algo.local.operations.registry import ml_operation
from cleanroom_algo.local.room import Room
from cleanroom_algo.local.service_model.shapes import ML, operation_model, operation_names
from tests.local.api.server import Up, up
from tests.local.api.shapes import example
from tests.local.support import AIRLINE, AIRLINE_ID, BUREAU, BUREAU_ID, COLLABORATION_ID, ROLE, SETTINGS, RoomFixture

EXPORTS = {"trainedModelExports": {"maxSize": {"unit": "GB", "value": 1.0}, "filesToExport": ["MODEL", "OUTPUT"]}}

RATES = """
[quotas.rates]
CreateConfiguredModelAlgorithm = [1000, 1000]
CreateTrainedModel = [1000, 1000]
TagResource = [1000, 1000]
GetConfiguredModelAlgorithm = [1000, 1000]
CancelTrainedModelInferenceJob = [2, 1]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Up, RoomFixture]]:
    folder = tmp_path_factory.mktemp("room")
    (folder / "home").mkdir()
    (folder / "home" / "settings.toml").write_text(RATES)
    with Room(folder / "home", SETTINGS) as room:
        desk = RoomFixture(room, folder, privacy=EXPORTS)
    with up(folder / "home") as running:
        yield running, desk


def until(get: Any, *statuses: str) -> dict[str, Any]:
    limit = time.monotonic() + 60
    while True:
        found: dict[str, Any] = get()
        if found["status"] in statuses:
            return found
        assert time.monotonic() < limit, found["status"]
        time.sleep(0.05)


def test_a_member_goes_the_whole_way(server: tuple[Up, RoomFixture]) -> None:
    running, desk = server
    airline, bureau = running.client(AIRLINE), running.client(BUREAU)
    own = {"membershipIdentifier": AIRLINE_ID}
    location = {"destination": {"s3Destination": {"s3Uri": "s3://bureau/out"}}, "roleArn": ROLE}
    bureau.put_ml_configuration(membershipIdentifier=BUREAU_ID, defaultOutputLocation=location)
    base = airline.create_trained_model(**desk.training())
    assert "versionIdentifier" not in base
    arn = base["trainedModelArn"]
    model = until(lambda: airline.get_trained_model(**own, trainedModelArn=arn), "ACTIVE", "CREATE_FAILED")
    assert model["status"] == "ACTIVE", model.get("statusDetails")
    channels = [{"trainedModelArn": arn, "channelName": "base"}]
    version = airline.create_trained_model(**desk.training(incrementalTrainingDataChannels=channels))
    named = {**own, "trainedModelArn": arn, "versionIdentifier": version["versionIdentifier"]}
    until(lambda: airline.get_trained_model(**named), "ACTIVE")
    assert len(airline.list_trained_model_versions(**own, trainedModelArn=arn)["trainedModels"]) == 2
    output = {"members": [{"accountId": BUREAU}]}
    airline.start_trained_model_export_job(
        membershipIdentifier=AIRLINE_ID, trainedModelArn=arn, name="export", outputConfiguration=output
    )

    def export() -> Any:
        (job,) = bureau.list_collaboration_trained_model_export_jobs(
            collaborationIdentifier=COLLABORATION_ID, trainedModelArn=arn
        )["collaborationTrainedModelExportJobs"]
        return job

    assert until(export, "ACTIVE", "CREATE_FAILED")["status"] == "ACTIVE"
    exported = running.home / "s3" / "bureau" / "out" / COLLABORATION_ID / "model" / AIRLINE / "export"
    assert {path.name for path in exported.rglob("*.tar.gz")} == {"model.tar.gz", "output.tar.gz"}
    airline.delete_trained_model_output(**named)
    until(lambda: airline.get_trained_model(**named), "INACTIVE")
    with pytest.raises(airline.exceptions.ConflictException):
        airline.cancel_trained_model(**own, trainedModelArn=arn)


@pytest.mark.parametrize("name", operation_names())
def test_every_operation_is_routed(server: tuple[Up, RoomFixture], name: str) -> None:
    """Emulated operations answer, or raise one of their modelled errors; the others say that they are not emulated."""
    client = server[0].client()
    shape = operation_model(ML, name).input_shape
    params = {} if shape is None else example(shape)
    modelled = {each.name for each in operation_model(ML, name).error_shapes}
    try:
        answer = getattr(client, xform_name(name))(**params)
        code = None
    except ClientError as error:
        answer, code = error.response, str(error.response["Error"]["Code"])
    if name in ml_operation.emulated:
        assert code is None or code in modelled, answer
    else:
        assert code == "NotEmulatedException"
    assert answer["ResponseMetadata"]["RetryAttempts"] == 0


def test_all_paginators(server: tuple[Up, RoomFixture]) -> None:
    running, desk = server
    with_models = Room(running.home, SETTINGS)
    for number in range(100, 112):
        desk.room = with_models
        desk.add_model(number)
    with_models.close()
    client = running.client()
    pages = client.get_paginator("list_trained_models").paginate(
        membershipIdentifier=AIRLINE_ID, PaginationConfig={"PageSize": 5}
    )
    names = [model["name"] for page in pages for model in page["trainedModels"]]
    assert len(names) == len(set(names)) or names.count("model") > 1
    assert {f"model-{number}" for number in range(100, 112)} <= set(names)


def test_arns_have_the_region_that_the_client_signs_for(server: tuple[Up, RoomFixture]) -> None:
    running, _ = server
    container = {"imageUri": "x"}
    for region in ("eu-central-1", "us-gov-west-1"):
        made = running.client(region=region).create_configured_model_algorithm(
            name=f"of {region}", roleArn=ROLE, trainingContainerConfig=container
        )["configuredModelAlgorithmArn"]
        assert made.split(":")[3] == region


def test_quota_errors_have_their_fields(server: tuple[Up, RoomFixture]) -> None:
    running, desk = server
    client = running.client()
    resources = {"instanceType": "ml.m5.2xlarge", "volumeSizeInGB": 1, "instanceCount": 5}
    with pytest.raises(client.exceptions.ServiceQuotaExceededException) as caught:
        client.create_trained_model(**desk.training(resourceConfig=resources))
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 402
    assert caught.value.response["quotaValue"] == 3
    assert "ml.m5.2xlarge" in caught.value.response["quotaName"]


def test_rates_are_kept_and_boto3_waits_for_its_turn(server: tuple[Up, RoomFixture]) -> None:
    """Rates are by account and operation: documented ones, and those that the settings change."""
    running, _ = server
    client, other = running.client(AIRLINE), running.client(BUREAU)
    own = {"membershipIdentifier": AIRLINE_ID}

    asked = example(operation_model(ML, "StartTrainedModelInferenceJob").input_shape)

    def often() -> None:
        for _ in range(200):  # documented: 1 each second, 3 at once
            with suppress(client.exceptions.AccessDeniedException):
                client.start_trained_model_inference_job(**asked)

    with pytest.raises(client.exceptions.ThrottlingException) as caught:
        often()
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    with pytest.raises(other.exceptions.AccessDeniedException):
        other.start_trained_model_inference_job(**asked)
    client.list_ml_input_channels(**own)

    arn = f"arn:aws:cleanrooms-ml:us-east-1:{AIRLINE}:membership/{AIRLINE_ID}/trained-model-inference-job/none"
    patient = running.client(AIRLINE, attempts=5)
    retries = []
    for _ in range(2):
        with pytest.raises(patient.exceptions.ResourceNotFoundException) as missing:
            patient.cancel_trained_model_inference_job(**own, trainedModelInferenceJobArn=arn)
        retries.append(missing.value.response["ResponseMetadata"]["RetryAttempts"])
    assert retries[0] == 0 < retries[1]


def test_clients_at_once(server: tuple[Up, RoomFixture]) -> None:
    """Writers and readers in threads: no lost update, no error, and each name once."""
    running, _ = server
    failures: list[BaseException] = []

    def work(number: int) -> None:
        client = running.client()
        try:
            for each in range(10):
                created = client.create_configured_model_algorithm(
                    name=f"many-{number}-{each}", roleArn=ROLE, trainingContainerConfig={"imageUri": "x"}
                )
                arn = created["configuredModelAlgorithmArn"]
                client.tag_resource(resourceArn=arn, tags={"n": str(number)})
                assert client.get_configured_model_algorithm(configuredModelAlgorithmArn=arn)["tags"]
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    pages = running.client().get_paginator("list_configured_model_algorithms").paginate()
    names = [each["name"] for page in pages for each in page["configuredModelAlgorithms"]]
    assert len([name for name in names if name.startswith("many-")]) == 80
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/nothing", b"", 404),
        ("POST", "/configured-model-algorithms", b"{", 400),
        ("POST", "/configured-model-algorithms", b"[]", 400),
        ("POST", "/configured-model-algorithms", b'{"name": ' + b"[" * 100_000, 400),
        ("POST", "/configured-model-algorithms", b"\xff\xfe", 400),
        ("GET", "/configured-model-algorithms?maxResults=x&what=1", b"", 400),
        ("GET", "/configured-model-algorithms?maxResults=1&maxResults=2", b"", 400),
        ("GET", "/configured-model-algorithms/%00%FF", b"", 400),
    ],
)
def test_rough_requests_get_a_modelled_answer(
    server: tuple[Up, RoomFixture], method: str, path: str, body: bytes, status: int
) -> None:
    connection = http.client.HTTPConnection(urlsplit(server[0].url).netloc, timeout=20)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    assert answer.status == status, text
    assert answer.getheader("x-amzn-ErrorType")
    assert b"CR-REQ-" in text
