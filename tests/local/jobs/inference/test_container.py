"""Inference jobs whose containers end by themselves: what the job says, and to whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.room import Room
from tests.local.support import AIRLINE, AIRLINE_ID, BUREAU, ONE_PER_LINE, SETTINGS, Desk

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
    with Room.open(folder / "home", SETTINGS) as room:
        desk = Desk(room, folder, answer=answer, privacy=privacy)
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
