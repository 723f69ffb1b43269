"""Open questions about the platform: each side of a switch does what its row of the differences says."""

from __future__ import annotations

import json
import socket
import tarfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cleanroom_algo.local.hosts import sandbox
from cleanroom_algo.local.planning.inputs import channel_objects
from cleanroom_algo.local.planning.training import training_plan
from cleanroom_algo.local.resources.arns import MEMBERSHIP
from cleanroom_algo.local.resources.settings import Machine, RoomSettings, Switches
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.room import Room
from cleanroom_algo.local.setup.tables import DeclaredTable
from tests.images.engine import Engine
from tests.local.support import AIRLINE, AIRLINE_ID, RoomFixture, text_of

LOOK = """
import json
data = root / "input" / "data"
config = json.loads((root / "input" / "config" / "inputdataconfig.json").read_text())
print("mode", config["train"]["TrainingInputMode"], config["train"]["S3DistributionType"], flush=True)
print("files", sorted(path.name for path in (data / "train").glob("*")), flush=True)
if (data / "base").exists():
    print("base", sorted(path.name for path in (data / "base").rglob("*")), flush=True)
"""


def room_with(tmp_path: Path, **switches: Any) -> Room:
    return Room(tmp_path / "home", RoomSettings(switches=Switches(**switches), machine=Machine(hosts=5)))


def said(room: Room, record: Record, word: str) -> list[str]:
    lines = (room.workspace.files.run(record) / "log.jsonl").read_text().splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    return [text.removeprefix(f"{word} ") for text in texts if text.startswith(f"{word} ")]


@pytest.mark.parametrize("mode", ["File", "FastFile", "Pipe"])
def test_the_input_mode_where_none_is_asked_for(tmp_path: Path, mode: str) -> None:
    with room_with(tmp_path, default_input_mode=mode) as room:
        record = RoomFixture(room, tmp_path, body=LOOK).train()

        assert record.status == "ACTIVE"
        # The container cannot tell FastFile from File by its configuration (SageMaker developer guide).
        assert said(room, record, "mode")[0].split()[0] == mode.replace("FastFile", "File")
        assert training_plan(room.workspace, record, tmp_path / "run").input_mode.value == mode
        assert ("part-0.csv" in said(room, record, "files")[0]) == (mode != "Pipe")


@pytest.mark.parametrize(
    ("distribution", "files"),
    [
        ("FullyReplicated", [["part-0.csv", "part-1.csv"]] * 2),
        ("ShardedByS3Key", [["part-0.csv"], ["part-1.csv"]]),
    ],
)
def test_the_distribution_where_none_is_asked_for(tmp_path: Path, distribution: str, files: list[list[str]]) -> None:
    resources = {"instanceType": "ml.m5.2xlarge", "volumeSizeInGB": 1, "instanceCount": 2}
    with room_with(tmp_path, default_distribution=distribution) as room:
        record = RoomFixture(room, tmp_path, body=LOOK).train(resourceConfig=resources)

        assert sorted(said(room, record, "files")) == sorted(map(str, files))
        assert said(room, record, "mode") == [f"File {distribution}"] * 2


@pytest.mark.parametrize(("form", "files"), [("packed", ["model.tar.gz"]), ("unpacked", ["weights.txt"])])
def test_the_form_of_the_base_model(tmp_path: Path, form: str, files: list[str]) -> None:
    with room_with(tmp_path, base_model_form=form) as room:
        desk = RoomFixture(room, tmp_path, body=LOOK)
        base = desk.train()
        channels = [{"trainedModelArn": base.key, "channelName": "base"}]
        version = desk.train(incrementalTrainingDataChannels=channels)

        assert version.status == "ACTIVE"
        assert said(room, version, "base") == [str(files)]
        with tarfile.open(room.workspace.files.artifacts(base.key, None) / "model.tar.gz") as tar:
            assert [name.removeprefix("./") for name in tar.getnames()] == ["weights.txt"]


