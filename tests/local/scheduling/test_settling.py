"""Jobs that do not end by themselves: cancelled, killed with their process, or of a record that makes no sense."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest

from cleanroom_algo.errors import JobLostError
from cleanroom_algo.local.objects.store import FolderObjects
from cleanroom_algo.local.operations.calling import Caller
from cleanroom_algo.local.resources.owners import Owners
from cleanroom_algo.local.resources.settings import Machine
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.room import Room
from tests.local.api.server import up
from tests.local.support import AIRLINE, AIRLINE_ID, BUREAU, SETTINGS, RoomFixture

EXPORTS = {"trainedModelExports": {"maxSize": {"unit": "GB", "value": 1}, "filesToExport": ["MODEL", "OUTPUT"]}}
DEAD = "1-dead"


def wait_for_status(room: Room, arn: str, status: str) -> None:
    limit = time.monotonic() + 60
    while (found := room.store.get("trained-model", arn)) is None or found.status != status:
        assert time.monotonic() < limit
        room.supervisor.wait_for_change(0.05)


def test_a_job_that_is_being_cancelled_says_so(tmp_path: Path) -> None:
    deaf, go = tmp_path / "deaf", tmp_path / "go"
    slow = (
        f"signal.signal(signal.SIGTERM, signal.SIG_IGN)\nPath({str(deaf)!r}).touch()\n"
        f"while not Path({str(go)!r}).exists():\n    time.sleep(0.02)"
    )
    settings = SETTINGS.model_copy(update={"machine": Machine(hosts=2, host_kind="process")})
    with Room(tmp_path / "home", settings) as room:
        desk = RoomFixture(room, tmp_path, body=slow)
        arn = desk.call("CreateTrainedModel", **desk.training())["trainedModelArn"]
        limit = time.monotonic() + 60
        while not deaf.exists():  # a container that ends at SIGTERM is not seen while it is cancelled
            assert time.monotonic() < limit
            room.supervisor.wait_for_change(0.05)

        desk.own("CancelTrainedModel", trainedModelArn=arn)
        wait_for_status(room, arn, "CANCEL_IN_PROGRESS")
        go.touch()

        assert room.wait(arn, timeout=60).status == "INACTIVE"


def test_jobs_of_root_on_process_hosts_are_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings = SETTINGS.model_copy(update={"machine": Machine(hosts=2, host_kind="process")})
    for user, told in ((0, True), (1000, False)):
        monkeypatch.setattr("os.geteuid", lambda user=user: user)
        caplog.clear()
        with Room(tmp_path / f"{user}", settings) as room:
            RoomFixture(room, tmp_path / f"{user}").train()

        assert ("running as root" in caplog.text) is told


def test_a_killed_worker_leaves_a_server_that_answers(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Room(home, SETTINGS) as room:
        desk = RoomFixture(room, tmp_path, body="time.sleep(120)")
    own = {"membershipIdentifier": AIRLINE_ID}
    with up(home) as server:
        client = server.client(AIRLINE, attempts=10)
        master = psutil.Process(server.process.pid)
        for _ in range(3):
            arn = client.create_trained_model(**desk.training())["trainedModelArn"]
            limit = time.monotonic() + 60
            while client.get_trained_model(**own, trainedModelArn=arn)["status"] != "CREATE_IN_PROGRESS":
                assert time.monotonic() < limit
            for worker in master.children():
                worker.send_signal(signal.SIGKILL)
            while (found := client.get_trained_model(**own, trainedModelArn=arn))["status"] == "CREATE_IN_PROGRESS":
                assert time.monotonic() < limit

            assert found["statusDetails"]["statusCode"] == JobLostError.code
        assert master.is_running()


def test_an_export_that_was_killed_leaves_no_part(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Room(home, SETTINGS) as room:
        room.caller = Caller(room.workspace, lambda: None)
        desk = RoomFixture(room, tmp_path, privacy=EXPORTS)
        desk.configure()
        output = {"members": [{"accountId": BUREAU}]}
        model = desk.add_packed_model()
        desk.own("StartTrainedModelExportJob", trainedModelArn=model.key, name="export", outputConfiguration=output)
        (record,) = room.store.find("trained-model-export-job")
        (job,) = room.store.jobs()
        assert room.store.claim_job(job, room.supervisor.owner)
        place = home / "s3" / record.private["output"].removeprefix("s3://")
        place.mkdir(parents=True)
        for name in ("model.tar.gz", ".incomplete-output.tar.gz-x1", "model.tar.gz.note"):
            (place / name).touch()

    with Room(home, SETTINGS) as room:
        found = room.store.get(record.kind, record.key)

    assert found is not None
    assert (found.status, found.document["statusDetails"]["statusCode"]) == ("CREATE_FAILED", JobLostError.code)
    assert [path.name for path in place.iterdir()] == ["model.tar.gz.note"]


@pytest.mark.parametrize("end", ["killed", "cancelled", "full"])
def test_an_inference_job_that_ends_while_it_stores_its_output_leaves_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    home, put = tmp_path / "home", FolderObjects.put

    def stop_here(objects: FolderObjects, source: Path, uri: str) -> str:
        stored = put(objects, source, uri)
        if end == "killed":  # the files and records of this moment are what another process finds
            shutil.copytree(home, tmp_path / "killed", dirs_exist_ok=True)
        elif end == "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        else:
            desk.own("CancelTrainedModelInferenceJob", trainedModelInferenceJobArn=arn)
        return stored

    with Room(home, SETTINGS) as room:
        desk = RoomFixture(room, tmp_path)
        desk.configure()
        model = desk.add_packed_model()
        monkeypatch.setattr(FolderObjects, "put", stop_here)
        arn = desk.start_inference(model.key)
        found: Record | None = room.wait(arn, timeout=60)
    monkeypatch.undo()
    if end == "killed":
        home = tmp_path / "killed"
        monkeypatch.setattr(Owners, "is_alive", lambda *_: False)
        with Room(home, SETTINGS) as room:
            found = room.store.get("trained-model-inference-job", arn)

    assert found is not None
    assert found.status == ("INACTIVE" if end == "cancelled" else "CREATE_FAILED")
    assert not [path for path in (home / "s3").rglob("*") if path.is_file()]


def test_a_lost_job_that_makes_no_sense_keeps_no_room_from_starting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Room(tmp_path / "home", SETTINGS) as room:
        desk = RoomFixture(room, tmp_path)
        senseless = room.store.insert(Record(kind="no-such-kind", key="arn:senseless", status="WHATEVER"))
        waiting = desk.add_model(1, status="CREATE_IN_PROGRESS")
        for record in (senseless, waiting):
            room.store.add_job(record, hosts=1, owner=DEAD)

    with caplog.at_level(logging.ERROR), Room(tmp_path / "home", SETTINGS) as room:
        found = room.store.get(waiting.kind, waiting.key)

    assert "arn:senseless" in caplog.text
    assert found is not None
    assert found.status == "CREATE_FAILED"
