"""One suite for every kind of host that this machine offers: the container must not be able to tell them apart.

Each scenario is one job of programs that know nothing of this library, run on each kind in turn. What its containers
saw (the bytes below /opt/ml, arguments, environment), how they ended and what they left must be the same everywhere.
"""

from __future__ import annotations

import json
import tarfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from cleanroom_algo.contract.channel import Distribution, InputMode
from cleanroom_algo.local.hosts.protocol import HostSpec, Limits
from cleanroom_algo.local.jobs.inference.job import run_inference
from cleanroom_algo.local.jobs.training import run_training
from cleanroom_algo.local.objects.reference import ObjectRef
from cleanroom_algo.local.plans.inference_plan import InferencePlan, spread_objects
from cleanroom_algo.local.plans.outcomes import InferenceOutcome
from cleanroom_algo.local.plans.training_plan import AlgorithmSource, BaseModel, ChannelPlan, TrainingPlan, plan_hosts
from tests.local.hosts.kinds import KINDS, Place, place_of

WITH_WALLS = tuple(kind for kind in KINDS if kind != "process")
# Variables of a kind alone (each is a row in `differences`), and what an image or a shell sets.
OWN_OF_A_KIND = {
    "SAGEMAKER_BASE_DIR",
    "CLEANROOM_ALGO_RENDEZVOUS",
    "CLEANROOM_ALGO_ALGORITHM",
    "TMPDIR",
    "PATH",
    "HOME",
}
OWN_OF_A_KIND |= {"HOSTNAME", "PWD", "OLDPWD", "SHLVL", "_", "TERM", "container", "PYTHONUNBUFFERED", "LC_CTYPE"}
OWN_OF_A_KIND |= {"PYTHONDONTWRITEBYTECODE", "LANG", "LC_ALL", "TZ"}

TRAIN = """#!/usr/bin/env python3
import json, os, signal, socket, sys, time
from pathlib import Path
root = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
config = json.loads((root / "input/config/resourceconfig.json").read_text())
scenario = json.loads((root / "input/config/hyperparameters.json").read_text())["scenario"]
host, number = config["current_host"], int(config["current_host"][-1])

def tree():
    found = {}
    for folder, names, files in os.walk(root):
        for name in [*names, *files]:
            path = Path(folder, name)
            kind = "pipe" if path.is_fifo() else "folder" if path.is_dir() else path.read_bytes().decode("latin-1")
            found[str(path.relative_to(root))] = kind
    return found

def told(function, *arguments):
    try: return function(*arguments) and "done"
    except OSError as error: return error.strerror

def report(**more):
    (root / "output/data" / f"{host}.json").write_text(json.dumps(more))

def look():
    report(tree=tree(), arguments=sys.argv[1:], environment=dict(os.environ))
    (root / f"model/{host}.bin").write_bytes(bytes(range(256)))
    print("out of", host)
    print("err of", host, file=sys.stderr)

def pipes():
    seen = []
    for epoch in (0, 1):
        path = root / f"input/data/train_{epoch}"
        while not path.exists(): time.sleep(0.01)
        seen.append(path.read_text())
    report(seen=seen)

def fail():
    (root / "model/half").write_text("half")
    if number == 2:
        (root / "output/failure").write_text("the second host\\u2019s own words")
        sys.exit(7)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    while True: time.sleep(0.05)

def fail_silently():
    sys.exit(9)

def crash():
    raise KeyError("a traceback, and exit status 1")

def clash():
    (root / "model/same-name").write_text(host)

def isolation():
    new = {"data": "input/data/train/new", "config": "input/config/new", "system": "../../usr/new"}
    answers = {name: told((root / path).write_text, "x") for name, path in new.items()}
    report(
        read_only=[name for name, answer in answers.items() if answer == "Read-only file system"],
        writable=[told(path.write_text, "x") for path in (root / "checkpoints/new", Path("/tmp/new"))],
        user=os.getuid(),
        own_name=socket.gethostname() == host,
        process=os.getpid(),
        outside=told(socket.create_connection, ("198.51.100.1", 80), 5),
    )

def meet():
    with socket.create_server(("0.0.0.0", 7777)) as server:
        other = next(name for name in config["hosts"] if name != host)
        while True:
            try:
                socket.create_connection((other, 7777), 5).close()
                break
            except OSError: time.sleep(0.02)
        server.accept()[0].close()
    report(met=other)

globals()[scenario]()
"""
SERVE = """#!/usr/bin/env python3
import http.server, json, os, signal, sys
from pathlib import Path
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
root = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
weights = (root / "model/weights").read_text()
if weights == "broken":
    sys.exit("cannot load the model")

class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def do_GET(self):
        self.answer(200 if self.path == "/ping" else 404, b"")
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if b"bad" in body: return self.answer(400, b"no")
        self.answer(200, b"\\n".join(weights.encode() + line for line in body.splitlines()))
    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT", 8080))
http.server.ThreadingHTTPServer(("0.0.0.0", port), Answer).serve_forever()
"""


