"""`make demo` on a tenth of the flights: every step, and the table at its end."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl

from examples.flight_delay.data import export_tables

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_demo_tells_a_whole_story(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES, tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    tables = tmp_path / ".demo/tables"
    export_tables(tables)
    flights = pl.read_parquet(tables / "flights.parquet")
    flights.gather_every(10).write_parquet(tables / "flights.parquet")
    done = subprocess.run(
        [sys.executable, "-m", "examples.flight_delay.demo"],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"^flight-delay .* ACTIVE ", done.stdout, re.MULTILINE)) == 2
    (aucs,) = re.findall(r"^november-december +ACTIVE +\d+ +(0\.\d+) +(0\.\d+)", done.stdout, re.MULTILINE)
    assert all(0.5 < float(auc) < 1 for auc in aucs)
    assert done.stderr.count("$ cleanroom-algo") == 4
    assert ".venv/bin/cleanroom-algo show --home .demo/room" in done.stderr
    assert done.stderr.endswith("opens http://127.0.0.1:8780 in your browser.\n")
