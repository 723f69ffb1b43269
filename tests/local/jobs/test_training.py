"""Training jobs on every kind of host that this machine offers: real processes, signals and pipes."""

import contextlib
import gzip
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from cleanroom_algo.contract.channel import Distribution, InputMode
from cleanroom_algo.errors import HostStartError
from cleanroom_algo.local.hosts.layout import input_data_config, resource_config
from cleanroom_algo.local.hosts.process import ProcessHosts
from cleanroom_algo.local.jobs.plan import AlgorithmSource, BaseModel, ChannelPlan, ObjectRef, TrainingPlan, plan_hosts
from cleanroom_algo.local.jobs.training import TrainingOutcome, TrainingStatus, run_training
from tests.local.hosts.kinds import KINDS, place_of
from tests.local.support import text_of

PRELUDE = """#!/usr/bin/env python3
import json, os, signal, subprocess, sys, time
from pathlib import Path
root = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
host = json.loads((root / "input/config/resourceconfig.json").read_text())["current_host"]
"""


class Lines:
    """Collects what the hosts write, and lets a test wait for a line."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str]] = []
        self._changed = threading.Condition()

    def line(self, host: str, stream: str, text: str) -> None:
        with self._changed:
            self.seen.append((host, stream, text))
            self._changed.notify_all()

    def progress(self, progress: object) -> None:
        self.line("job", "progress", str(progress))

    def wait_for(self, text: str, count: int = 1) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: sum(seen[2] == text for seen in self.seen) >= count, timeout=60)


Job = Callable[..., TrainingPlan]
Run = Callable[..., TrainingOutcome]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Return a function that makes a plan for a `train` program with the given body."""

    def job(
        body: str, *, hosts: int = 1, parts: int = 0, mode: InputMode = InputMode.FILE, **more: object
    ) -> TrainingPlan:
        folder = tmp_path / "algorithm"
        folder.mkdir(exist_ok=True)
        (folder / "train").write_text(PRELUDE + body)
        (folder / "train").chmod(0o755)
        objects = []
        for number in range(parts):
            path = tmp_path / f"object-{number}"
            path.write_text(f"{number}\n")
            objects.append(ObjectRef(f"nested/part-{number:05}", path, path.stat().st_size))
        channels = (ChannelPlan("train", Distribution.SHARDED_BY_S3_KEY, tuple(objects)),) if parts else ()
        return TrainingPlan(
            job_name="job",
            job_arn="arn:aws:sagemaker:us-east-1:111111111111:training-job/job",
            run_directory=tmp_path / "run",
            source=AlgorithmSource(str(folder)),
            hosts=plan_hosts(channels, hosts),
            channels=channels,
            input_mode=mode,
            **more,  # type: ignore[arg-type]
        )

    return job


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Return the name of each kind of host in turn."""
    name: str = request.param
    return name


@pytest.fixture
def run(request: pytest.FixtureRequest, kind: str) -> Run:
    """Return a function that runs a plan on such hosts."""
    place = place_of(request, kind)

    def run(plan: TrainingPlan, lines: Lines | None = None, **more: object) -> TrainingOutcome:
        plan = replace(plan, source=place.source(plan.source))
        return run_training(plan, place.hosts, lines or Lines(), **more)  # type: ignore[arg-type]

    return run


def members(archive: Path | None) -> dict[str, bytes]:
    assert archive is not None
    with tarfile.open(archive) as tar:
        return {member.name: file.read() for member in tar if (file := tar.extractfile(member))}


def test_the_container_sees_what_a_real_job_shows(job: Job) -> None:
    plan = job("", parts=1, hyperparameters={"epochs": "3"})
    host = plan.hosts[0]
    one_gpu_host = resource_config(replace(plan, instance_type="ml.g4dn.12xlarge"), host)
    del one_gpu_host["topology"]  # it came in 2025; the sizes are of a listing from 2022

    assert len(json.dumps(one_gpu_host, separators=(",", ":"))) == 280
    replicated = ChannelPlan("training", Distribution.FULLY_REPLICATED, ())
    config = input_data_config(replace(plan, channels=(replicated,)))
    assert len(json.dumps(config, separators=(",", ":"))) == 107


def test_arguments_environment_files_and_archives(job: Job, run: Run) -> None:
    body = """