@dataclass
class Lines:
    """What the containers wrote."""

    seen: list[tuple[str, str, str]] = field(default_factory=list)

    def line(self, host: str, stream: str, text: str) -> None:
        self.seen.append((host, stream, text))

    def progress(self, progress: object) -> None:
        pass


@dataclass(frozen=True)
class Seen:
    """What is compared: how a job ended, what it left, what its containers wrote and told."""

    status: str
    reason: str | None
    exit_codes: dict[str, int]
    model: dict[str, bytes]
    told: dict[str, Any]
    lines: list[tuple[str, str, str]]


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Return a folder of programs."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name, text in (("train", TRAIN), ("serve", SERVE)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest) -> Place:
    """Return each kind of host in turn."""
    return place_of(request, request.param)


def objects(folder: Path, *contents: str) -> tuple[ObjectRef, ...]:
    found = []
    for number, content in enumerate(contents):
        path = folder / f"object-{number}"
        path.write_text(content)
        found.append(ObjectRef(f"month={number}/part-{number}", path, path.stat().st_size))
    return tuple(found)


def members(archive: Path | None) -> dict[str, bytes]:
    if archive is None:
        return {}
    with tarfile.open(archive) as tar:
        return {member.name: file.read() for member in tar if (file := tar.extractfile(member))}


def train(place: Place, programs: Path, scenario: str, *, hosts: int = 1, **more: Any) -> Seen:
    parts = objects(programs.parent, "1,2\n", "3,4\n", "5,6")
    channels = (
        ChannelPlan("train", Distribution.SHARDED_BY_S3_KEY, parts),
        ChannelPlan("lookup", Distribution.FULLY_REPLICATED, parts[:1]),
    )
    plan = TrainingPlan(
        job_name="same-everywhere",
        job_arn="arn:aws:sagemaker:us-east-1:111111111111:training-job/same-everywhere",
        run_directory=programs.parent / "run",
        source=place.source(AlgorithmSource(str(programs))),
        hosts=plan_hosts(channels, hosts),
        channels=channels,
        hyperparameters={"scenario": scenario, "rate": "0.1"},
        environment={"COLOUR": "red"},
        **more,
    )
    lines = Lines()
    outcome = run_training(plan, place.hosts, lines)
    output = {name: json.loads(content) for name, content in members(outcome.output_archive).items()}
    written = sorted(line for line in lines.seen if "Traceback" not in line[2] and not line[2].startswith("  "))
    return Seen(
        outcome.status, outcome.failure_reason, outcome.exit_codes, members(outcome.model_archive), output, written
    )


def tree(host: str, *, files: bool) -> dict[str, str]:
    """Return what a host of two has below /opt/ml at its start: the content of each file, the kind of the rest."""
    names = ("checkpoints", "input", "input/config", "input/data", "model", "output", "output/data")
    found = dict.fromkeys(names, "folder")
    distributions = {"train": "ShardedByS3Key", "lookup": "FullyReplicated"}
    mode = "File" if files else "Pipe"
    channels = {
        name: {"TrainingInputMode": mode, "S3DistributionType": kind, "RecordWrapperType": "None"}
        for name, kind in distributions.items()
    }
    hosts = ["algo-1", "algo-2"]
    group = {"instance_group_name": "homogeneousCluster", "instance_type": "ml.m5.2xlarge", "hosts": hosts}
    resources = {
        "current_host": host,
        "current_instance_type": "ml.m5.2xlarge",
        "current_group_name": "homogeneousCluster",
        "hosts": hosts,
        "instance_groups": [group],
        "network_interface_name": "eth0",
        "topology": None,
    }
    for name, content in (
        ("hyperparameters", {"scenario": "look", "rate": "0.1"}),
        ("inputdataconfig", channels),
        ("resourceconfig", resources),
    ):
        found[f"input/config/{name}.json"] = json.dumps(content, separators=(",", ":"))
    return found


