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


@pytest.mark.process
@pytest.mark.parametrize(
    ("code", "redacted", "whole"),
    [
        ("raise ValueError(f'{rows} rows')", "ValueError: <value> rows", "ValueError: 40 rows"),
        ("raise ValueError(f'{rows} rows\\n and more')", "<value> rows\n and more", "ValueError: 40 rows\n and more"),
        ("import json; json.loads('{4')", "double quotes: <value>", "double quotes: line 1 column 2 (char 1)"),
        ("open('/none')", "No such file or directory: <value>none'", "No such file or directory: '/none'"),
    ],
)
def test_an_author_reads_the_whole_message_and_others_do_not(
    desk_with: Callable[..., CliFixture], code: str, redacted: str, whole: str
) -> None:
    desk = desk_with(fit=code)
    done = desk.train()
    first, *more = done.stderr[done.stderr.index("CR-JOB-303") :].splitlines()
    message, *rest = whole.splitlines()
    assert first.startswith("CR-JOB-303  mean-algorithm: ")
    assert message in first
    assert more[0].startswith("  fix       correct mean_algorithm.py:")
    assert [line.strip() for line in rest] == [line.strip() for line in more[1 : 1 + len(rest)]]
    assert redacted in desk.model()["statusDetails"]["message"]
    assert message in desk.run("show", "mean-algorithm").stdout

    again = desk.train("--environment", "CLEANROOM_ALGO_TRACEBACKS=redacted", "--name", "again")
    assert redacted.splitlines()[0] in again.stderr[again.stderr.index("CR-JOB-303") :]


@pytest.mark.process
def test_the_whole_message_is_that_of_the_host_that_failed(desk_with: Callable[..., CliFixture]) -> None:
    desk = desk_with(
        fit="""
        try:
            raise ValueError(f"not this one of {self.world.rank}")
        except ValueError:
            raise ValueError(f"of rank {self.world.rank}")
        """
    )
    desk.algorithm.write_text(
        desk.algorithm.read_text().replace("hyperparameters = ", "distributed = True\n    hyperparameters = ")
    )
    told = desk.train("--hosts", 2).stderr
    last = told[told.index("CR-JOB-303") :]
    [rank] = [number for number in (0, 1) if f"\n            on host algo-{number + 1}, rank {number}\n" in last]
    assert last.startswith(f"CR-JOB-303  mean-algorithm: ValueError: of rank {rank}\n")


@pytest.mark.process
def test_an_author_reads_why_a_file_cannot_be_imported_and_a_prediction_fails(desk: CliFixture) -> None:
    works = desk.algorithm.read_text()
    desk.algorithm.write_text(works.replace('frame["x"] / 2', "1 / 0"))
    assert desk.train().status == 0
    failed = desk.run("infer", "mean-algorithm", desk.data).stderr
    assert "  ZeroDivisionError: division by zero" in failed[failed.index("\nCR-JOB-") :]

    desk.algorithm.write_text(works + "\nx = (1,\n")
    failed = desk.train().stderr
    first, fix = failed[failed.index("CR-JOB-303") :].splitlines()[:2]
    assert first.endswith("SyntaxError: '(' was never closed")
    assert fix.endswith(f"mean_algorithm.py:{works.count(chr(10)) + 2} in <module>: x = (1,")
