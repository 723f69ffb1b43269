"""Which queued jobs start, told of the queue alone."""

from __future__ import annotations

import pytest

from cleanroom_algo.local.resources.store import QueuedJob
from cleanroom_algo.local.scheduling.admission import admitted


def job(number: int, hosts: int, *, running: bool = False, stop: bool = False, owner: str = "us") -> QueuedJob:
    return QueuedJob(number, "trained-model", f"arn-{number}", None, owner, running, hosts, stop)


@pytest.mark.parametrize(
    ("queue", "started"),
    [
        ([job(1, 2), job(2, 2)], [1, 2]),
        ([job(1, 3), job(2, 2), job(3, 1)], [1]),  # the third would overtake the second
        ([job(1, 9)], [1]),  # more than the limit: alone
        ([job(1, 1, running=True), job(2, 9), job(3, 1)], []),
        ([job(1, 4, running=True, owner="them"), job(2, 1)], []),  # the machine is one
        ([job(1, 4, running=True), job(2, 1), job(3, 0)], [3]),  # exports and deletions need no hosts
        ([job(1, 4, running=True), job(2, 1), job(3, 2, stop=True)], [3]),  # it ends before it begins
        ([job(1, 1, owner="them"), job(2, 1)], [2]),
    ],
)
def test_which_jobs_start(queue: list[QueuedJob], started: list[int]) -> None:
    chosen = admitted(queue, lambda each: each.owner == "us", limit=4)

    assert [each.id for each in chosen] == started
