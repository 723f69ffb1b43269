"""`train --debug`: in this process and terminal, and nothing of it is kept."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scenario.conftest import CliFixture


def test_a_breakpoint_stops_in_this_process(
    desk_with: Callable[..., CliFixture], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = desk_with(fit="breakpoint()", save="raise ValueError(f'rows: {self.rows}')")
    before = list(sys.path), sys.argv, Path.cwd()
    stopped = []
    monkeypatch.setattr(sys, "breakpointhook", lambda: stopped.append(sys._getframe(1).f_locals["rows"]))

    done = desk.train("--debug", "--hyperparameter", "power=2", "--input-mode", "FastFile")

    assert (done.status, stopped) == (1, [40])
    assert "read 40 rows" in done.stdout
    assert done.stderr.splitlines()[0] == "Traceback (most recent call last):"
    assert "raise ValueError(f'rows: {self.rows}')" in done.stderr
    assert done.stderr.splitlines()[-1] == "ValueError: rows: 40"
    assert (list(sys.path), sys.argv, Path.cwd()) == before
    assert "SAGEMAKER_BASE_DIR" not in os.environ
    assert desk.models() == []


@pytest.mark.process  # asks sagemaker-training for its names
def test_programs_and_scripts_of_an_author_are_debugged(desk: CliFixture) -> None:
    own = desk.folder / "own"
    own.mkdir()
    (own / "train").write_text("#!/usr/bin/env python3\nimport sys; sys.exit(f'{len(sys.argv)} words')\n")
    (own / "train").chmod(0o755)
    (own / "script.py").write_text("import os, sys; print(sys.argv[1:], 'SM_CHANNEL_TRAIN' in os.environ)\n")
    desk.algorithm = own
    assert desk.train("--debug").status == 1
    (own / "train").unlink()
    done = desk.train("--debug", "--environment", "SAGEMAKER_PROGRAM=script.py", "--hyperparameter", "epochs=2")
    assert (done.status, done.stdout) == (0, "['--epochs', '2'] True\n")


@pytest.mark.parametrize(
    ("words", "fix"), [(("--hosts", "2"), "use one host"), (("--json", "--quiet"), "omit --json, --quiet")]
)
def test_what_cannot_be_debugged_is_refused(desk: CliFixture, words: tuple[str, ...], fix: str) -> None:
    done = desk.train("--debug", *words)
    assert (done.status, fix in done.stdout + done.stderr) == (2, True)