@pytest.mark.parametrize("switch", ["base", "new"])
def test_the_arn_of_what_incremental_training_makes(tmp_path: Path, switch: str) -> None:
    with room_with(tmp_path, incremental_arn=switch) as room:
        desk = RoomFixture(room, tmp_path)
        base = desk.train()
        channels = [{"trainedModelArn": base.key, "channelName": "base"}]
        created = desk.call("CreateTrainedModel", **desk.training(incrementalTrainingDataChannels=channels))
        version = room.wait(created["trainedModelArn"], created["versionIdentifier"], timeout=60)
        versions = desk.own("ListTrainedModelVersions", trainedModelArn=base.key)["trainedModels"]

    assert version.status == "ACTIVE"
    assert (version.key == base.key) == (switch == "base")
    assert len(versions) == (2 if switch == "base" else 1)


@pytest.mark.parametrize("header", ["header", "none"])
def test_the_header_of_a_channel(tmp_path: Path, header: str) -> None:
    pl.DataFrame({"x": [1, 2], "y": [3, 4]}).write_parquet(tmp_path / "numbers.parquet")
    with room_with(tmp_path, channel_header=header) as room:
        desk = RoomFixture(room, tmp_path)
        owner = room.store.get(MEMBERSHIP, AIRLINE_ID)
        assert owner is not None
        DeclaredTable(
            owner,
            "numbers",
            str(tmp_path / "numbers.parquet"),
            "parquet",
            ["x", "y"],
            analyses=[desk.association],
            askers=[AIRLINE],
        ).bring_in(room.caller)
        created = desk.call("CreateMLInputChannel", **desk.query(sql={"queryString": "SELECT x, y FROM numbers"}))
        channel = room.wait(created["mlInputChannelArn"], None, timeout=60)
        objects = [text_of(each) for each in channel_objects(room.workspace, channel)]

    assert channel.document["numberOfRecords"] == 2
    assert sorted(objects) == (["x,y\n1,3\n", "x,y\n2,4\n"] if header == "header" else ["1,3\n", "2,4\n"])


# --- how containers and channels look ---------------------------------------------------------------------------------

TELL = """
import os
print("told", sorted(name for name in os.environ if name.startswith("SM_") or name == "FILE_FORMAT"), flush=True)
if "SM_CHANNEL_TRAIN" in os.environ:
    train, model = os.environ["SM_CHANNEL_TRAIN"], os.environ["SM_MODEL_DIR"]
    print("there", os.listdir(train) != [], os.path.isdir(model), flush=True)
"""


@pytest.mark.parametrize(
    ("switch", "told"),
    [("absent", []), ("present", ["FILE_FORMAT", "SM_CHANNEL_TRAIN", "SM_MODEL_DIR", "SM_OUTPUT_DIR"])],
)
def test_whether_a_container_is_told_by_variables(tmp_path: Path, switch: str, told: list[str]) -> None:
    with room_with(tmp_path, sm_variables=switch) as room:
        record = RoomFixture(room, tmp_path, body=TELL).train()

        assert said(room, record, "told") == [str(told)]
        assert said(room, record, "there") == (["True True"] if told else [])


REACH = """
import socket
try:
    socket.create_connection(("127.0.0.1", {port}), 5).close()
    print("network yes", flush=True)
except OSError:
    print("network no", flush=True)
"""


