"""Channels on S3 in each input mode: real processes, a service that speaks S3, and what may go wrong there."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from cleanroom_algo.contract.channel import Distribution, InputMode
from cleanroom_algo.errors import ObjectLostError
from cleanroom_algo.errors.exit_codes import ExitCode
from cleanroom_algo.local.hosts.process import ProcessHosts
from cleanroom_algo.local.jobs.training import run_training
from cleanroom_algo.local.objects.listing import objects_of, source_of
from cleanroom_algo.local.plans.outcomes import JobStatus, TrainingOutcome
from cleanroom_algo.local.plans.training_plan import AlgorithmSource, ChannelPlan, TrainingPlan, plan_hosts
from tests.local.hosts.kinds import KINDS, place_of
from tests.local.jobs.support import Lines, members
from tests.local.objects.conftest import BUCKET, Gate
from tests.scenario.conftest import make_desk

URI = f"s3://{BUCKET}/flights/"
MIB = 1 << 20
PROGRAM = """#!/usr/bin/env python3
import hashlib, json, os, sys, time
from pathlib import Path
root = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
data, model = root / "input/data", root / "model"
host = json.loads((root / "input/config/resourceconfig.json").read_text())["current_host"]

def digest(path):
    found = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while piece := file.read(1 << 20):
            found.update(piece)
    return found.hexdigest()

def files():
    return sorted(path for path in (data / "train").rglob("*") if path.is_file())

def wait(word="go"):
    # The test answers by a file among the checkpoints, which are on this machine.
    while not (root / "checkpoints" / word).exists():
        time.sleep(0.01)

"""
EVERYTHING = """
if (data / "train_0").exists():
    seen = [[digest(data / f"train_{epoch}") for epoch in (0, 1)]]
else:
    seen = {str(path.relative_to(data / "train")): digest(path) for path in files()}
try:
    (data / "train/new").write_text("x")
    written = "written"
except OSError as error:
    written = error.strerror
secrets = sorted(name for name, value in os.environ.items() if "CANARY" in value or name.startswith("AWS"))
(model / f"{host}.json").write_text(json.dumps([seen, written, secrets]))
"""

MODES = (InputMode.FILE, InputMode.PIPE)


@dataclass
class S3Fixture:
    """Makes plans of jobs on what is in the bucket."""

    folder: Path

    def plan(self, body: str, mode: InputMode, hosts: int = 1) -> TrainingPlan:
        algorithm = self.folder / "algorithm"
        algorithm.mkdir(exist_ok=True)
        (algorithm / "train").write_text(PROGRAM + body)
        (algorithm / "train").chmod(0o755)
        channel = ChannelPlan("train", Distribution.SHARDED_BY_S3_KEY, objects_of(source_of(URI)))
        return TrainingPlan(
            job_name="job",
            job_arn="arn:aws:sagemaker:us-east-1:111111111111:training-job/job",
            run_directory=self.folder / "run",
            source=AlgorithmSource(str(algorithm)),
            hosts=plan_hosts((channel,), hosts),
            channels=(channel,),
            input_mode=mode,
        )

    def go(self, word: str = "go") -> None:
        """Let the program of the first host go on."""
        (self.folder / "run/hosts/algo-1/ml/checkpoints" / word).touch()


@pytest.fixture
def desk(tmp_path: Path, gate: Gate) -> S3Fixture:
    return S3Fixture(tmp_path)


def run(plan: TrainingPlan, lines: Lines | None = None, **more: object) -> TrainingOutcome:
    return run_training(plan, ProcessHosts(), lines or Lines(), **more)  # type: ignore[arg-type]


class Meanwhile:
    """A job in a thread, so that a test can do something while it runs."""

    def __init__(self, plan: TrainingPlan, **more: object) -> None:
        self.lines = Lines()
        self.outcome: TrainingOutcome | None = None
        self._thread = threading.Thread(target=self._run, args=(plan, more))
        self._thread.start()

    def _run(self, plan: TrainingPlan, more: dict[str, object]) -> None:
        self.outcome = run(plan, self.lines, **more)

    def end(self) -> TrainingOutcome:
        self._thread.join(60)
        assert self.outcome is not None
        return self.outcome


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        *((kind, mode) for kind in ("process", "sandbox") for mode in (InputMode.FILE, InputMode.PIPE)),
        *((kind, InputMode.FAST_FILE) for kind in KINDS),
    ],
)
def test_every_host_gets_its_share_and_no_credentials(
    desk: S3Fixture, gate: Gate, request: pytest.FixtureRequest, kind: str, mode: InputMode
) -> None:
    objects = {f"year=2013/part-{number}": os.urandom(number * 700_001) for number in range(4)}
    gate.put({f"flights/{key}": content for key, content in objects.items()})
    place = place_of(request, kind)
    plan = desk.plan(EVERYTHING, mode, hosts=2)

    outcome = run_training(replace(plan, source=place.source(plan.source)), place.hosts, Lines())

    if (kind, mode) == ("process", InputMode.FAST_FILE) and os.geteuid() == 0:  # permissions do not bind root
        assert "CR-JOB-103" in str(outcome.failure_reason)
        return
    assert outcome.status is JobStatus.COMPLETED, outcome.failure_reason
    contents = list(objects.values())
    for number, name in enumerate(("algo-1", "algo-2")):
        seen, written, secrets = json.loads(members(outcome.model_archive)[f"{name}.json"])
        if mode is InputMode.PIPE:
            assert seen == [[sha(b"".join(contents[number::2]))] * 2]
        else:
            assert seen == {key: sha(objects[key]) for key in list(objects)[number::2]}
        if mode is InputMode.FAST_FILE:
            assert written == ("Permission denied" if kind == "process" else "Read-only file system")
        assert secrets == []


def test_a_pipe_leaves_nothing_on_the_disk(desk: S3Fixture, gate: Gate) -> None:
    gate.put({f"flights/{number}": os.urandom(8 * MIB) for number in range(3)})
    body = """
