"""How ranks that ended in different ways end their host."""

from __future__ import annotations

import signal

import pytest

from cleanroom_algo.training.process.conclusion import conclude
from cleanroom_algo.training.process.reports import RankReport
from cleanroom_algo.training.signals import StopRequest

DONE = RankReport(0, "done")
STOPPED = RankReport(0, "stopped", 143)
OWN = RankReport.failed(0, "its own reason", 1)
LOST = RankReport.failed(1, "the others are gone", 1, lost_others=True)


@pytest.mark.parametrize(
    ("reports", "exit_codes", "stopped", "outcome", "text"),
    [
        ({0: DONE, 1: DONE}, {}, False, "done", ""),
        ({0: DONE, 1: DONE}, {}, True, "stopped", ""),
        ({0: STOPPED, 1: STOPPED}, {}, False, "stopped", ""),  # another host was told
        ({0: OWN, 1: LOST}, {0: 1, 1: 1}, False, "failed", "its own reason"),
        ({0: OWN, 1: LOST}, {0: 1, 1: 1}, True, "failed", "its own reason"),
        ({1: LOST}, {0: -9, 1: 1}, False, "failed", "rank 0 on algo-1 was ended by SIGKILL"),
        ({1: LOST}, {0: -9, 1: 1}, True, "failed", "rank 0 on algo-1 was ended by SIGKILL"),
        ({1: DONE}, {0: 3}, False, "failed", "rank 0 on algo-1 exited with status 3 without a message"),
        ({1: DONE}, {}, False, "failed", "rank 0 on algo-1 ended without a message"),
        ({}, {0: -15, 1: 143}, True, "stopped", ""),
        ({1: LOST}, {0: -15, 1: 1}, True, "stopped", ""),
        ({0: LOST, 1: LOST}, {0: 1, 1: 1}, False, "failed", "the others are gone"),
    ],
)
def test_the_first_cause_wins(
    reports: dict[int, RankReport], exit_codes: dict[int, int], stopped: bool, outcome: str, text: str
) -> None:
    stop = StopRequest()
    if stopped:
        stop.request(signal.SIGTERM)

    found = conclude("algo-1", range(2), reports, exit_codes, stop)

    assert found.outcome == outcome
    assert text in found.text
    assert found.exit_code == {"done": 0, "stopped": 143, "failed": found.exit_code}[outcome]
