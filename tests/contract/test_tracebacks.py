"""Whole tracebacks reach the log where the setting says so, and nowhere else."""

from __future__ import annotations

import pytest

from cleanroom_algo.contract.settings import Settings
from cleanroom_algo.contract.tracebacks import configure_tracebacks, log_traceback


@pytest.mark.parametrize(("value", "shown"), [("whole", True), ("redacted", False)])
def test_the_log_has_them_by_choice(caplog: pytest.LogCaptureFixture, value: str, shown: bool) -> None:
    configure_tracebacks(Settings.read({"CLEANROOM_ALGO_TRACEBACKS": value, "CLEANROOM_ALGO_LOG_LEVEL": "DEBUG"}))
    try:
        raise ValueError("row 4711")
    except ValueError as error:
        log_traceback(error)
    assert ("row 4711" in caplog.text) is shown
    configure_tracebacks(Settings.read({}))
