"""The objects of members: the same promises in a folder and in S3 (moto's server)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer

from cleanroom_algo.errors import ObjectLostError, ObjectStoreError
from cleanroom_algo.local.objects.store import FolderObjects, Objects, S3Objects
from cleanroom_algo.local.resources.settings import Machine, RoomSettings
from cleanroom_algo.local.room import Room
from tests.local.support import AIRLINE, BUREAU, BUREAU_ID, ROLE, RoomFixture

EXPORTS = {"trainedModelExports": {"maxSize": {"unit": "GB", "value": 1.0}, "filesToExport": ["MODEL", "OUTPUT"]}}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Return the URL of moto's S3, with a bucket."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "any")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "any")
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        boto3.client("s3", region_name="us-east-1", endpoint_url=url).create_bucket(Bucket="bureau")
        yield url
        server.stop()


@pytest.fixture(params=["folder", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path, endpoint: str) -> Objects:
    """Return an empty store of each kind."""
    store: Objects = FolderObjects(tmp_path / "s3") if request.param == "folder" else S3Objects(endpoint)
    for uri in store.list("s3://bureau/"):
        store.delete(uri)
    return store


def test_what_is_put_is_listed_fetched_and_deleted(objects: Objects, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"weights" * 1000)
    for key in ("out/b", "out/a/model.tar.gz", "outside"):
        objects.put(source, f"s3://bureau/{key}")

    assert objects.list("s3://bureau/out/") == ["s3://bureau/out/a/model.tar.gz", "s3://bureau/out/b"]
    objects.fetch("s3://bureau/out/b", target)
    assert target.read_bytes() == source.read_bytes()
    objects.delete("s3://bureau/out")
    objects.delete("s3://bureau/out/b")
    assert objects.list("s3://bureau/") == ["s3://bureau/out/a/model.tar.gz", "s3://bureau/outside"]


def test_a_second_put_replaces_the_first(objects: Objects, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for text in ("first", "second"):
        source.write_text(text)
        objects.put(source, "s3://bureau/key")
    objects.fetch("s3://bureau/key", target)

    assert target.read_text() == "second"
    assert objects.list("s3://bureau/key") == ["s3://bureau/key"]


def test_what_is_not_there_is_an_error_that_names_it(objects: Objects, tmp_path: Path) -> None:
    with pytest.raises((ObjectStoreError, ObjectLostError), match="s3://bureau/nothing"):
        objects.fetch("s3://bureau/nothing", tmp_path / "target")
    assert objects.list("s3://bureau/nothing") == []


@pytest.mark.parametrize("uri", ["bureau/key", "file:///etc/passwd", "s3://", "s3:///key"])
def test_a_uri_that_is_none(objects: Objects, tmp_path: Path, uri: str) -> None:
    source = tmp_path / "source"
    source.touch()
    with pytest.raises(ObjectStoreError, match="not an s3:// URI"):
        objects.put(source, uri)


def test_a_bucket_that_does_not_exist(tmp_path: Path, endpoint: str) -> None:
    source = tmp_path / "source"
    source.touch()
    with pytest.raises(ObjectStoreError, match="NoSuchBucket"):
        S3Objects(endpoint).put(source, "s3://nobodys-bucket/key")


@given(st.lists(st.sampled_from(["..", ".", "a", "b", "", "..a"]), max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_key_leaves_the_folder_of_its_bucket(tmp_path: Path, parts: list[str]) -> None:
    store = FolderObjects(tmp_path / "s3")
    try:
        path = store.path("s3://bureau/" + "/".join(parts))
    except ObjectStoreError:
        return
    assert path.resolve().is_relative_to((tmp_path / "s3" / "bureau").resolve())


def test_a_room_exports_to_s3(tmp_path: Path, endpoint: str) -> None:
    room_settings = RoomSettings(machine=Machine(hosts=2, s3_endpoint=endpoint))
    with Room(tmp_path / "home", room_settings) as room:
        desk = RoomFixture(room, tmp_path, privacy=EXPORTS)
        location = {"roleArn": ROLE, "destination": {"s3Destination": {"s3Uri": "s3://bureau/exports"}}}
        desk.call("PutMLConfiguration", BUREAU, membershipIdentifier=BUREAU_ID, defaultOutputLocation=location)
        model = desk.train()
        desk.own(
            "StartTrainedModelExportJob",
            name="export",
            trainedModelArn=model.key,
            outputConfiguration={"members": [{"accountId": BUREAU}]},
        )
        (job,) = room.store.find("trained-model-export-job", account=AIRLINE)
        assert room.wait(job.key, None, timeout=60).status == "ACTIVE"
        exported = room.workspace.objects.list("s3://bureau/exports/")

    prefix = f"s3://bureau/exports/{model.collaboration}/model/{AIRLINE}/export/"
    assert exported == [f"{prefix}model.tar.gz", f"{prefix}output.tar.gz"]
    assert list((tmp_path / "home" / "s3").iterdir()) == []


def test_a_bucket_that_refuses_fails_the_export_with_the_reason(tmp_path: Path, endpoint: str) -> None:
    room_settings = RoomSettings(machine=Machine(hosts=2, s3_endpoint=endpoint))
    with Room(tmp_path / "home", room_settings) as room:
        desk = RoomFixture(room, tmp_path, privacy=EXPORTS)
        location = {"roleArn": ROLE, "destination": {"s3Destination": {"s3Uri": "s3://not-there/exports"}}}
        desk.call("PutMLConfiguration", BUREAU, membershipIdentifier=BUREAU_ID, defaultOutputLocation=location)
        model = desk.train()
        desk.own(
            "StartTrainedModelExportJob",
            name="export",
            trainedModelArn=model.key,
            outputConfiguration={"members": [{"accountId": BUREAU}]},
        )
        (job,) = room.store.find("trained-model-export-job", account=AIRLINE)
        failed = room.wait(job.key, None, timeout=60)

    assert failed.status == "CREATE_FAILED"
    assert failed.document["statusDetails"]["statusCode"] == "CR-ROM-004"
    assert "NoSuchBucket" in failed.document["statusDetails"]["message"]


@pytest.mark.parametrize("in_the_way", ["bureau", "bureau/out/a/model.tar.gz/x"])
def test_a_place_that_cannot_be_written_to_is_told(tmp_path: Path, in_the_way: str) -> None:
    store, source = FolderObjects(tmp_path / "s3"), tmp_path / "source"
    source.write_text("new")
    other = store.root / in_the_way
    other.parent.mkdir(parents=True)
    other.write_text("other")
    with pytest.raises(ObjectStoreError, match=r"s3://bureau/out/a/model\.tar\.gz cannot be written"):
        store.put(source, "s3://bureau/out/a/model.tar.gz")
    assert [path for path in store.root.rglob("*") if path.is_file()] == [other]