with open(data / "train_0", "rb", buffering=0) as pipe:
    seen = sum(len(pipe.read(1 << 20)) for _ in range(12))
    print("half", flush=True)
    wait()
    while piece := pipe.read(1 << 20):
        seen += len(piece)
print(seen)
"""
    job = Meanwhile(desk.plan(body, InputMode.PIPE))

    job.lines.wait_for("half")
    on_disk = sum(path.stat().st_size for path in (desk.folder / "run").rglob("*") if path.is_file())
    desk.go()
    assert job.end().status is JobStatus.COMPLETED
    assert on_disk < MIB
    assert str(24 * MIB) in [text for _, _, text in job.lines.seen]


def test_of_what_all_hosts_get_each_object_is_downloaded_once(desk: S3Fixture, gate: Gate) -> None:
    gate.put({f"flights/{number}": os.urandom(3 * MIB) for number in range(3)})
    lines = Lines()
    plan = desk.plan(EVERYTHING, InputMode.FILE)
    channel = replace(plan.channels[0], distribution=Distribution.FULLY_REPLICATED)

    outcome = run(replace(plan, channels=(channel,), hosts=plan_hosts((channel,), 3)), lines)

    assert outcome.status is JobStatus.COMPLETED
    assert gate.bytes_asked_for() == 9 * MIB
    told = [text for _, stream, text in lines.seen if stream == "progress"]
    assert told[-1] == "downloading train to algo-3: 3 of 3 objects, 9.4 MB of 9.4 MB"


@pytest.mark.parametrize("mode", MODES)
def test_answers_that_break_off_are_asked_for_again(desk: S3Fixture, gate: Gate, mode: InputMode) -> None:
    gate.put({"flights/a": os.urandom(3 * MIB)})
    plan = desk.plan(EVERYTHING, mode)
    gate.cut = 2
    outcome = run(plan)
    assert outcome.status is JobStatus.COMPLETED, outcome.failure_reason
    assert gate.cut == 0


@pytest.mark.parametrize("mode", MODES)
def test_a_service_that_fails_for_a_while_is_asked_again(desk: S3Fixture, gate: Gate, mode: InputMode) -> None:
    gate.put({"flights/a": os.urandom(MIB // 2)})  # one range
    plan = desk.plan(EVERYTHING, mode)
    gate.busy = 4  # boto3 asks three times here
    outcome = run(plan)
    assert outcome.status is JobStatus.COMPLETED, outcome.failure_reason
    assert gate.busy == 0


def remove(gate: Gate) -> None:
    gate.s3.delete_object(Bucket=BUCKET, Key="flights/a")


def replace_it(gate: Gate) -> None:
    gate.put({"flights/a": b"another"})


def deny(gate: Gate) -> None:
    gate.deny = True


def hang_up(gate: Gate) -> None:
    gate.cut = 1_000_000


def keep_busy(gate: Gate) -> None:
    gate.busy = 1_000_000


FAULTS = [
    pytest.param(remove, "CR-ROM-008", "no longer exists", id="gone"),
    pytest.param(replace_it, "CR-ROM-008", "has changed", id="changed"),
    pytest.param(deny, "CR-ROM-004", "AccessDenied", id="denied"),
    pytest.param(keep_busy, "CR-ROM-004", "try again later", id="busy"),
    pytest.param(hang_up, "CR-ROM-004", "then try again", id="hung up"),
]


@pytest.mark.parametrize(("fault", "code", "words"), FAULTS)
def test_what_goes_wrong_in_mid_read_fails_the_job_with_its_reason(
    desk: S3Fixture, gate: Gate, fault: Callable[[Gate], None], code: str, words: str
) -> None:
    gate.put({"flights/a": bytes(24 * MIB)})
    body = """
print("started", flush=True)
with open(data / "train_0", "rb", buffering=0) as file:
    file.read(1)
    print("begun", flush=True)
    wait()
    while file.read(1 << 20): pass