print(sys.argv[1:], os.environ["TRAINING_JOB_NAME"], os.environ["COLOUR"], "AWS_CANARY" in os.environ)
files = sorted(str(p.relative_to(root)) for p in (root / "input/data").rglob("*") if p.is_file())
(root / "model" / f"{host}.json").write_text(json.dumps(files))
(root / "output/data" / f"{host}.txt").write_text("output")
"""
    os.environ["AWS_CANARY"] = "secret"
    lines = Lines()
    try:
        outcome = run(job(body, hosts=2, parts=3, environment={"COLOUR": "red"}), lines)
    finally:
        del os.environ["AWS_CANARY"]

    assert outcome.status is TrainingStatus.COMPLETED
    assert outcome.exit_codes == {"algo-1": 0, "algo-2": 0}
    assert {text for _, _, text in lines.seen} == {"['train'] job red False"}
    model = members(outcome.model_archive)
    shards = {name: json.loads(content) for name, content in model.items()}
    manifest = ["input/data/train-manifest"]
    assert shards == {
        "algo-1.json": [*manifest, "input/data/train/nested/part-00000", "input/data/train/nested/part-00002"],
        "algo-2.json": [*manifest, "input/data/train/nested/part-00001"],
    }
    assert set(members(outcome.output_archive)) == {"algo-1.txt", "algo-2.txt"}
    logged = [json.loads(line) for line in outcome.log.read_text().splitlines()]
    assert {(entry["host"], entry["stream"]) for entry in logged} == {("algo-1", "stdout"), ("algo-2", "stdout")}


def test_entrypoint_and_arguments_take_the_place_of_train(job: Job, run: Run) -> None:
    plan = job("")
    for entrypoint, arguments, expected in [
        (None, ("a", "b"), "['a', 'b']"),
        (("python3", "-c", "import sys; print(sys.argv[1:])"), None, "[]"),
        (("python3", "-c", "import sys; print(sys.argv[1:])"), ("x",), "['x']"),
    ]:
        (Path(plan.source.image_uri) / "train").write_text(PRELUDE + "print(sys.argv[1:])")
        source = AlgorithmSource(plan.source.image_uri, entrypoint, arguments)
        directory = plan.run_directory / str(arguments) / str(entrypoint is None)
        lines = Lines()
        run(replace(plan, source=source, run_directory=directory), lines)
        assert [text for _, _, text in lines.seen] == [expected]


def test_an_algorithm_that_is_not_there(job: Job, run: Run, tmp_path: Path) -> None:
    plan = replace(job(""), source=AlgorithmSource("registry/image:latest"))

    with pytest.raises(HostStartError, match=r"no algorithm at|does not have the image"):
        run(plan)


@pytest.mark.parametrize(
    ("body", "code", "reason"),
    [
        ("sys.exit(3)", 3, "AlgorithmError: Exit Code: 3"),
        (
            "(root / 'output/failure').write_text('my own words' + 'x' * 5000); sys.exit(1)",
            1,
            "AlgorithmError: my own words",
        ),
    ],
)
def test_a_failure_has_its_true_reason_and_leaves_no_artifact(
    job: Job, run: Run, body: str, code: int, reason: str
) -> None:
    outcome = run(job("(root / 'model' / 'half').write_text('x')\n" + body))

    assert outcome.status is TrainingStatus.FAILED
    assert outcome.exit_codes == {"algo-1": code}
    assert outcome.failure_reason is not None
    assert outcome.failure_reason.startswith(reason)
    assert len(outcome.failure_reason) <= 1024
    assert outcome.model_archive is None
    assert not list(outcome.log.parent.glob("*.tar.gz"))


def test_a_container_that_is_killed(job: Job) -> None:
    # On process hosts alone: with walls it is process 1, which its own signals do not reach.
    outcome = run_training(job("os.kill(os.getpid(), signal.SIGKILL)"), ProcessHosts(), Lines())

    assert outcome.failure_reason == "AlgorithmError: Exit Code: 137"
    assert outcome.exit_codes == {"algo-1": 137}


def test_one_dead_host_ends_the_others_with_its_reason(job: Job, run: Run) -> None:
    body = """
if host == "algo-2":
    while not (root / "model/others-are-ready").exists(): time.sleep(0.01)
    (root / "output/failure").write_text("host two is at fault")
    sys.exit(1)
signal.signal(signal.SIGTERM, lambda *_: (print("asked to end", flush=True), sys.exit(143)))
print("ready", flush=True)
while True: time.sleep(0.05)
"""
    lines, plan = Lines(), job(body, hosts=3)

    def tell() -> None:
        lines.wait_for("ready", 2)
        (plan.run_directory / "hosts/algo-2/ml/model/others-are-ready").touch()

    threading.Thread(target=tell).start()
    outcome = run(plan, lines)

    assert outcome.failure_reason == "AlgorithmError: host two is at fault"
    assert outcome.exit_codes == {"algo-1": 143, "algo-2": 1, "algo-3": 143}
    assert [text for _, _, text in lines.seen].count("asked to end") == 2


def _stop_when_ready(lines: Lines, stopped: threading.Event) -> None:
    lines.wait_for("ready")
    stopped.set()


def test_stopping_lets_the_container_save(job: Job, run: Run) -> None:
    body = """
def stop(*_):
    (root / "model" / "saved").write_text("in time")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
