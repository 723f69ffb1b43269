"""What a container sees inside a sandbox, and what it cannot do there."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from cleanroom_algo.contract.channel import Distribution, InputMode
from cleanroom_algo.errors import HostStartError
from cleanroom_algo.local.hosts import sandbox
from cleanroom_algo.local.hosts.isolation import guarded
from cleanroom_algo.local.hosts.isolation.ownership import FIRST_USER
from cleanroom_algo.local.hosts.protocol import HostSpec, Limits
from cleanroom_algo.local.jobs.training import run_training
from cleanroom_algo.local.objects.listing import objects_of
from cleanroom_algo.local.plans.instances import GIB, memory_bytes
from cleanroom_algo.local.plans.outcomes import JobStatus, TrainingOutcome
from cleanroom_algo.local.plans.training_plan import AlgorithmSource, ChannelPlan, plan_hosts
from tests.local.jobs.fixtures import job
from tests.local.jobs.support import Job, Lines
from tests.local.support import text_of

__all__ = ["job"]

pytestmark = pytest.mark.skipif(sandbox.missing() is not None, reason=str(sandbox.missing()))

TELL = """
def told(function, *arguments):
    try: return function(*arguments)
    except OSError as error: return error.strerror
"""


def run(plan: object, lines: Lines | None = None) -> TrainingOutcome:
    return run_training(plan, sandbox.SandboxHosts(), lines or Lines())  # type: ignore[arg-type]


def told(lines: Lines, host: str = "algo-1") -> list[str]:
    return [text for name, _, text in lines.seen if name == host]


def test_the_view_of_a_container(job: Job, tmp_path: Path) -> None:
    body = """
import socket
print(root, os.getpid(), os.getuid(), socket.gethostname(), os.getcwd(), "SAGEMAKER_BASE_DIR" in os.environ)
print(sorted(os.listdir(root)), [name for _, name in socket.if_nameindex()])
print(sorted(os.listdir("/opt")), Path(sys.argv[1]).exists(), sorted(p for p in os.listdir("/proc") if p.isdigit()))
"""
    lines = Lines()

    plan = job(body)
    run(replace(plan, source=replace(plan.source, arguments=(str(tmp_path),))), lines)

    assert told(lines) == [
        "/opt/ml 1 0 algo-1 / False",
        "['checkpoints', 'input', 'model', 'output'] ['lo', 'eth0']",
        "['algorithm', 'ml'] False ['1']",
    ]


def test_only_what_is_the_containers_own_can_be_written(job: Job) -> None:
    body = (
        TELL
        + """
places = ["input/data/train/nested/part-00000", "input/config/new", "../algorithm/train", "../../usr/new", "model/new"]
print(json.dumps({p: told((root / p).write_text, "x") for p in places}))
"""
    )
    for mode in (InputMode.FILE, InputMode.FAST_FILE):
        lines = Lines()
        plan = job(body, parts=1, mode=mode)
        (plan.run_directory / mode).mkdir(parents=True)
        run(replace(plan, run_directory=plan.run_directory / mode), lines)

        (text,) = told(lines)
        answers = json.loads(text)
        assert answers.pop("model/new") == 1
        assert set(answers.values()) == {"Read-only file system"}
    assert text_of(plan.channels[0].objects[0]) == "0\n"


def test_hosts_reach_each_other_by_name_and_nothing_else(job: Job) -> None:
    with socket.create_server(("127.0.0.1", 0)) as outside:
        port = outside.getsockname()[1]
        body = (
            TELL
            + f"""
import socket
with socket.create_server(("0.0.0.0", 7777)) as server:
    while True:
        try:
            socket.create_connection((("algo-2" if host == "algo-1" else "algo-1"), 7777), 5).close()
            break
        except ConnectionRefusedError: time.sleep(0.01)
    server.accept()[0].close()
print(told(socket.create_connection, ("127.0.0.1", {port}), 5), told(socket.create_connection, ("198.51.100.1", 80), 5))
print(told(socket.gethostbyname, "example.org") in ("", None) or "no such name")
"""
        )
        lines = Lines()

        outcome = run(job(body, hosts=2), lines)

    assert outcome.status is JobStatus.COMPLETED
    for host in ("algo-1", "algo-2"):
        assert told(lines, host)[0] == "Connection refused Network is unreachable"


TELL_OF_FILES = """
import os, sys
print(os.listdir("/opt/algorithm"), os.listdir("/opt/ml/input/data/train"), os.path.exists(sys.argv[1]))
"""
UNPRIVILEGED = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
TELL_OF_RIGHTS = """#!/usr/bin/env python3
import json, os, socket
def told(path):
    try: return open(path, "w") and "done"
    except OSError as error: return error.strerror