print("all read")  # which would pass for success
"""
    job = Meanwhile(desk.plan(body, InputMode.PIPE))
    job.lines.wait_for("begun")
    fault(gate)
    desk.go()

    outcome = job.end()

    assert outcome.status is JobStatus.FAILED
    assert outcome.failure_reason is not None
    assert outcome.failure_reason.startswith(code)
    assert words in outcome.failure_reason
    assert f"s3://{BUCKET}/flights/a" in outcome.failure_reason
    assert "all read" not in [text for _, _, text in job.lines.seen]


@pytest.mark.parametrize("mode", [InputMode.FILE, InputMode.FAST_FILE])
@pytest.mark.parametrize("fault", [remove, replace_it])
def test_what_goes_wrong_in_a_download_lets_nothing_start(
    desk: S3Fixture, gate: Gate, mode: InputMode, fault: Callable[[Gate], None]
) -> None:
    gate.put({"flights/a": os.urandom(MIB), "flights/b": os.urandom(MIB)})
    plan = desk.plan(EVERYTHING, mode)
    fault(gate)
    lines = Lines()
    with pytest.raises(ObjectLostError, match="flights/a"):
        run(plan, lines)
    assert [stream for _, stream, _ in lines.seen if stream != "progress"] == []


def test_a_job_can_be_stopped_while_it_downloads(desk: S3Fixture, gate: Gate) -> None:
    gate.put({"flights/a": os.urandom(MIB)})
    stopped = threading.Event()
    stopped.set()
    assert run(desk.plan(EVERYTHING, InputMode.FILE), stopped=stopped).status is JobStatus.STOPPED


def test_a_file_that_vanishes_under_a_pipe_fails_the_job(desk: S3Fixture, gate: Gate) -> None:
    gate.put({"flights/a": b"1"})
    folder = desk.folder / "data"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / name).write_bytes(bytes(2 * MIB))
    channel = ChannelPlan("train", Distribution.FULLY_REPLICATED, objects_of(folder))
    plan = desk.plan('digest(data / "train_0"); print("all read")', InputMode.PIPE)
    (folder / "b").unlink()
    lines = Lines()

    outcome = run(replace(plan, channels=(channel,), hosts=plan_hosts((channel,), 1)), lines)

    assert outcome.status is JobStatus.FAILED
    assert outcome.failure_reason is not None
    assert outcome.failure_reason.startswith("CR-ROM-008")
    assert "b cannot be opened" in outcome.failure_reason
    assert lines.seen == []


def test_the_command_trains_and_predicts_on_s3(gate: Gate, tmp_path: Path) -> None:
    desk = make_desk(tmp_path)
    desk.run_on("process")
    for path in desk.data.iterdir():
        gate.put({f"flights/year=2013/{path.name}": path.read_bytes()})
    uri = f"s3://{BUCKET}/flights/year=2013/"

    trained = desk.run("train", desk.algorithm, "--channel", f"train={uri}", "--json")
    assert trained.status == 0, trained.stdout
    # With `=` in it, and no name before it.
    done = desk.run("infer", trained.json["name"], "--channel", uri, "--json")

    assert done.status == 0, done.stdout
    assert done.json["rows"] == 40
    assert [Path(each).name for each in done.json["outputs"]] == [
        f"{path.name}.out" for path in sorted(desk.data.iterdir())
    ]
    again = desk.run("plan", desk.algorithm, "--channel", f"train={uri}", "--json").json
    assert again["hosts"][0]["channels"]["train"]["objects"] == sorted(path.name for path in desk.data.iterdir())


def test_what_is_lost_in_a_training_has_its_own_exit_status(gate: Gate, tmp_path: Path) -> None:
    desk = make_desk(tmp_path)
    desk.run_on("process")
    reads = "next(self.environment.channels['train'].path.iterdir()).read_bytes()"  # fails, and the container with 1
    desk.algorithm.write_text(desk.algorithm.read_text().replace("def fit(self):", f"def fit(self):\n        {reads}"))
    gate.put({"flights/a.csv": (desk.data / "part-00000.csv").read_bytes()})
    gate.cut = 1_000_000
    done = desk.run("train", desk.algorithm, "--channel", f"train={URI}", "--input-mode", "FastFile")
    assert done.status == ExitCode.CONTRACT, done.stderr
    assert "CR-ROM-004" in done.stdout + done.stderr


def test_what_is_lost_in_an_inference_fails_it_with_its_reason(gate: Gate, tmp_path: Path) -> None:
    desk = make_desk(tmp_path)
    desk.run_on("process")
    gate.put({"flights/a.csv": (desk.data / "part-00000.csv").read_bytes()})
    trained = desk.train("--json")
    gate.cut = 1_000_000
    done = desk.run("infer", trained.json["name"], "--channel", URI, "--json")
    assert done.status != 0
    assert "CR-ROM-004" in done.stdout
    assert f"{URI}a.csv" in done.stdout
