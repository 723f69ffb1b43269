"""Jobs that really run, and what their members then see through the API and the command."""

from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest

from cleanroom_algo.local.resources.settings import Machine, RoomSettings
from cleanroom_algo.local.room import Room
from tests.cli.support import run
from tests.local.support import AIRLINE, AIRLINE_ID, BUREAU, BUREAU_ID, ONE_PER_LINE, ROLE, SETTINGS, RoomFixture

PRIVACY: dict[str, Any] = {
    "trainedModels": {
        "containerLogs": [
            {"allowedAccountIds": [AIRLINE], "logRedactionConfiguration": {"entitiesToRedact": ["NUMBERS"]}},
            {"allowedAccountIds": [BUREAU], "logType": "ERROR_SUMMARY"},
        ],
        "containerMetrics": {"noiseLevel": "LOW"},
    }
}
BODY = 'print("loss=0.25", flush=True)'


def configure(desk: RoomFixture, account: str, membership: str) -> None:
    location = {"roleArn": ROLE, "destination": {"s3Destination": {"s3Uri": "s3://bucket/out"}}}
    desk.call("PutMLConfiguration", account, membershipIdentifier=membership, defaultOutputLocation=location)


def trained(desk: RoomFixture) -> str:
    arn: str = desk.call("CreateTrainedModel", **desk.training())["trainedModelArn"]
    desk.room.wait(arn, None)
    return arn


def model_of(desk: RoomFixture, arn: str, account: str, membership: str, operation: str) -> dict[str, Any]:
    where = {"membershipIdentifier": membership} if operation == "GetTrainedModel" else {}
    if not where:
        where = {"collaborationIdentifier": desk.room.store.find("collaboration")[0].key}
    return desk.call(operation, account, trainedModelArn=arn, **where)


