"""What the model does not say: versions, states, queries, abilities, exports."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cleanroom_algo.errors import (
    AccessDeniedError,
    ConflictError,
    InvalidRequestError,
    NotEmulatedError,
    ResourceNotFoundError,
)
from cleanroom_algo.local.operations.calling import Caller
from cleanroom_algo.local.resources.settings import Switches
from cleanroom_algo.local.resources.states import TRANSITIONS, move
from cleanroom_algo.local.resources.store import Store
from cleanroom_algo.local.room import Room
from cleanroom_algo.local.service_model.shapes import ML, operation_model
from tests.local.support import (
    AIRLINE,
    AIRLINE_ID,
    BUREAU,
    BUREAU_ID,
    COLLABORATION_ID,
    OTHER,
    SETTINGS,
    STRANGER,
    VERSION,
    RoomFixture,
    desk_with,
)


def model_arn(desk: RoomFixture, status: str = "ACTIVE") -> str:
    """Return a base model and two versions of it, the last one of a status."""
    base = desk.add_model(1)
    desk.add_model(1, version=VERSION)
    desk.add_model(1, version=OTHER, status=status)
    return base.key


# --- calls ------------------------------------------------------------------------------------------------------------


def test_the_queue_is_read_when_the_calls_are_committed(desk: RoomFixture) -> None:
    seen: list[int] = []
    with Store(desk.room.store.path) as others:
        caller = Caller(desk.room.workspace, lambda: seen.append(len(others.jobs())))
        with caller.transaction():
            caller.call("CreateTrainedModel", desk.training(), AIRLINE)

    assert seen == [1]


# --- versions ---------------------------------------------------------------------------------------------------------


@pytest.mark.process
def test_a_base_and_a_version_of_it(desk: RoomFixture) -> None:
    base = desk.train()
    assert (base.status, base.version) == ("ACTIVE", None)
    channel = {"trainedModelArn": base.key, "channelName": "base"}
    version = desk.train(name="second", incrementalTrainingDataChannels=[channel])
    assert (version.key, version.status) == (base.key, "ACTIVE")
    shown = desk.own("GetTrainedModel", trainedModelArn=base.key, versionIdentifier=version.version)
    assert shown["incrementalTrainingDataChannels"] == [{"channelName": "base", "modelName": "model"}]
    third = desk.train(
        name="third", incrementalTrainingDataChannels=[{**channel, "versionIdentifier": version.version}]
    )
    (lineage,) = third.document["incrementalTrainingDataChannels"]
    assert lineage["versionIdentifier"] == version.version


@pytest.mark.parametrize(("switch", "expected"), [("latest", OTHER), ("base", None)])
def test_which_version_is_meant_when_none_is_named(tmp_path: Path, switch: Any, expected: str | None) -> None:
    switches = Switches(get_default=switch, incremental_default=switch, inference_default=switch, export_default=switch)
    desk = desk_with(tmp_path, switches=switches)
    arn = model_arn(desk)
    assert desk.own("GetTrainedModel", trainedModelArn=arn).get("versionIdentifier") == expected
    call = desk.call("GetCollaborationTrainedModel", collaborationIdentifier=COLLABORATION_ID, trainedModelArn=arn)
    assert call.get("versionIdentifier") == expected
    channel = {"trainedModelArn": arn, "channelName": "base"}
    created = desk.call("CreateTrainedModel", **desk.training(incrementalTrainingDataChannels=[channel]))
    record = desk.room.store.get("trained-model", created["trainedModelArn"], created["versionIdentifier"])
    assert record is not None
    assert record.private["base"].get("version") == expected
    desk.room.close()


@pytest.mark.parametrize(("switch", "count"), [("each-model", 1), ("each-version", 3)])
def test_what_a_list_of_models_shows(tmp_path: Path, switch: Any, count: int) -> None:
    desk = desk_with(tmp_path, switches=Switches(list_models=switch))
    model_arn(desk)
    assert len(desk.own("ListTrainedModels")["trainedModels"]) == count
    desk.room.close()


def test_incremental_training_from_a_version_that_is_not_active(desk: RoomFixture) -> None:
    arn = model_arn(desk, "CREATE_FAILED")
    channel = {"trainedModelArn": arn, "channelName": "base", "versionIdentifier": OTHER}
    with pytest.raises(ConflictError, match="CREATE_FAILED"):
        desk.call("CreateTrainedModel", **desk.training(incrementalTrainingDataChannels=[channel]))


def test_versions_are_listed_ten_at_a_time_and_by_status(desk: RoomFixture) -> None:
    arn = model_arn(desk, "CREATE_FAILED")
    for number in range(20):
        desk.add_model(1, version=f"0a1b2c3d-0000-4000-8000-{number:012d}")
    listed = desk.own("ListTrainedModelVersions", trainedModelArn=arn)
    assert len(listed["trainedModels"]) == 10
    failed = desk.own("ListTrainedModelVersions", trainedModelArn=arn, status="CREATE_FAILED")
    assert [each["versionIdentifier"] for each in failed["trainedModels"]] == [OTHER]


# --- states -----------------------------------------------------------------------------------------------------------


def test_the_states_are_those_of_the_model() -> None:
    for kind, operation in (("trained-model", "GetTrainedModel"), ("ml-input-channel", "GetMLInputChannel")):
        shape: Any = operation_model(ML, operation).output_shape
        assert set(TRANSITIONS[kind]) == set(shape.members["status"].enum)


@pytest.mark.parametrize("kind", list(TRANSITIONS))
def test_every_step_that_the_table_lacks_is_refused(desk: RoomFixture, kind: str) -> None:
    table = TRANSITIONS[kind]
    for number, was in enumerate(table):
        record = desk.add_model(number, status=was, kind=kind)
        for status in table:
            if status not in table[was]:
                with pytest.raises(ConflictError):
                    move(desk.room.store, record, status)


@pytest.mark.process
def test_cancelling_before_it_began_and_after_it_ended(tmp_path: Path) -> None:
    with Room(tmp_path / "home", SETTINGS) as room:
        desk = RoomFixture(room, tmp_path, body="time.sleep(60)")
        running = desk.call("CreateTrainedModel", **desk.training())["trainedModelArn"]
        waiting = desk.call(
            "CreateTrainedModel",
            **desk.training(resourceConfig={"instanceType": "ml.m5.2xlarge", "volumeSizeInGB": 1, "instanceCount": 2}),
        )["trainedModelArn"]
        desk.own("CancelTrainedModel", trainedModelArn=waiting)
        assert room.wait(waiting, timeout=30).status == "INACTIVE"
        desk.own("CancelTrainedModel", trainedModelArn=running)
        assert room.wait(running, timeout=30).status == "INACTIVE"
        assert not room.workspace.files.artifacts(running, None).exists()
        with pytest.raises(ConflictError, match="INACTIVE"):
            desk.own("CancelTrainedModel", trainedModelArn=running)


@pytest.mark.process
def test_deleting_output_takes_one_version_and_leaves_the_rest(desk: RoomFixture) -> None:
    base = desk.train()
    channel = {"trainedModelArn": base.key, "channelName": "base"}
    version = desk.train(incrementalTrainingDataChannels=[channel])
    desk.own("DeleteTrainedModelOutput", trainedModelArn=base.key)
    assert desk.room.wait(base.key, timeout=30).status == "INACTIVE"
    assert not desk.room.workspace.files.artifacts(base.key, None).exists()
    assert desk.room.workspace.files.artifacts(version.key, version.version).exists()
    with pytest.raises(ConflictError):
        desk.own("DeleteTrainedModelOutput", trainedModelArn=base.key)


def test_what_a_job_uses_cannot_go(tmp_path: Path) -> None:
    with Room(tmp_path / "home", SETTINGS) as room:
        desk = RoomFixture(room, tmp_path, body="time.sleep(60)")
        desk.call("CreateTrainedModel", **desk.training())
        with pytest.raises(ConflictError):
            desk.own("DeleteMLInputChannelData", mlInputChannelArn=desk.channel)
        arn = desk.association
        with pytest.raises(ConflictError):
            desk.own("DeleteConfiguredModelAlgorithmAssociation", configuredModelAlgorithmAssociationArn=arn)
        with pytest.raises(ConflictError):
            desk.call("DeleteConfiguredModelAlgorithm", configuredModelAlgorithmArn=desk.algorithm)


@pytest.mark.process
def test_any_member_may_delete_the_data_of_a_channel_but_not_the_files_it_is_bound_to(desk: RoomFixture) -> None:
    params = {"membershipIdentifier": BUREAU_ID, "mlInputChannelArn": desk.channel}
    desk.call("DeleteMLInputChannelData", BUREAU, **params)
    assert desk.room.wait(desk.channel, timeout=30).status == "INACTIVE"
    assert list((desk.folder / "data-train").iterdir())
    with pytest.raises(ConflictError):
        desk.call("CreateTrainedModel", **desk.training())


# --- channels ---------------------------------------------------------------------------------------------------------


def test_channel_names_are_unique_and_at_most_twenty(desk: RoomFixture) -> None:
    base = desk.add_model(1)
    incremental = [{"trainedModelArn": base.key, "channelName": "c0"}]
    channels = [{"mlInputChannelArn": desk.channel, "channelName": f"c{number}"} for number in range(20)]
    with pytest.raises(InvalidRequestError) as caught:
        desk.call(
            "CreateTrainedModel", **desk.training(dataChannels=channels, incrementalTrainingDataChannels=incremental)
        )
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    ("names", "mode"),
    [(["."], "File"), ([".."], "Pipe"), (["x", "x-manifest"], "File"), (["x", "x_0"], "Pipe")],
)
def test_channel_names_that_no_folder_can_have(desk: RoomFixture, names: list[str], mode: str) -> None:
    channels = [{"mlInputChannelArn": desk.channel, "channelName": name} for name in names]
    with pytest.raises(InvalidRequestError) as caught:
        desk.call("CreateTrainedModel", **desk.training(dataChannels=channels, trainingInputMode=mode))
    assert [problem.path for problem in caught.value.problems] == ["dataChannels"]


@pytest.mark.parametrize("name", ["..", "a/../b", "."])
def test_names_that_would_lead_output_elsewhere(desk: RoomFixture, name: str) -> None:
    model = desk.add_model(1)
    output = {"members": [{"accountId": BUREAU}]}
    for operation, params in (
        ("CreateTrainedModel", desk.training(name=name)),
        (
            "StartTrainedModelExportJob",
            {
                "membershipIdentifier": AIRLINE_ID,
                "trainedModelArn": model.key,
                "name": name,
                "outputConfiguration": output,
            },
        ),
    ):
        with pytest.raises(InvalidRequestError) as caught:
            desk.call(operation, **params)
        assert [problem.path for problem in caught.value.problems] == ["name"]


def test_nul_in_a_value_of_the_environment(desk: RoomFixture) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        desk.call("CreateTrainedModel", **desk.training(environment={"A": "x\0y"}))
    assert [problem.path for problem in caught.value.problems] == ["environment.A"]


def test_a_channel_for_another_association(desk: RoomFixture) -> None:
    channel = desk.room.store.get("ml-input-channel", desk.channel)
    assert channel is not None
    desk.room.store.update(channel, document={"configuredModelAlgorithmAssociations": [f"{desk.association}x"]})
    with pytest.raises(InvalidRequestError) as caught:
        desk.call("CreateTrainedModel", **desk.training())
    assert caught.value.problems[0].path == "dataChannels[0].mlInputChannelArn"


PARAMETERS = "inputChannel.dataSource.protectedQueryInputParameters"
TEMPLATE = f"arn:aws:cleanrooms:us-east-1:111122223333:membership/{AIRLINE_ID}/analysistemplate/{AIRLINE_ID}"


def spark(**properties: str) -> dict[str, Any]:
    named = {f"spark.sql.{name.replace('_', '.')}": value for name, value in properties.items()}
    return {"computeConfiguration": {"worker": {"type": "CR.1X", "number": 2, "properties": {"spark": named}}}}


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ({"sql": {"queryString": "SELECT 1", "analysisTemplateArn": TEMPLATE}}, f"{PARAMETERS}.sqlParameters"),
        ({"sql": {"parameters": {"k": "v"}}}, f"{PARAMETERS}.sqlParameters"),
        ({"sql": {"queryString": "SELECT 1", "parameters": {"k": "v"}}}, f"{PARAMETERS}.sqlParameters.parameters"),
        (
            spark(files_maxRecordsPerFile="-1"),
            f"{PARAMETERS}.computeConfiguration.worker.properties.spark.spark.sql.files.maxRecordsPerFile",
        ),
        ({"payerConfiguration": {"computePayerAccountId": BUREAU}}, "payerConfiguration.computePayerAccountId"),
        (
            {"payerConfiguration": {"syntheticDataPayerAccountId": AIRLINE}},
            "payerConfiguration.syntheticDataPayerAccountId",
        ),
    ],
)
def test_a_query_that_contradicts_itself_or_the_collaboration(desk: RoomFixture, asked: Any, path: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        desk.call("CreateMLInputChannel", **desk.query(**asked))
    assert [problem.path for problem in caught.value.problems] == [path]


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        (spark(adaptive_enabled="true", files_maxRecordsPerFile="1"), "spark.sql.adaptive.enabled"),
    ],
)
def test_a_query_that_cannot_be_emulated_is_refused_at_once(desk: RoomFixture, asked: Any, named: str) -> None:
    with pytest.raises(NotEmulatedError, match=named):
        desk.call("CreateMLInputChannel", **desk.query(**asked))


def test_a_query_keeps_what_was_asked_and_who_pays(desk: RoomFixture) -> None:
    compute = spark(shuffle_partitions="7", files_maxRecordsPerFile="1")
    rows = {"queryString": "SELECT explode(sequence(1, 9)) AS x"}
    created = desk.call("CreateMLInputChannel", **desk.query(sql=rows, **compute))
    record = desk.room.wait(created["mlInputChannelArn"], timeout=60)
    shown = desk.own("GetMLInputChannel", mlInputChannelArn=record.key)

    assert record.status == "ACTIVE", shown["statusDetails"]
    assert shown["inputChannel"] == desk.query(sql=rows, **compute)["inputChannel"]
    assert (shown["numberOfRecords"], shown["numberOfFiles"]) == (9, 9)
    assert shown["payerConfiguration"] == {"computePayerAccountId": AIRLINE}


@pytest.mark.process
def test_the_data_of_a_channel_goes_when_its_retention_is_over(desk: RoomFixture) -> None:
    created = desk.call("CreateMLInputChannel", **desk.query(retentionInDays=30))
    record = desk.room.wait(created["mlInputChannelArn"], timeout=60)
    store = desk.room.store
    for number, (days, location) in enumerate(((31, None), (29, None), (31, str(desk.folder)))):
        private = {} if location is None else {"location": location}
        old = replace(record, key=f"{record.key}-{number}", created=time.time() - days * 86_400, private=private)
        shutil.copytree(desk.room.workspace.files.channel(record), desk.room.workspace.files.channel(store.insert(old)))
    with Room(desk.room.workspace.files.home, SETTINGS, serving=True) as server:
        over = server.wait(f"{record.key}-0", timeout=30)
        while over.status != "INACTIVE":
            server.supervisor.wait_for_change(0.1)
            over = server.wait(f"{record.key}-0", timeout=30)

        assert over.document["statusDetails"]["statusCode"] == "RetentionOver"
        assert not server.workspace.files.channel(over).exists()
        for key in (record.key, f"{record.key}-1", f"{record.key}-2"):
            assert server.wait(key, timeout=30).status == "ACTIVE"


# --- who may do what --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("account", "membership"), [(BUREAU, AIRLINE_ID), (STRANGER, AIRLINE_ID), (AIRLINE, VERSION)])
def test_only_through_ones_own_membership(desk: RoomFixture, account: str, membership: str) -> None:
    with pytest.raises(AccessDeniedError):
        desk.call("ListTrainedModels", account, membershipIdentifier=membership)


def test_a_stranger_sees_nothing_of_a_collaboration(desk: RoomFixture) -> None:
    with pytest.raises(AccessDeniedError):
        desk.call("ListCollaborationTrainedModels", STRANGER, collaborationIdentifier=COLLABORATION_ID)


def test_only_who_can_query_trains(desk: RoomFixture) -> None:
    with pytest.raises(AccessDeniedError, match=r"CAN_QUERY[^$]*in cleanroom.toml: abilities of \[members.bureau\]"):
        desk.call("CreateTrainedModel", BUREAU, **desk.training(membershipIdentifier=BUREAU_ID))


def test_the_collaboration_does_not_see_hyperparameters_environment_keys_and_tags(desk: RoomFixture) -> None:
    secrets = {"hyperparameters": {"k": "v"}, "environment": {"k": "v"}, "tags": {"k": "v"}}
    model = desk.train(**secrets, kmsKeyArn="arn:aws:kms:us-east-1:111122223333:key/x")
    own = desk.own("GetTrainedModel", trainedModelArn=model.key)
    params = {"collaborationIdentifier": COLLABORATION_ID, "trainedModelArn": model.key}
    seen = desk.call("GetCollaborationTrainedModel", BUREAU, **params)
    assert {"hyperparameters", "environment", "tags", "kmsKeyArn", "dataChannels"} <= own.keys()
    assert not {"hyperparameters", "environment", "tags", "kmsKeyArn", "dataChannels"} & seen.keys()
    assert seen["creatorAccountId"] == AIRLINE


def test_who_pays(desk: RoomFixture) -> None:
    assert desk.train().document["mlModelTrainingPayerAccountId"] == AIRLINE
    with pytest.raises(InvalidRequestError, match="CreateTrainedModel"):
        desk.call("CreateTrainedModel", **desk.training(mlModelTrainingPayerAccountId=BUREAU))


# --- exports and inference: what must be there first ------------------------------------------------------------------

EXPORTS = {"trainedModelExports": {"maxSize": {"unit": "GB", "value": 1.0}, "filesToExport": ["MODEL"]}}


def export(desk: RoomFixture, receiver: str = BUREAU) -> dict[str, Any]:
    arn = desk.add_model(1).key if desk.room.store.count("trained-model") == 0 else model_of(desk)
    output = {"members": [{"accountId": receiver}]}
    return desk.own("StartTrainedModelExportJob", name="export", trainedModelArn=arn, outputConfiguration=output)


def model_of(desk: RoomFixture) -> str:
    return desk.room.store.find("trained-model")[0].key


def test_an_export_needs_its_policy(tmp_path: Path, desk: RoomFixture) -> None:
    desk.configure()
    with pytest.raises(AccessDeniedError, match="no exports"):
        export(desk)
    other = desk_with(tmp_path / "other", switches=Switches(export_without_policy="allow"))
    other.configure()
    export(other)
    other.room.close()


def test_a_receiver_needs_a_configuration(tmp_path: Path) -> None:
    with Room(tmp_path / "home", SETTINGS) as room:
        desk = RoomFixture(room, tmp_path, privacy=EXPORTS)
        with pytest.raises(InvalidRequestError) as caught:
            export(desk)
        assert "PutMLConfiguration" in str(caught.value.problems)
        with pytest.raises(InvalidRequestError):
            export(desk, STRANGER)
        desk.configure()
        export(desk)
        params = {"collaborationIdentifier": COLLABORATION_ID, "trainedModelArn": model_of(desk)}
        jobs = desk.call("ListCollaborationTrainedModelExportJobs", BUREAU, **params)
        assert [job["name"] for job in jobs["collaborationTrainedModelExportJobs"]] == ["export"]


def test_the_configuration_is_put_got_replaced_and_deleted(desk: RoomFixture) -> None:
    desk.configure()
    desk.configure()
    got = desk.call("GetMLConfiguration", BUREAU, membershipIdentifier=BUREAU_ID)
    assert got["defaultOutputLocation"]["destination"]["s3Destination"]["s3Uri"] == "s3://bureau/out"
    desk.call("DeleteMLConfiguration", BUREAU, membershipIdentifier=BUREAU_ID)
    with pytest.raises(ResourceNotFoundError):
        desk.call("GetMLConfiguration", BUREAU, membershipIdentifier=BUREAU_ID)
