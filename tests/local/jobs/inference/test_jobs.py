"""Inference jobs beside each other, cancelled by boto3, and where their outputs go."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from cleanroom_algo.local.room import Room
from tests.local.api.server import up
from tests.local.support import AIRLINE, AIRLINE_ID, BUREAU, COLLABORATION_ID, SETTINGS, RoomFixture

HANGS_WHERE_TOLD = """
def answer(kind, body):
    if "HANG" in os.environ:
        print("asked", flush=True)
        __import__("time").sleep(600)
    return b"\\n".join(b"1" for _ in body.splitlines())
"""


def until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.05)


def test_a_job_is_cancelled_while_another_runs_beside_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Room(home, SETTINGS) as room:
        desk = RoomFixture(room, tmp_path, answer=HANGS_WHERE_TOLD)
        desk.configure()
        model = desk.add_packed_model().key
    own = {"membershipIdentifier": AIRLINE_ID}
    job = {
        **own,
        "trainedModelArn": model,
        "resourceConfig": {"instanceType": "ml.m5.2xlarge"},
        "outputConfiguration": {"members": [{"accountId": BUREAU}]},
        "dataSource": {"mlInputChannelArn": desk.channel},
    }
    with up(home) as running:
        client = running.client(AIRLINE)

        def start(name: str, **environment: str) -> str:
            started = client.start_trained_model_inference_job(**job, name=name, environment=environment)
            return str(started["trainedModelInferenceJobArn"])

        def status(arn: str) -> str:
            return str(client.get_trained_model_inference_job(**own, trainedModelInferenceJobArn=arn)["status"])

        hanging = start("hanging", HANG="1")
        until(lambda: any('"asked"' in log.read_text() for log in home.rglob("log.jsonl")))
        quick = start("quick")
        until(lambda: status(quick) == "ACTIVE")
        assert status(hanging) == "CREATE_IN_PROGRESS"
        client.cancel_trained_model_inference_job(**own, trainedModelInferenceJobArn=hanging)
        until(lambda: status(hanging) == "INACTIVE")
    outputs = sorted(path.parent.name + "/" + path.name for path in (home / "s3").rglob("*.out"))
    assert outputs == ["quick/part-0.csv.out", "quick/part-1.csv.out"]


def test_outputs_take_the_place_of_older_ones_and_leave_others_alone(tmp_path: Path) -> None:
    with Room(tmp_path / "home", SETTINGS) as room:
        desk = RoomFixture(room, tmp_path)
        desk.configure()
        model = desk.add_packed_model()
        place = (
            room.workspace.files.home / "s3" / "bureau" / "out" / COLLABORATION_ID / model.name / AIRLINE / "inference"
        )
        place.mkdir(parents=True)
        (place / "part-0.csv.out").write_text("older")
        (place / "another.out").write_text("another")
        assert desk.infer(model.key).status == "ACTIVE"
    found = {path.name: path.read_text() for path in place.iterdir()}
    assert found == {"another.out": "another", **dict.fromkeys(("part-0.csv.out", "part-1.csv.out"), "1\n" * 4)}


def test_a_place_that_cannot_be_written_to_fails_the_job_with_the_reason(tmp_path: Path) -> None:
    with Room(tmp_path / "home", SETTINGS) as room:
        desk = RoomFixture(room, tmp_path)
        desk.configure()
        (room.workspace.files.home / "s3").mkdir(exist_ok=True)
        (room.workspace.files.home / "s3" / "bureau").write_text("no folder")
        record = desk.infer(desk.add_packed_model().key)
    assert (record.status, record.document["statusDetails"]["statusCode"]) == ("CREATE_FAILED", "CR-ROM-004")
    assert "Not a directory" in record.document["statusDetails"]["message"]