while True: time.sleep(0.05)
"""
    lines, stopped = Lines(), threading.Event()
    threading.Thread(target=_stop_when_ready, args=(lines, stopped)).start()

    outcome = run(job(body), lines, stopped=stopped)

    assert outcome.status is TrainingStatus.STOPPED
    assert members(outcome.model_archive) == {"saved": b"in time"}


def test_a_container_that_will_not_stop_is_killed(job: Job, run: Run) -> None:
    body = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready', flush=True)\nwhile True: time.sleep(0.05)"
    lines, stopped = Lines(), threading.Event()
    threading.Thread(target=_stop_when_ready, args=(lines, stopped)).start()

    outcome = run(job(body), lines, stopped=stopped, grace_seconds=0.2)

    assert outcome.status is TrainingStatus.STOPPED
    assert outcome.exit_codes == {"algo-1": 137}


def test_the_time_limit_stops_the_job(job: Job, run: Run) -> None:
    outcome = run(job("while True: time.sleep(0.05)", max_runtime_seconds=1), grace_seconds=1)

    assert outcome.status is TrainingStatus.STOPPED
    assert outcome.failure_reason == "MaxRuntimeExceeded: 1 s"


def test_no_line_is_lost_and_none_is_mixed(job: Job, run: Run) -> None:
    body = """
import threading
sys.stdout.write("".join(f"{n}\\n" for n in range(20000)))
sys.stdout.flush()
os.write(2, b"\\xff\\xfe not utf-8\\n")
os.write(2, b"y" * 3_000_000 + b"\\n")
sys.stdout.write("no newline at the end")
"""
    lines = Lines()

    run(job(body, hosts=2), lines)

    for host in ("algo-1", "algo-2"):
        out = [text for name, stream, text in lines.seen if (name, stream) == (host, "stdout")]
        assert out == [*(str(n) for n in range(20000)), "no newline at the end"]
        err = [text for name, stream, text in lines.seen if (name, stream) == (host, "stderr")]
        assert "not utf-8" in err[0]
        assert "".join(err[1:]) == "y" * 3_000_000


def test_what_the_container_started_ends_with_it(job: Job, run: Run, tmp_path: Path) -> None:
    mark = f"mark of {tmp_path}"
    body = f"""
sleep = "import os, time; print('up', flush=True); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", sleep, {mark!r}], start_new_session=True, stdout=subprocess.PIPE)
child.stdout.readline()
"""
    outcome = run(job(body))

    assert outcome.status is TrainingStatus.COMPLETED
    assert not [each.pid for each in psutil.process_iter(["cmdline"]) if mark in (each.info["cmdline"] or [])]


def _alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_nothing_outlives_a_tool_that_is_killed(job: Job, tmp_path: Path) -> None:
    job(f"Path({str(tmp_path)!r}, f'pid-{{host}}').write_text(str(os.getpid()))\ntime.sleep(600)")
    tool = f"""
import sys
from pathlib import Path
from cleanroom_algo.local.hosts.process import ProcessHosts
from cleanroom_algo.local.jobs.plan import AlgorithmSource, TrainingPlan, plan_hosts
from cleanroom_algo.local.jobs.training import run_training
class Silent:
    def line(self, host, stream, text): pass
    def progress(self, progress): pass
source = AlgorithmSource({str(tmp_path / "algorithm")!r})
plan = TrainingPlan("job", "arn", Path({str(tmp_path / "run")!r}), source, plan_hosts((), 2), ())
run_training(plan, ProcessHosts(), Silent())
"""
    process = subprocess.Popen([sys.executable, "-c", tool])
    try:
        files = [tmp_path / "pid-algo-1", tmp_path / "pid-algo-2"]
        _until(lambda: all(file.exists() and file.read_text() for file in files))
        pids = [int(file.read_text()) for file in files]
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    _until(lambda: not any(map(_alive, pids)))


def _until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < limit
        threading.Event().wait(0.02)


@pytest.mark.parametrize(
    ("contents", "clash"), [(("same", "same"), False), (("one", "two"), True)], ids=["equal", "different"]
)
def test_files_of_hosts_are_merged_and_clashes_reported(
    job: Job, run: Run, contents: tuple[str, str], clash: bool
) -> None:
    body = f"(root / 'model' / 'shared').write_text({contents!r}[int(host[-1]) - 1])"

    outcome = run(job(body, hosts=2))

    if clash:
        assert outcome.status is TrainingStatus.FAILED
        assert outcome.failure_reason is not None
        assert "CR-JOB-101" in outcome.failure_reason
        assert "shared: differs between algo-1 and algo-2" in outcome.failure_reason
    else:
        assert members(outcome.model_archive) == {"shared": b"same"}


def test_crossing_the_cap_fails_the_job_and_leaves_nothing(job: Job, run: Run) -> None:
    outcome = run(job("(root / 'model' / 'big').write_bytes(bytes(2000))", max_artifact_bytes=1999))

    assert outcome.failure_reason is not None
    assert "CR-JOB-102" in outcome.failure_reason
    assert "model/big 2.0 kB" in outcome.failure_reason
    assert outcome.model_archive is None


def test_the_same_files_give_the_same_archive(job: Job, run: Run) -> None:
    plan = job("(root / 'model' / 'weights').write_text('w')")
    archives = []
    for name in ("one", "two"):
        outcome = run(replace(plan, run_directory=plan.run_directory / name))
        assert outcome.model_archive is not None
        archives.append(outcome.model_archive.read_bytes())

    assert archives[0] == archives[1]


@pytest.mark.parametrize("packed", [True, False])
def test_the_base_model_arrives_in_its_channel(job: Job, run: Run, tmp_path: Path, packed: bool) -> None:
    first = run(job("(root / 'model' / 'weights').write_text('w')"))
    assert first.model_archive is not None
    body = "print(sorted(p.name for p in (root / 'input/data/base').iterdir()))"
    plan = job(body, base_model=BaseModel("base", first.model_archive, packed))
    lines = Lines()

    run(replace(plan, run_directory=tmp_path / "second"), lines)

    assert [text for _, _, text in lines.seen] == [str(["model.tar.gz"] if packed else ["weights"])]


def test_pipes_carry_every_epoch_and_survive_an_early_close(job: Job, run: Run) -> None:
    body = """
