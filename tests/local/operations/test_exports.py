"""Exports: what the associations of a version and of its bases allow, and what holds while one is under way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cleanroom_algo.errors import AccessDeniedError, ConflictError, InvalidRequestError
from cleanroom_algo.local.operations.calling import Caller
from cleanroom_algo.local.resources.settings import Switches
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.room import Room
from tests.local.support import AIRLINE_ID, BUREAU, COLLABORATION_ID, SETTINGS, VERSION, RoomFixture

BOTH = {"trainedModelExports": {"maxSize": {"unit": "GB", "value": 1}, "filesToExport": ["MODEL", "OUTPUT"]}}
MODEL = {"trainedModelExports": {"maxSize": {"unit": "GB", "value": 0.5}, "filesToExport": ["MODEL"]}}
OUTPUT = {"trainedModelExports": {"maxSize": {"unit": "GB", "value": 0.5}, "filesToExport": ["OUTPUT"]}}


@pytest.fixture
def room(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Room]:
    """A room whose jobs wait."""
    switches = Switches(**getattr(request, "param", {}))
    with Room(tmp_path / "home", SETTINGS.model_copy(update={"switches": switches})) as room:
        room.caller = Caller(room.workspace, lambda: None)
        yield room


def start(desk: RoomFixture, model: Record) -> None:
    version = {} if model.version is None else {"trainedModelVersionIdentifier": model.version}
    output = {"members": [{"accountId": BUREAU}]}
    desk.own(
        "StartTrainedModelExportJob", trainedModelArn=model.key, name="export", outputConfiguration=output, **version
    )


def version_under(
    room: Room, tmp_path: Path, base: dict[str, Any] | None, own: dict[str, Any]
) -> tuple[RoomFixture, Record]:
    """Return a version, made by incremental training under another association than its base, and its desk."""
    first = RoomFixture(room, tmp_path / "first", privacy=base, name="first-")
    first.configure()
    model = first.add_model(1)
    second = RoomFixture(room, tmp_path / "second", privacy=own, name="second-")
    channels = [{"trainedModelArn": model.key, "channelName": "base"}]
    made = second.call("CreateTrainedModel", **second.training(incrementalTrainingDataChannels=channels))
    record = room.store.get("trained-model", made["trainedModelArn"], made["versionIdentifier"])
    assert record is not None
    return second, room.store.update(record, status="ACTIVE")


@pytest.mark.parametrize("base", [None, OUTPUT])
def test_another_association_does_not_open_what_the_bases_closes(
    room: Room, tmp_path: Path, base: dict[str, Any] | None
) -> None:
    desk, version = version_under(room, tmp_path, base, MODEL)

    with pytest.raises(AccessDeniedError, match="base models allow no exports"):
        start(desk, version)


@pytest.mark.parametrize("room", [{"export_of_versions": "own"}], indirect=True)
def test_the_versions_own_policy_alone_where_the_switch_says_so(room: Room, tmp_path: Path) -> None:
    desk, version = version_under(room, tmp_path, None, MODEL)

    start(desk, version)

    assert room.store.count("trained-model-export-job") == 1


def test_an_export_has_the_files_that_all_allow(room: Room, tmp_path: Path) -> None:
    desk, version = version_under(room, tmp_path, MODEL, BOTH)
    folder = room.workspace.files.artifacts(version.key, version.version)
    folder.mkdir(parents=True)
    for name in ("model.tar.gz", "output.tar.gz"):
        (folder / name).write_bytes(b"x")
    start(desk, version)
    room.supervisor.wake()
    (job,) = room.store.find("trained-model-export-job")

    done = room.wait(job.key, timeout=60)

    assert done.status == "ACTIVE"
    assert [Path(path).name for path in done.private["outputs"]] == ["model.tar.gz"]


def test_an_association_stays_while_an_export_waits(room: Room, tmp_path: Path) -> None:
    desk = RoomFixture(room, tmp_path, privacy=MODEL)
    desk.configure()
    start(desk, desk.add_model(1))

    with pytest.raises(ConflictError, match="pending or running"):
        desk.own("DeleteConfiguredModelAlgorithmAssociation", configuredModelAlgorithmAssociationArn=desk.association)


def test_an_export_whose_association_is_gone_fails(room: Room, tmp_path: Path) -> None:
    desk = RoomFixture(room, tmp_path, privacy=MODEL)
    desk.configure()
    start(desk, desk.add_packed_model())
    association = room.store.get("configured-model-algorithm-association", desk.association)
    assert association is not None
    room.store.delete(association)
    room.supervisor.wake()
    (job,) = room.store.find("trained-model-export-job")

    done = room.wait(job.key, timeout=60)

    assert (done.status, done.document["statusDetails"]["statusCode"]) == ("CREATE_FAILED", "CR-JOB-305")
    assert room.workspace.objects.list("s3://bureau/") == []


def test_jobs_are_listed_by_trained_model_and_version(room: Room, tmp_path: Path) -> None:
    desk = RoomFixture(room, tmp_path, privacy=MODEL)
    desk.configure()
    models = desk.add_model(1), desk.add_model(1, version=VERSION), desk.add_model(2)
    for model in models:
        start(desk, model)
        desk.start_inference(model.key, **({"trainedModelVersionIdentifier": VERSION} if model.version else {}))
    where = {"collaborationIdentifier": COLLABORATION_ID, "trainedModelArn": models[0].key}

    for name in ("TrainedModelExportJobs", "TrainedModelInferenceJobs"):
        for asked, expected in (({}, [VERSION, None]), ({"trainedModelVersionIdentifier": VERSION}, [VERSION])):
            listed = desk.call(f"ListCollaboration{name}", **where, **asked)[f"collaboration{name}"]
            assert [each.get("trainedModelVersionIdentifier") for each in listed] == expected


def test_inference_on_a_channel_of_another_association_is_refused(room: Room, tmp_path: Path) -> None:
    first = RoomFixture(room, tmp_path / "first", name="first-")
    first.configure()
    second = RoomFixture(room, tmp_path / "second", name="second-")
    asked: dict[str, Any] = {
        "membershipIdentifier": AIRLINE_ID,
        "name": "inference",
        "trainedModelArn": first.add_model(1).key,
        "resourceConfig": {"instanceType": "ml.m5.2xlarge"},
        "outputConfiguration": {"members": [{"accountId": BUREAU}]},
        "dataSource": {"mlInputChannelArn": second.channel},
    }

    with pytest.raises(InvalidRequestError, match="another configured model algorithm association"):
        first.call("StartTrainedModelInferenceJob", **asked)
