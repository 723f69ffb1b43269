"""What a host takes of CPU and memory, on every kind of host that this machine offers."""

from __future__ import annotations

import json
import threading
from datetime import datetime
from pathlib import Path

import pytest

from cleanroom_algo.local.hosts.protocol import HostSpec, Limits
from cleanroom_algo.local.plans.training_plan import AlgorithmSource
from tests.local.hosts.kinds import KINDS, Place, place_of

# A child holds the memory, and ends with its parent; its parent is busy.
BUSY = """#!/usr/bin/env python3
import subprocess, sys
hold = "held = bytearray(b'x') * (200 << 20); print('held', flush=True); import sys; sys.stdin.read()"
child = subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE)
while True: pass
"""


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest) -> Place:
    return place_of(request, request.param)


def test_what_the_whole_tree_takes(place: Place, tmp_path: Path) -> None:
    programs = tmp_path / "busy"
    programs.mkdir()
    (programs / "train").write_text(BUSY)
    (programs / "train").chmod(0o755)
    (tmp_path / "host/ml").mkdir(parents=True)
    usage = tmp_path / "usage.jsonl"
    source = place.source(AlgorithmSource(str(programs)))
    limits = Limits(memory_bytes=1 << 30)
    with place.hosts.open(["algo-1"]) as hosts:
        host = hosts.launch(HostSpec("algo-1", tmp_path / "host/ml", source, "train", limits=limits, usage=usage))
        values = taken(usage, enough={"CPUUtilization": 5.0, "MemoryUtilization": 20.0})
        host.kill()
        list(host.lines)
        host.wait()

    # One core is busy, but a crowded machine gives it less; 200 MiB of 1 GiB and two interpreters.
    assert 5 < values["CPUUtilization"] < 250
    assert 20 < values["MemoryUtilization"] < 30


def taken(usage: Path, enough: dict[str, float]) -> dict[str, float]:
    """Wait until a value of each metric is more than enough, and return the last ones."""
    for _ in range(600):
        lines = usage.read_text().splitlines() if usage.exists() else []
        records = [json.loads(line) for line in lines]
        last = {each["name"]: each["value"] for each in records}
        if last and all(last[name] > least for name, least in enough.items()):
            assert {each["host"] for each in records} == {"algo-1"}
            assert all(datetime.fromisoformat(each["time"]).utcoffset() is not None for each in records)
            return last
        threading.Event().wait(0.1)
    raise AssertionError(f"never enough in {lines}")