def delivered(host: str, mode: InputMode) -> dict[str, str]:
    """Return what the channels of a host of two add to that."""
    if mode is InputMode.PIPE:
        return {"input/data/train_0": "pipe", "input/data/lookup_0": "pipe"}
    contents = ("1,2\n", "3,4\n", "5,6")
    shards = {"train": (0, 2) if host == "algo-1" else (1,), "lookup": (0,)}
    found = {}
    for channel, numbers in shards.items():
        found[f"input/data/{channel}"] = "folder"
        keys = [f"month={number}/part-{number}" for number in numbers]
        for number, key in zip(numbers, keys, strict=True):
            found[f"input/data/{channel}/month={number}"] = "folder"
            found[f"input/data/{channel}/{key}"] = contents[number]
        if mode is InputMode.FILE:
            found[f"input/data/{channel}-manifest"] = json.dumps([{"prefix": f"s3://channel/{channel}/"}, *keys])
    return found


@pytest.mark.parametrize("mode", list(InputMode))
def test_the_container_sees_the_same(place: Place, programs: Path, mode: InputMode) -> None:
    seen = train(place, programs, "look", hosts=2, input_mode=mode)

    assert (seen.status, seen.reason, seen.exit_codes) == ("COMPLETED", None, {"algo-1": 0, "algo-2": 0})
    assert seen.model == {f"algo-{number}.bin": bytes(range(256)) for number in (1, 2)}
    assert seen.lines == [(h, s, f"{s[3:]} of {h}") for h in ("algo-1", "algo-2") for s in ("stderr", "stdout")]
    for host in ("algo-1", "algo-2"):
        told = seen.told[f"{host}.json"]
        assert told["tree"] == tree(host, files=mode is not InputMode.PIPE) | delivered(host, mode)
        assert told["arguments"] == ["train"]
        environment = {name: told["environment"][name] for name in set(told["environment"]) - OWN_OF_A_KIND}
        assert environment.pop("OMP_NUM_THREADS").isdigit()
        assert environment.pop("GOMP_SPINCOUNT") == "1000"
        assert environment == {
            "TRAINING_JOB_NAME": "same-everywhere",
            "TRAINING_JOB_ARN": "arn:aws:sagemaker:us-east-1:111111111111:training-job/same-everywhere",
            "COLOUR": "red",
        }


def test_pipes_of_every_epoch(place: Place, programs: Path) -> None:
    seen = train(place, programs, "pipes", input_mode=InputMode.PIPE)

    assert seen.told == {"algo-1.json": {"seen": ["1,2\n3,4\n5,6"] * 2}}


def test_the_base_model_arrives(place: Place, programs: Path) -> None:
    first = train(place, programs, "look")
    archive = programs.parent / "run/model.tar.gz"
    archive.rename(programs.parent / "base.tar.gz")
    (programs.parent / "run").rename(programs.parent / "first")

    seen = train(place, programs, "look", base_model=BaseModel("base", programs.parent / "base.tar.gz", packed=False))

    assert first.model["algo-1.bin"].decode("latin-1") == seen.told["algo-1.json"]["tree"]["input/data/base/algo-1.bin"]


@pytest.mark.parametrize(
    ("scenario", "hosts", "exit_codes", "reason"),
    [
        ("fail", 2, {"algo-1": 143, "algo-2": 7}, "AlgorithmError: the second host\u2019s own words"),
        ("fail_silently", 1, {"algo-1": 9}, "AlgorithmError: Exit Code: 9"),
        ("crash", 1, {"algo-1": 1}, "AlgorithmError: Exit Code: 1"),
        ("no_such_word", 1, {"algo-1": 1}, "AlgorithmError: Exit Code: 1"),
    ],
)
def test_a_failure_is_told_in_the_same_words(
    place: Place, programs: Path, scenario: str, hosts: int, exit_codes: dict[str, int], reason: str
) -> None:
    seen = train(place, programs, scenario, hosts=hosts)

    assert (seen.status, seen.exit_codes, seen.reason) == ("FAILED", exit_codes, reason)
    assert seen.model == {}