try: away = socket.create_connection(("198.51.100.1", 80), 5)
except OSError as error: away = error.strerror
places = ("/opt/ml/input/new", "/usr/new", "/opt/ml/model/new", "/tmp/new")
print(os.getuid(), os.getpid(), [told(path) for path in places], away, socket.gethostbyname("algo-2"))
"""


def test_roots_rights_are_not_needed(tmp_path: Path) -> None:
    if subprocess.run([*UNPRIVILEGED, "true"], check=False, capture_output=True).returncode:
        pytest.skip("the kernel does not let users make namespaces")
    (tmp_path / "algorithm").mkdir()
    (tmp_path / "algorithm/train").write_text(TELL_OF_RIGHTS)
    (tmp_path / "algorithm/train").chmod(0o755)
    (tmp_path / "home").mkdir()
    (tmp_path / "home/settings.toml").write_text('[machine]\nhost_kind = "sandbox"\n')
    (tmp_path / "data").mkdir()
    (tmp_path / "data/part.csv").write_text("1,2\n")
    words = ("train", tmp_path / "algorithm", "--channel", f"train={tmp_path / 'data'}", "--hosts", "2")
    done = subprocess.run(
        [*UNPRIVILEGED, sys.executable, "-m", "cleanroom_algo.cli", *map(str, words), "--home", str(tmp_path / "home")],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"LOGNAME": "somebody"},
        timeout=120,
    )

    assert done.returncode == 0, done.stderr
    assert "runs as root" not in done.stderr
    refused = "Read-only file system"
    told = f"0 1 {[refused, refused, 'done', 'done']} Network is unreachable 10.0.0.11"
    assert sorted(line for line in done.stderr.splitlines() if " | " in line) == [
        f"algo-1 | {told}",
        f"algo-2 | {told}",
    ]
    assert not list((tmp_path / "home").rglob("tmp")), "what lay in /tmp goes with the host"


MEMORY, DISK = Limits(memory_bytes=200 << 20), Limits(disk_bytes=20 << 20)
MEMORY_IS_USED_UP, DISK_IS_FULL = "its memory of 0.2 GiB is used up", "its disk of 0.0 GiB is full"


@pytest.mark.parametrize(
    ("body", "limits", "why"),
    [
        ("x = bytearray(400 << 20)", MEMORY, MEMORY_IS_USED_UP),
        ("Path('/dev/shm/big').write_bytes(bytes(190 << 20)); x = bytearray(60 << 20)", MEMORY, MEMORY_IS_USED_UP),
        ("(root / 'model/big').write_bytes(bytes(40 << 20))", DISK, DISK_IS_FULL),
        ("Path('/var').mkdir(); Path('/var/big').write_bytes(bytes(40 << 20))", DISK, DISK_IS_FULL),
        ("Path('/tmp/big').write_bytes(bytes(40 << 20))", DISK, DISK_IS_FULL),
        ("[(os.mkdir('d' * 200), os.chdir('d' * 200)) for _ in range(40)]", DISK, DISK_IS_FULL),
    ],
    ids=["memory", "shared-memory", "disk", "root", "tmp", "deep"],
)
def test_a_container_does_not_outgrow_its_instance(tmp_path: Path, body: str, limits: Limits, why: str) -> None:
    (tmp_path / "train").write_text(
        f"#!{sys.executable}\nimport os, time\nfrom pathlib import Path\nroot=Path('/opt/ml')\n{body}\ntime.sleep(60)"
    )
    (tmp_path / "train").chmod(0o755)
    root = tmp_path / "host/ml"
    (root / "model").mkdir(parents=True)
    with sandbox.SandboxHosts().open(["algo-1"]) as hosts:
        host = hosts.launch(HostSpec("algo-1", root, AlgorithmSource(str(tmp_path)), "train", limits=limits))
        lines = list(host.lines)

    assert lines == [("stderr", f"the host was ended: {why}")]
    assert host.wait() == 137


@pytest.mark.parametrize(
    ("instance", "gib"),
    [("ml.m5.large", 8), ("ml.m5.xlarge", 16), ("ml.m5.24xlarge", 384), ("ml.c5.18xlarge", 144), ("ml.r5.2xlarge", 64)],
)
def test_the_memory_of_instance_types(instance: str, gib: int) -> None:
    assert memory_bytes(instance) == gib * GIB


def test_every_instance_type_of_the_api_has_its_memory() -> None:
    import botocore.session

    model: Any = botocore.session.get_session().get_service_model("cleanroomsml")
    names = {*model.shape_for("InstanceType").enum, *model.shape_for("InferenceInstanceType").enum}

    assert not [name for name in names if memory_bytes(name) is None]
    assert memory_bytes("ml.unknown.large") is None


def test_a_container_with_too_many_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded, "MOST_THREADS", 20)
    (tmp_path / "train").write_text(
        f"#!{sys.executable}\nimport os, time\n[os.fork() for _ in range(5)]\ntime.sleep(60)"
    )
    (tmp_path / "train").chmod(0o755)
    root = tmp_path / "host/ml"
    root.mkdir(parents=True)
    with sandbox.SandboxHosts().open(["algo-1"]) as hosts:
        host = hosts.launch(HostSpec("algo-1", root, AlgorithmSource(str(tmp_path)), "train"))
        lines = list(host.lines)

    assert lines == [("stderr", "the host was ended: it has more than 20 processes and threads")]
    assert host.wait() == 137


ENDS_AT_SIGTERM = """
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
print("waiting", flush=True)
time.sleep(600)
"""


def test_a_lost_network_ends_the_job_with_its_reason(job: Job) -> None:
    lines = Lines()

    def end_it() -> None:
        lines.wait_for("waiting", 2)
        (found,) = (
            each for each in psutil.Process().children() if any("import network" in word for word in each.cmdline())
        )
        found.kill()

    threading.Thread(target=end_it).start()
    outcome = run(job(ENDS_AT_SIGTERM, hosts=2), lines)

    assert outcome.status is JobStatus.FAILED
    assert outcome.failure_reason is not None
    assert outcome.failure_reason.startswith("CR-HST-006")
    assert "SIGKILL" in outcome.failure_reason


def test_a_stopped_process_is_told(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded, "STOPPED_SECONDS", 0.1)
    body = """
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
os.kill(child.pid, signal.SIGSTOP)
print("stopped", flush=True)
signal.pause()
"""
    lines = Lines()
    stopped = threading.Event()

    def end_it() -> None:
        lines.wait_for("stopped")
        lines.wait_until(lambda seen: any("SIGCONT" in text for _, _, text in seen))
        stopped.set()

    threading.Thread(target=end_it).start()
    run_training(job(body), sandbox.SandboxHosts(), lines, stopped, grace_seconds=0.1)

    (line,) = [text for text in told(lines) if "SIGCONT" in text]
    assert line.endswith("has been stopped for a minute (SIGSTOP); SIGCONT continues it")


def test_a_file_brings_nothing_else_along(job: Job, tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "credentials").write_text("secret")
    (folder / "train.csv").write_text("1,2\n")
    (folder / "algorithm.py").write_text("")
    body = ("python3", "-c", TELL_OF_FILES)
    objects = objects_of(folder / "train.csv")
    channel = ChannelPlan("train", Distribution.FULLY_REPLICATED, objects)
    for mode in (InputMode.FILE, InputMode.FAST_FILE):
        plan = replace(job("", mode=mode), channels=(channel,), hosts=plan_hosts((channel,), 1))
        plan = replace(plan, run_directory=tmp_path / mode)
        lines = Lines()
        run(replace(plan, source=AlgorithmSource(str(folder / "algorithm.py"), body, (str(folder),))), lines)

        assert told(lines) == ["['algorithm.py'] ['train.csv'] False"]


def test_the_environment_of_a_container_reaches_no_program_outside(job: Job, tmp_path: Path) -> None:
    """The dynamic linker of any program that gets these variables writes a file; others of its variables run code."""
    noisy = {"LD_DEBUG": "files", "LD_DEBUG_OUTPUT": str(tmp_path / "outside"), "TWO": "first\nsecond = 2"}
    lines = Lines()

    outcome = run(replace(job('print(os.environ["LD_DEBUG"], os.environ["TWO"])'), environment=noisy), lines)

    assert outcome.status is JobStatus.COMPLETED
    assert told(lines)[told(lines).index("files first") + 1] == "second = 2"
    assert not list(tmp_path.glob("outside*"))


@pytest.mark.skipif(os.geteuid() != 0, reason="of other users uid 0 inside is the user")
def test_root_inside_is_no_root_outside(job: Job, tmp_path: Path) -> None:
    body = """
