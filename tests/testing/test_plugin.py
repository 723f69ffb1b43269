"""The plugin in pytest runs of an author's own: several workers, and nothing left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.testing.test_clean_room import ALGORITHM

TESTS = """
from pathlib import Path
import pytest

@pytest.mark.parametrize("distance", [1.0, 2.0])
def test_it_counts(clean_room, distance):
    assert clean_room.home.is_relative_to(Path("base").absolute())
    model = clean_room.train("algorithm.py", train={"a.csv": f"name,distance,late\\nx,{distance},true\\n"})
    assert model.metrics == {"count": 1}
"""


def test_workers_have_rooms_of_their_own_and_leave_nothing(tmp_path: Path) -> None:
    (tmp_path / "algorithm.py").write_text(ALGORITHM)
    (tmp_path / "test_it.py").write_text(TESTS)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    words = ["-q", "-n", "2", "-W", "error", "-p", "no:cacheprovider", "--basetemp", "base"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, "--clean-room-hosts", "process", "test_it.py"],
        cwd=tmp_path,
        env=os.environ | {"TMPDIR": str(scratch), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "2 passed" in done.stdout, done.stdout
    assert list(scratch.iterdir()) == []
    assert {each.name for each in tmp_path.iterdir()} == {"algorithm.py", "base", "scratch", "test_it.py"}
