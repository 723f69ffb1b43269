"""Inference jobs whose containers end by themselves: what the job says, and to whom."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import pytest

from cleanroom_algo.local.jobs.inference import container
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.room import Room
from tests.local.jobs.support import Lines
from tests.local.support import AIRLINE, AIRLINE_ID, BUREAU, ONE_PER_LINE, SETTINGS, RoomFixture

DIES = """
def answer(kind, body):
    print("row 4711 is odd", file=sys.stderr, flush=True)
    os._exit(9)
"""
NEVER_READY = """
print("no model for flight 4711", file=sys.stderr, flush=True)
sys.exit(4)
"""


def logs_to(*accounts: str, **policy: Any) -> dict[str, Any]:
    return {"trainedModelInferenceJobs": {"containerLogs": [{"allowedAccountIds": list(accounts), **policy}]}}


def failed(folder: Path, answer: str, privacy: dict[str, Any] | None = None) -> Record:
    """Run an inference job that fails, to its end."""
    with Room(folder / "home", SETTINGS) as room:
        desk = RoomFixture(room, folder, answer=answer, privacy=privacy)
        desk.configure()
        desk.configure(AIRLINE, AIRLINE_ID)
        record = desk.infer(desk.add_packed_model().key)
    assert record.status == "CREATE_FAILED"
    return record


def test_a_container_that_dies_in_the_middle_of_a_job_is_told_as_that(tmp_path: Path) -> None:
    details = failed(tmp_path, DIES).document["statusDetails"]
    assert details["statusCode"] == "CR-JOB-205"
    assert "algo-1: the container ended with exit status 9" in details["message"]
    assert "4711" not in details["message"]  # there is no policy that lets anybody see logs


@pytest.mark.parametrize(
    ("privacy", "shown"),
    [
        (logs_to(AIRLINE), "row 4711 is odd"),
        (logs_to(AIRLINE, logRedactionConfiguration={"entitiesToRedact": ["NUMBERS"]}), "row [REDACTED] is odd"),
        (logs_to(AIRLINE, filterPattern="odd"), "row 4711 is odd"),
        (logs_to(AIRLINE, filterPattern="even"), None),
        (logs_to(AIRLINE, logType="ERROR_SUMMARY"), None),
        (logs_to(BUREAU), None),
    ],
)
def test_the_last_lines_are_shown_as_the_policies_allow(
    tmp_path: Path, privacy: dict[str, Any], shown: str | None
) -> None:
    message = failed(tmp_path, DIES, privacy).document["statusDetails"]["message"]
    if shown is None:
        assert "odd" not in message
    else:
        assert message.endswith(shown)


def test_a_container_that_ends_before_it_is_ready(tmp_path: Path) -> None:
    details = failed(tmp_path, NEVER_READY + ONE_PER_LINE, logs_to(AIRLINE)).document["statusDetails"]
    assert details["statusCode"] == "CR-JOB-202"
    assert "exit status 4" in details["message"]
    assert details["message"].endswith("no model for flight 4711")


DEAF = (
    """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
"""
    + ONE_PER_LINE
)
ELSEWHERE = (
    """
os.environ.pop("SAGEMAKER_BIND_TO_PORT")
http.server.ThreadingHTTPServer = lambda place, handler: http.server.HTTPServer(("0.0.0.0", 0), handler)
"""
    + ONE_PER_LINE
)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a job wait for less than on the platform."""
    monkeypatch.setattr(container, "HINT_SECONDS", 0.3)
    monkeypatch.setattr(container, "STOP_SECONDS", 0.6)


@pytest.mark.usefixtures("hasty")
def test_a_server_that_does_not_end_is_told_in_the_log_and_in_the_record(tmp_path: Path) -> None:
    with Room(tmp_path / "home", SETTINGS) as room:
        desk = RoomFixture(room, tmp_path, answer=DEAF)
        desk.configure()
        record = desk.infer(desk.add_packed_model().key)
    assert record.status == "ACTIVE"
    (warning,) = record.private["warnings"]
    assert "did not end within" in warning
    assert "handle SIGTERM" in warning
    log = Path(record.private["log"]).read_text()
    assert "the server has not ended" in log
    assert "warning: algo-1: the server did not end" in log


@pytest.mark.usefixtures("hasty")
def test_a_server_on_another_port_is_told_while_it_is_waited_for(tmp_path: Path) -> None:
    machine = SETTINGS.machine.model_copy(update={"host_kind": "process"})
    with Room(tmp_path / "home", SETTINGS.model_copy(update={"machine": machine})) as room:
        desk = RoomFixture(room, tmp_path, answer=ELSEWHERE)
        desk.configure()
        seen = Lines()
        started = desk.start_inference(desk.add_packed_model().key)
        waiting = threading.Thread(target=room.wait, args=(started,), kwargs={"listener": seen})
        waiting.start()
        seen.wait_for_part(
            "the port accepts no connections; it may still be starting; it must listen on 0.0.0.0, port SAGEMAKER_BIND"
        )
        desk.own("CancelTrainedModelInferenceJob", trainedModelInferenceJobArn=started)
        waiting.join()
    first = next(text for _, stream, text in seen.seen if stream == "job")
    assert re.match(
        r"process host, polling GET /ping on port \d+ \(SAGEMAKER_BIND_TO_PORT\), and .*: no /opt/ml", first
    )


OWN_ROOT = """
import os
from pathlib import Path
root = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
"""


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("(root / 'output').mkdir(); (root / 'output/failure').symlink_to('{home}/failure')", "it is a link"),
        ("(root / 'output').symlink_to('{home}')", "it is a link"),
        ("(root / 'output').mkdir(); os.mkfifo(root / 'output/failure')", "it is a named pipe, not a file"),
    ],
    ids=["link", "folder", "pipe"],
)
def test_a_failure_that_leads_elsewhere_is_not_read(tmp_path: Path, what: str, told: str) -> None:
    home = tmp_path / "user"
    home.mkdir()
    (home / "failure").write_text("the credentials of the user")

    answer = f"{OWN_ROOT}{what.format(home=home)}\nsys.exit(4)\n{ONE_PER_LINE}"
    message = failed(tmp_path, answer).document["statusDetails"]["message"]

    assert told in message
    assert "credentials" not in message