(root / "model/tool").write_text("")
os.chmod(root / "model/tool", 0o4755)
print((root / "input/data/train/nested/part-00000").read_text(), end="")
Path("/etc/own").write_text("")
Path("/root/own").write_text("")
for name in ("out", "err"): print(name, file=open(f"/dev/std{name}", "w"), flush=True)
import socket
socket.create_server(("0.0.0.0", 80)).close()
os.chown(root / "model", 1000, 1000)
os.setgroups([7]); os.setresgid(1000, 1000, 1000); os.setresuid(1000, 1000, 1000)
print(os.getuid(), os.getgroups())
"""
    for mode in (InputMode.FILE, InputMode.FAST_FILE):
        plan = replace(job(body, parts=1, mode=mode), run_directory=tmp_path / mode)
        (tmp_path / "object-0").chmod(0o600)
        (tmp_path / "algorithm").chmod(0o700)
        lines = Lines()

        outcome = run(plan, lines)

        assert outcome.status is JobStatus.COMPLETED
        assert sorted(told(lines)) == ["0", "1000 [7]", "err", "out"]
        left = (plan.run_directory / "hosts/algo-1/ml/model/tool").stat()
        assert left.st_uid == left.st_gid == FIRST_USER
        theirs = (tmp_path / "object-0").stat()
        assert (theirs.st_uid, theirs.st_mode & 0o777) == (0, 0o600)


@pytest.mark.skipif(os.geteuid() != 0, reason="of other users uid 0 inside is the user")
def test_an_algorithm_that_only_root_can_read_is_refused(job: Job, tmp_path: Path) -> None:
    plan = job("")
    (tmp_path / "algorithm/train").chmod(0o700)

    with pytest.raises(HostStartError, match="chmod -R go\\+rX"):
        run(plan)