@pytest.mark.skipif(sandbox.missing() is not None, reason="this machine cannot make sandboxes")
@pytest.mark.parametrize(("switch", "reached"), [("none", "no"), ("open", "yes")])
def test_whether_containers_reach_a_network(tmp_path: Path, switch: str, reached: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, room_with(tmp_path, network=switch) as room:
        record = RoomFixture(room, tmp_path, body=REACH.replace("{port}", str(listener.getsockname()[1]))).train()

        assert said(room, record, "network") == [reached]


ROUTES = """
lines = Path("/proc/net/route").read_text().splitlines()[1:]
print("way", "out" if any(line.split()[1] == "00000000" for line in lines) else "none", flush=True)
"""


@pytest.mark.parametrize(("switch", "way"), [("none", "none"), ("open", "out")])
def test_whether_images_have_a_way_out(engine: Engine, tmp_path: Path, switch: str, way: str) -> None:
    with room_with(tmp_path, network=switch) as room:
        desk = RoomFixture(room, tmp_path, body=ROUTES)
        desk.use_image(engine.image_of(tmp_path / "algorithm"))
        record = desk.train()

        assert record.status == "ACTIVE", record.document
        assert said(room, record, "way") == [way]


def test_a_sandbox_with_an_open_network_is_refused(tmp_path: Path) -> None:
    settings = RoomSettings(switches=Switches(network="open"), machine=Machine(hosts=2, host_kind="sandbox"))
    with Room(tmp_path / "home", settings) as room:
        record = RoomFixture(room, tmp_path).train()

    assert record.document["statusDetails"]["statusCode"] == "CR-HST-002"


@pytest.mark.parametrize(("switch", "ends"), [("spark", ".csv"), ("bare", "-c000")])
def test_the_names_of_a_channels_objects(tmp_path: Path, switch: str, ends: str) -> None:
    with room_with(tmp_path, channel_file_names=switch) as room:
        desk = RoomFixture(room, tmp_path)
        created = desk.call("CreateMLInputChannel", **desk.query())
        channel = room.wait(created["mlInputChannelArn"], timeout=60)
        names = [each.key for each in channel_objects(room.workspace, channel)]

    assert names
    assert all(name.startswith("part-00000-") and name.endswith(ends) for name in names)


# --- what crosses a limit ---------------------------------------------------------------------------------------------

HUNDREDTH = {"unit": "GB", "value": 0.01}  # the least that the model allows: 10 MB
LARGE = """
(root / "model" / "a.bin").write_bytes(__import__("os").urandom(6_000_000))
(root / "output" / "data").mkdir(parents=True, exist_ok=True)
(root / "output" / "data" / "b.bin").write_bytes(__import__("os").urandom(6_000_000))
"""
LARGE_ANSWERS = """
def answer(kind, body):
    return b"\\n".join(b"1" * 1_500_000 for _ in body.splitlines())
"""


@pytest.mark.parametrize(("switch", "code"), [("fail", ""), ("leave-out", ""), ("fail", "OutputTooLarge")])
def test_artifacts_over_their_cap(tmp_path: Path, switch: str, code: str) -> None:
    with room_with(tmp_path, overflow=switch, overflow_status_code=code) as room:
        record = RoomFixture(
            room, tmp_path, body=LARGE, privacy={"trainedModels": {"maxArtifactSize": HUNDREDTH}}
        ).train()
        kept = sorted(path.name for path in room.workspace.files.artifacts(record.key, None).glob("*"))
        shown = record.document["statusDetails"]

        assert shown["statusCode"] == (code or "CR-JOB-102")
        assert record.status == ("CREATE_FAILED" if switch == "fail" else "ACTIVE")
        assert kept == ([] if switch == "fail" else ["model.tar.gz", "output.tar.gz"])
        if kept:
            with tarfile.open(room.workspace.files.artifacts(record.key, None) / "model.tar.gz") as tar:
                assert tar.getnames() == ["a.bin", "weights.txt"]
            with tarfile.open(room.workspace.files.artifacts(record.key, None) / "output.tar.gz") as tar:
                assert tar.getnames() == []


@pytest.mark.parametrize("code", ["", "OutputTooLarge"])
def test_artifacts_that_a_trainer_finds_too_large_have_the_same_status_code(tmp_path: Path, code: str) -> None:
    body = '(root / "output" / "failure").write_text("CR-ART-003  the artifacts are 6 GB")\nsys.exit(1)\n'
    with room_with(tmp_path, overflow_status_code=code) as room:
        shown = RoomFixture(room, tmp_path, body=body).train().document["statusDetails"]
    assert shown["statusCode"] == (code or "CR-JOB-102")
    assert "CR-ART-003" in shown["message"]


@pytest.mark.parametrize("switch", ["fail", "leave-out"])
def test_exports_over_their_cap(tmp_path: Path, switch: str) -> None:
    exports = {"trainedModelExports": {"maxSize": HUNDREDTH, "filesToExport": ["MODEL", "OUTPUT"]}}
    with room_with(tmp_path, overflow=switch) as room:
        desk = RoomFixture(room, tmp_path, body=LARGE, privacy=exports)
        desk.configure()
        job = desk.export(desk.train().key)
        exported = [uri.rpartition("/")[2] for uri in room.workspace.objects.list("s3://bureau/out/")]

    assert job.document["statusDetails"]["statusCode"] == "CR-JOB-501"
    assert job.status == ("CREATE_FAILED" if switch == "fail" else "ACTIVE")
    assert exported == ([] if switch == "fail" else ["model.tar.gz"])


@pytest.mark.parametrize("switch", ["fail", "leave-out"])
def test_outputs_over_their_cap(tmp_path: Path, switch: str) -> None:
    caps = {"trainedModelInferenceJobs": {"maxOutputSize": HUNDREDTH}}
    with room_with(tmp_path, overflow=switch) as room:
        desk = RoomFixture(room, tmp_path, answer=LARGE_ANSWERS, privacy=caps)
        desk.configure()
        job = desk.infer(desk.train().key)
        written = [uri.rpartition("/")[2] for uri in room.workspace.objects.list("s3://bureau/out/")]

    assert job.document["statusDetails"]["statusCode"] == "CR-JOB-204"
    assert job.status == ("CREATE_FAILED" if switch == "fail" else "ACTIVE")
    assert written == ([] if switch == "fail" else ["part-0.csv.out"])


# --- inference and exports --------------------------------------------------------------------------------------------

SAY_WHAT_CAME = """
def answer(kind, body):
    return kind.encode() + b" " + body[:4]
"""


@pytest.mark.parametrize("switch", ["refuse", "whole-objects"])
def test_inference_on_a_channel_in_parquet(tmp_path: Path, switch: str) -> None:
    with room_with(tmp_path, inference_on_parquet=switch) as room:
        desk = RoomFixture(room, tmp_path, answer=SAY_WHAT_CAME)
        desk.configure()
        created = desk.call("CreateMLInputChannel", **desk.query(resultFormat="PARQUET"))
        desk.channel = room.wait(created["mlInputChannelArn"], timeout=60).key
        job = desk.infer(desk.add_packed_model().key)
        written = room.workspace.objects.list("s3://bureau/out/")
        if switch == "refuse":
            assert job.document["statusDetails"]["statusCode"] == "CR-JOB-201"
            assert written == []
        else:
            assert job.status == "ACTIVE", job.document
            room.workspace.objects.fetch(written[0], tmp_path / "answer")
            assert (tmp_path / "answer").read_text() == "application/vnd.apache.parquet PAR1\n"


REFUSE_ONE = """
def answer(kind, body):
    assert b",1" not in body  # as each row of the second object ends
    return b"\\n".join(b"ok" for _ in body.splitlines())
"""


@pytest.mark.parametrize("switch", ["keep", "drop"])
def test_the_outputs_of_a_job_of_which_other_objects_failed(tmp_path: Path, switch: str) -> None:
    with room_with(tmp_path, inference_after_failure=switch) as room:
        desk = RoomFixture(room, tmp_path, answer=REFUSE_ONE)
        desk.configure()
        job = desk.infer(desk.add_packed_model().key)
        written = [uri.rpartition("/")[2] for uri in room.workspace.objects.list("s3://bureau/out/")]

    assert job.status == "CREATE_FAILED"
    assert job.private["failed_objects"] == ["part-1.csv"]
    assert written == (["part-0.csv.out"] if switch == "keep" else [])
    assert "exit_code" in job.private


@pytest.mark.parametrize("switch", ["base", "latest"])
def test_which_version_infers_and_is_exported(tmp_path: Path, switch: str) -> None:
    exports = {"trainedModelExports": {"maxSize": HUNDREDTH, "filesToExport": ["MODEL"]}}
    with room_with(tmp_path, inference_default=switch, export_default=switch) as room:
        desk = RoomFixture(room, tmp_path, privacy=exports)
        desk.configure()
        base = desk.add_packed_model()
        version = desk.add_packed_model(version="0a1b2c3d-0000-4000-8000-0123456789ab")
        expected = version.version if switch == "latest" else None

        for job in (desk.infer(base.key), desk.export(base.key)):
            assert job.status == "ACTIVE", job.document
            assert job.document.get("trainedModelVersionIdentifier") == expected
