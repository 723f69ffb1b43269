"""Whole tracebacks reach the log where the setting says so, and nowhere else."""

from __future__ import annotations

import json

import pytest

from cleanroom_algo.contract.settings import Settings
from cleanroom_algo.contract.tracebacks import configure_tracebacks, is_logged, log_traceback


@pytest.mark.parametrize(("value", "shown"), [("whole", True), ("redacted", False)])
def test_the_log_has_them_by_choice(caplog: pytest.LogCaptureFixture, value: str, shown: bool) -> None:
    configure_tracebacks(Settings.read({"CLEANROOM_ALGO_TRACEBACKS": value, "CLEANROOM_ALGO_LOG_LEVEL": "DEBUG"}))
    try:
        raise ValueError(f"row {value}")
    except ValueError as error:
        log_traceback(error)
        assert is_logged(f"ValueError: row {value}\n  at late.py:3") is shown
    finally:
        configure_tracebacks(Settings.read({}))
    assert (f"row {value}" in caplog.text) is shown


def test_tracebacks_begin_in_the_algorithm(caplog: pytest.LogCaptureFixture) -> None:
    configure_tracebacks(Settings.read({"CLEANROOM_ALGO_TRACEBACKS": "whole"}))
    with pytest.raises(ZeroDivisionError) as caught:
        json.loads("{}", object_hook=lambda found: 1 / len(found))
    log_traceback(caught.value.with_traceback(caught.tb.tb_next))  # which begins in Python's json
    configure_tracebacks(Settings.read({}))
    (message,) = caplog.messages
    (place,) = (line for line in message.splitlines() if line.startswith("  File"))
    assert "test_tracebacks.py" in place
