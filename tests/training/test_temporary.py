"""Folders of killed processes go with the next; those of living ones stay."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cleanroom_algo.training.temporary import temporary_folder
from tests.training.support import Container, algorithm, csv_rows, listing

OWNER = """
import sys
from cleanroom_algo.training.temporary import temporary_folder
with temporary_folder("cleanroom-test-") as path:
    (path / "file").touch()
    print(path, flush=True)
    sys.stdin.read()
"""


@contextmanager
def owner(folder: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Start a process that has a folder until its stdin ends."""
    command = [sys.executable, "-c", OWNER]
    environment = {**os.environ, "TMPDIR": str(folder)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())


def test_what_a_killed_process_left_goes_with_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with owner(tmp_path) as (_, living), owner(tmp_path) as (process, left):
        process.kill()
        process.wait()
        assert (left / "file").exists()
        with temporary_folder("cleanroom-test-") as own:
            assert sorted(tmp_path.iterdir()) == sorted([living, own])
        assert (living / "file").exists()

    assert list(tmp_path.iterdir()) == []


def test_loaders_leave_nothing(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A rank ends without the interpreter's end, which would remove the folder of the fork server."""
    temporary = tmp_path_factory.mktemp("t")  # a short name: it holds a socket, whose path has 107 bytes at most
    container = Container(tmp_path / "ml", algorithm(tmp_path), hyperparameters={"epochs": "1"})
    container.channel("train", {"a": csv_rows(300)})

    ended = container.run(CLEANROOM_ALGO_RANKS_PER_HOST="2", CLEANROOM_ALGO_LOADER_WORKERS="1", TMPDIR=str(temporary))

    assert ended.status == 0, ended.err
    assert [name for name in listing(temporary) if not name.startswith("torchinductor")] == []
