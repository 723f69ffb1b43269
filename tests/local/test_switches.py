"""Open questions about the platform: each side of a switch does what its row of the differences says."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cleanroom_algo.local.arns import CONFIGURED_TABLE
from cleanroom_algo.local.jobs.runners import training_plan
from cleanroom_algo.local.room import Room
from cleanroom_algo.local.settings import Machine, RoomSettings, Switches
from cleanroom_algo.local.store import Record
from tests.local.support import AIRLINE, AIRLINE_ID, COLLABORATION_ID, ROLE, Desk

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
    return Room.open(tmp_path / "home", RoomSettings(switches=Switches(**switches), machine=Machine(hosts=5)))


def said(room: Room, record: Record, word: str) -> list[str]:
    lines = (room.run_directory(record) / "log.jsonl").read_text().splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    return [text.removeprefix(f"{word} ") for text in texts if text.startswith(f"{word} ")]


@pytest.mark.parametrize("mode", ["File", "FastFile", "Pipe"])
def test_the_input_mode_where_none_is_asked_for(tmp_path: Path, mode: str) -> None:
    with room_with(tmp_path, default_input_mode=mode) as room:
        record = Desk(room, tmp_path, body=LOOK).train()

        assert record.status == "ACTIVE"
        # The container cannot tell FastFile from File by its configuration (SageMaker developer guide).
        assert said(room, record, "mode")[0].split()[0] == mode.replace("FastFile", "File")
        assert training_plan(room, record, tmp_path / "run").input_mode.value == mode
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
        record = Desk(room, tmp_path, body=LOOK).train(resourceConfig=resources)

        assert sorted(said(room, record, "files")) == sorted(map(str, files))
        assert said(room, record, "mode") == [f"File {distribution}"] * 2


@pytest.mark.parametrize(("form", "files"), [("packed", ["model.tar.gz"]), ("unpacked", ["weights.txt"])])
def test_the_form_of_the_base_model(tmp_path: Path, form: str, files: list[str]) -> None:
    with room_with(tmp_path, base_model_form=form) as room:
        desk = Desk(room, tmp_path, body=LOOK)
        base = desk.train()
        channels = [{"trainedModelArn": base.key, "channelName": "base"}]
        version = desk.train(incrementalTrainingDataChannels=channels)

        assert version.status == "ACTIVE"
        assert said(room, version, "base") == [str(files)]
        with tarfile.open(room.artifacts(base.key, None) / "model.tar.gz") as tar:
            assert [name.removeprefix("./") for name in tar.getnames()] == ["weights.txt"]


@pytest.mark.parametrize("switch", ["base", "new"])
def test_the_arn_of_what_incremental_training_makes(tmp_path: Path, switch: str) -> None:
    with room_with(tmp_path, incremental_arn=switch) as room:
        desk = Desk(room, tmp_path)
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
    table = {
        "name": "numbers",
        "location": str(tmp_path / "numbers.parquet"),
        "format": "parquet",
        "columns": ["x", "y"],
        "join_columns": [],
    }
    query = {"queryString": "SELECT x, y FROM numbers"}
    source = {"protectedQueryInputParameters": {"sqlParameters": query, "resultFormat": "CSV"}}
    with room_with(tmp_path, channel_header=header) as room:
        desk = Desk(room, tmp_path)
        room.store.insert(Record(kind=CONFIGURED_TABLE, key="numbers", collaboration=COLLABORATION_ID, private=table))
        created = desk.call(
            "CreateMLInputChannel",
            AIRLINE,
            membershipIdentifier=AIRLINE_ID,
            name="numbers",
            configuredModelAlgorithmAssociations=[desk.association],
            inputChannel={"dataSource": source, "roleArn": ROLE},
            retentionInDays=1,
        )
        channel = room.wait(created["mlInputChannelArn"], None, timeout=60)
        objects = [each.path.read_text() for each in room.channel_objects(channel)]

    assert channel.document["numberOfRecords"] == 2
    assert sorted(objects) == (["x,y\n1,3\n", "x,y\n2,4\n"] if header == "header" else ["1,3\n", "2,4\n"])