@pytest.mark.process
def test_each_member_sees_its_own_status_and_lines(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Room(home, settings=SETTINGS) as room:
        desk = RoomFixture(room, tmp_path, body=BODY, privacy=PRIVACY)
        configure(desk, AIRLINE, AIRLINE_ID)
        arn = trained(desk)
        own = model_of(desk, arn, AIRLINE, AIRLINE_ID, "GetTrainedModel")
        other = model_of(desk, arn, BUREAU, BUREAU_ID, "GetCollaborationTrainedModel")

    assert (own["logsStatus"], own["metricsStatus"]) == ("PUBLISH_SUCCEEDED", "PUBLISH_SUCCEEDED")
    assert (other["logsStatus"], other["metricsStatus"]) == ("PUBLISH_FAILED", "PUBLISH_FAILED")
    assert other["logsStatusDetails"] == "Failed to publish logs as no ML Config role is set"
    seen = run("logs", "model", "--as", AIRLINE, "--home", home, "--json")
    assert [line["text"] for line in seen.json] == ["started", "loss=[REDACTED]"]
    blind = run("logs", "model", "--as", BUREAU, "--home", home)
    assert blind.stdout == ""
    assert "no ML configuration" in blind.stderr
    assert "loss=0.25" in run("logs", "model", "--home", home).stdout
    assert run("logs", "model", "--as", "999999999999", "--home", home).status == 2


@pytest.mark.process
def test_other_members_do_not_read_what_a_program_wrote_into_its_failure_file(tmp_path: Path) -> None:
    text = "ValueError: row 8837261 of alice is bad\n  at train.py:9 in main: check('alice')"
    with Room(tmp_path / "home", settings=SETTINGS) as room:
        desk = RoomFixture(room, tmp_path, body=f"(root / 'output/failure').write_text({text!r})\nsys.exit(1)")
        arn = trained(desk)
        own = model_of(desk, arn, AIRLINE, AIRLINE_ID, "GetTrainedModel")["statusDetails"]
        other = model_of(desk, arn, BUREAU, BUREAU_ID, "GetCollaborationTrainedModel")["statusDetails"]

    assert own == {"statusCode": "AlgorithmError", "message": f"AlgorithmError: {text}"}
    assert other == {"statusCode": "AlgorithmError", "message": "AlgorithmError: ValueError\n  at train.py:9 in main"}


@pytest.mark.process
def test_a_configuration_that_comes_after_the_end_brings_nothing_back(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Room(home, settings=SETTINGS) as room:
        desk = RoomFixture(room, tmp_path, body="sys.exit('row 12 is bad')", privacy=PRIVACY)
        arn = trained(desk)
        configure(desk, BUREAU, BUREAU_ID)
        late = model_of(desk, arn, BUREAU, BUREAU_ID, "GetCollaborationTrainedModel")
        again = desk.call("CreateTrainedModel", **desk.training(name="again"))["trainedModelArn"]
        room.wait(again, None)

    assert late["logsStatus"] == "PUBLISH_FAILED"
    assert run("logs", "model", "--as", BUREAU, "--home", home).stdout == ""
    summary = run("logs", "again", "--as", BUREAU, "--home", home, "--json").json
    assert [line["stream"] for line in summary] == ["error-summary"]
    assert summary[0]["text"].startswith("AlgorithmError")


def test_a_status_appears_when_the_job_has_ended(tmp_path: Path) -> None:
    with Room(tmp_path / "home", settings=SETTINGS) as room:
        desk = RoomFixture(room, tmp_path, body="time.sleep(60)", privacy=PRIVACY)
        configure(desk, AIRLINE, AIRLINE_ID)
        arn = desk.call("CreateTrainedModel", **desk.training())["trainedModelArn"]
        running = model_of(desk, arn, AIRLINE, AIRLINE_ID, "GetTrainedModel")
        desk.own("CancelTrainedModel", trainedModelArn=arn)
        room.wait(arn, None)

    assert not {"logsStatus", "metricsStatus"} & running.keys()


@pytest.mark.process
@pytest.mark.parametrize("noise", ["none", "gaussian"])
def test_the_command_prints_metrics(tmp_path: Path, noise: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "settings.toml").write_text(f'[switches]\nmetric_noise = "{noise}"\n[machine]\nhosts = 2\n')
    with Room(home) as room:
        desk = RoomFixture(room, tmp_path, body=BODY, privacy=PRIVACY)
        configure(desk, AIRLINE, AIRLINE_ID)
        record = room.store.find("configured-model-algorithm")[0]
        container = record.document["trainingContainerConfig"]
        definitions = [{"name": "loss", "regex": "loss=([0-9.]+)"}]
        room.store.update(record, document={"trainingContainerConfig": container | {"metricDefinitions": definitions}})
        trained(desk)

    everything = run("metrics", "model", "--home", home, "--json").json
    seen = run("metrics", "model", "--as", AIRLINE, "--home", home)

    defined = [each for each in everything if each["name"] not in {"CPUUtilization", "MemoryUtilization"}]
    assert [(each["name"], each["value"]) for each in defined] == [("loss", 0.25)]
    assert ("0.25\n" in seen.stdout) == (noise == "none")
    assert run("metrics", "model", "--as", BUREAU, "--home", home, "--json").json == []


LONG = """
usage = Path(os.environ["SAGEMAKER_BASE_DIR"]).parents[2] / "usage.jsonl"
while not usage.exists(): time.sleep(0.01)
"""


@pytest.mark.process
def test_members_with_a_configuration_see_cpu_and_memory_of_both_kinds_of_jobs(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Room(home, settings=RoomSettings(machine=Machine(hosts=2, host_kind="process"))) as room:
        answer = f"import time\nfrom pathlib import Path\n{LONG}{ONE_PER_LINE}"
        desk = RoomFixture(room, tmp_path, body=f"import os{LONG}", answer=answer, privacy=PRIVACY)
        desk.configure()
        model = desk.train(resourceConfig={"instanceType": "ml.m5.large", "volumeSizeInGB": 1, "instanceCount": 2})
        desk.infer(model.key)

    for job, hosts in (("model", {"algo-1", "algo-2"}), ("inference", {"algo-1"})):
        seen = run("metrics", job, "--as", BUREAU, "--home", home, "--json").json
        system = [each for each in seen if each["name"] in {"CPUUtilization", "MemoryUtilization"}]
        assert len(system) == len(seen) >= 2
        assert {each["host"] for each in system} <= hosts
        assert all(each["value"] >= 0 for each in system)
        assert system == sorted(system, key=itemgetter("time"))
        assert run("metrics", job, "--as", AIRLINE, "--home", home, "--json").json == []
        assert "CPUUtilization" in run("metrics", job, "--home", home).stdout
