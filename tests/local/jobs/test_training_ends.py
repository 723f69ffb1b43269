"""How training jobs end on every kind of host: failures, kills, stops, limits; nothing outlives them."""

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from cleanroom_algo.local.hosts.process import ProcessHosts
from cleanroom_algo.local.jobs.training import run_training
from cleanroom_algo.local.plans.outcomes import JobStatus
from tests.local.jobs.support import Job, Lines, Run


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

    assert outcome.status is JobStatus.FAILED
    assert outcome.exit_codes == {"algo-1": code}
    assert outcome.failure_reason is not None
    assert outcome.failure_reason.startswith(reason)
    assert len(outcome.failure_reason) <= 1024
    assert outcome.model_archive is None
    assert not list(outcome.log.parent.glob("*.tar.gz"))


def test_a_container_that_is_killed(job: Job) -> None:
    # On process hosts alone: elsewhere it is process 1, which its own signals do not reach.
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

    plan = job(body)
    outcome = run(plan, lines, stopped=stopped)

    assert outcome.status is JobStatus.STOPPED
    assert outcome.model_archive is None
    assert (plan.run_directory / "hosts/algo-1/ml/model/saved").read_text() == "in time"


def test_a_container_that_will_not_stop_is_killed(job: Job, run: Run) -> None:
    body = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready', flush=True)\nwhile True: time.sleep(0.05)"
    lines, stopped = Lines(), threading.Event()
    threading.Thread(target=_stop_when_ready, args=(lines, stopped)).start()

    outcome = run(job(body), lines, stopped=stopped, grace_seconds=0.2)

    assert outcome.status is JobStatus.STOPPED
    assert outcome.exit_codes == {"algo-1": 137}


def test_the_time_limit_stops_the_job(job: Job, run: Run) -> None:
    outcome = run(job("while True: time.sleep(0.05)", max_runtime_seconds=1), grace_seconds=1)

    assert outcome.status is JobStatus.STOPPED
    assert outcome.failure_reason == "MaxRuntimeExceeded: 1 s"


def test_what_the_container_started_ends_with_it(job: Job, run: Run, tmp_path: Path) -> None:
    mark = f"mark of {tmp_path}"
    body = f"""
sleep = "import os, time; print('up', flush=True); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", sleep, {mark!r}], start_new_session=True, stdout=subprocess.PIPE)
child.stdout.readline()
"""
    outcome = run(job(body))

    assert outcome.status is JobStatus.COMPLETED
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
from cleanroom_algo.local.plans.training_plan import AlgorithmSource, TrainingPlan, plan_hosts
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