def test_files_that_differ_between_hosts_are_refused(place: Place, programs: Path) -> None:
    seen = train(place, programs, "clash", hosts=2)

    assert seen.status == "FAILED"
    assert "same-name: differs between algo-1 and algo-2" in str(seen.reason)


@pytest.mark.parametrize("place", WITH_WALLS, indirect=True)
def test_isolation(place: Place, programs: Path) -> None:
    seen = train(place, programs, "isolation")

    # `system` is the container's own layer in an image, which goes with it.
    assert set(seen.told["algo-1.json"].pop("read_only")) - {"system"} == {"data", "config"}
    assert seen.told["algo-1.json"] == {
        "writable": ["done", "done"],
        "user": 0,
        "own_name": True,
        "process": 1,
        "outside": "Network is unreachable",
    }


@pytest.mark.parametrize("place", WITH_WALLS, indirect=True)
def test_hosts_find_each_other_by_name(place: Place, programs: Path) -> None:
    seen = train(place, programs, "meet", hosts=2)

    assert seen.told == {"algo-1.json": {"met": "algo-2"}, "algo-2.json": {"met": "algo-1"}}


@pytest.mark.parametrize(
    ("body", "limits"),
    [
        ("hold = bytearray(400 << 20)", Limits(memory_bytes=200 << 20)),
        ("(root / 'model/big').write_bytes(bytes(40 << 20))", Limits(disk_bytes=20 << 20)),
    ],
    ids=["memory", "disk"],
)
def test_a_container_does_not_outgrow_its_instance(place: Place, tmp_path: Path, body: str, limits: Limits) -> None:
    start = "#!/usr/bin/env python3\nimport os, time\nfrom pathlib import Path\n"
    root = "root = Path(os.environ.get('SAGEMAKER_BASE_DIR', '/opt/ml'))\n"
    programs = tmp_path / "large"
    programs.mkdir()
    (programs / "train").write_text(f"{start}{root}{body}\ntime.sleep(600)\n")
    (programs / "train").chmod(0o755)
    (tmp_path / "host/ml/model").mkdir(parents=True)
    spec = HostSpec("algo-1", tmp_path / "host/ml", place.source(AlgorithmSource(str(programs))), "train")
    with place.hosts.open(["algo-1"]) as hosts:
        host = hosts.launch(replace(spec, limits=limits))
        list(host.lines)

    assert host.wait() == 137


def predict(place: Place, programs: Path, weights: str, *contents: str) -> InferenceOutcome:
    artifacts = programs.parent / "model.tar.gz"
    (programs.parent / "weights").write_text(weights)
    with tarfile.open(artifacts, "w:gz") as archive:
        archive.add(programs.parent / "weights", "weights")
    plan = InferencePlan(
        job_name="same-everywhere",
        job_arn="arn",
        run_directory=programs.parent / "inference",
        source=place.source(AlgorithmSource(str(programs))),
        model=artifacts,
        hosts=spread_objects(objects(programs.parent, *contents), 2),
    )
    return run_inference(plan, place.hosts, Lines())


def test_predictions(place: Place, programs: Path) -> None:
    outcome = predict(place, programs, "w:", "1\n2\n", "3\n")

    assert (outcome.status, outcome.rows, outcome.failed_objects) == ("COMPLETED", 3, ())
    written = {
        path.relative_to(outcome.outputs).as_posix(): path.read_bytes() for path in outcome.outputs.rglob("*.out")
    }
    assert written == {"month=0/part-0.out": b"w:1\nw:2\n", "month=1/part-1.out": b"w:3\n"}


def test_an_object_that_is_refused(place: Place, programs: Path) -> None:
    outcome = predict(place, programs, "w:", "1\n2\n", "bad\n")

    assert (outcome.status, outcome.failed_objects) == ("FAILED", ("month=1/part-1",))
    assert [path.name for path in outcome.outputs.rglob("*.out")] == ["part-0.out"]
    assert "400" in str(outcome.failure_reason)


def test_a_model_that_cannot_be_served(place: Place, programs: Path) -> None:
    outcome = predict(place, programs, "broken", "1\n")

    assert outcome.status == "FAILED"
    assert "exit status 1" in str(outcome.failure_reason)
    assert not list(outcome.outputs.rglob("*.out"))