def read(epoch, limit=-1):
    path = root / f"input/data/train_{epoch}"
    while not path.exists(): time.sleep(0.01)
    with open(path, "rb") as pipe: return pipe.read(limit)
print(read(0), read(1, 2), read(2), (root / "input/data/train").exists())
"""
    lines = Lines()

    outcome = run(job(body, parts=3, mode=InputMode.PIPE), lines)

    assert outcome.status is TrainingStatus.COMPLETED
    assert [text for _, _, text in lines.seen] == ["b'0\\n1\\n2\\n' b'0\\n' b'0\\n1\\n2\\n' False"]


def test_fast_file_shows_the_same_tree(job: Job, run: Run) -> None:
    body = "print((root / 'input/data/train/nested/part-00001').read_text().strip())"
    lines = Lines()

    run(job(body, parts=2, mode=InputMode.FAST_FILE), lines)

    assert [text for _, _, text in lines.seen] == ["1"]


def test_writing_to_a_fast_file_channel_is_noticed_and_harms_nothing(job: Job, run: Run, kind: str) -> None:
    body = """
(root / "model" / "weights").write_text("w")
for path in (root / "input/data/train/nested/part-00000", root / "input/data/train/new"):
    try:
        path.write_text("mine")
    except OSError as error:
        print(error.strerror)
"""
    lines = Lines()
    plan = job(body, parts=2, mode=InputMode.FAST_FILE)

    outcome = run(plan, lines)

    assert [text_of(each) for each in plan.channels[0].objects] == ["0\n", "1\n"]
    if kind != "process":
        assert [text for _, _, text in lines.seen] == ["Read-only file system"] * 2
    elif os.geteuid():
        assert [text for _, _, text in lines.seen] == ["Permission denied"] * 2
    else:  # permissions do not bind root
        assert outcome.status is TrainingStatus.FAILED
        assert outcome.model_archive is None
        assert "train/nested/part-00000, algo-1: train/new" in str(outcome.failure_reason)
        assert "CR-JOB-103" in str(outcome.failure_reason)


def test_objects_of_a_pipe_are_shuffled_for_each_epoch_where_that_is_asked_for(job: Job, run: Run) -> None:
    body = """
def read(epoch):
    path = root / f"input/data/train_{epoch}"
    while not path.exists(): time.sleep(0.01)
    return path.read_text().split()
print(*(",".join(read(epoch)) for epoch in range(3)))
"""
    lines = Lines()

    outcome = run(replace(job(body, parts=12, hosts=2, mode=InputMode.PIPE), shuffle_pipes=True), lines)

    assert outcome.status is TrainingStatus.COMPLETED
    both = [[epoch.split(",") for epoch in text.split()] for _, _, text in lines.seen]
    for epoch in range(3):  # sharded: each object once over the hosts
        assert sorted(map(int, both[0][epoch] + both[1][epoch])) == list(range(12))
    assert len({tuple(epoch) for epoch in both[0]}) == 3


def test_archives_are_plain_gzip(job: Job, run: Run) -> None:
    outcome = run(job("(root / 'model' / 'weights').write_text('w')"))

    assert outcome.model_archive is not None
    assert gzip.decompress(outcome.model_archive.read_bytes())
    assert outcome.packed_bytes > 0
    assert outcome.raw_bytes == 1
