"""What is shown of a job: how far it is, and why it failed, once."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from cleanroom_algo.channels.hints import UNKNOWN_CATEGORIES
from cleanroom_algo.cli import display
from cleanroom_algo.cli.display import SERVER_NOTES, JobDisplay
from cleanroom_algo.contract.metrics import EPOCHS_LINE, metric_line
from cleanroom_algo.errors import HyperparameterError, JobFailedError, Problem
from cleanroom_algo.local.failures import error_of
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.summaries.progress import TrainingProgress

ERROR = HyperparameterError("1 hyperparameter(s) do not fit", expected="epochs", fix="correct it", problems=[
    Problem("epoch", "is not a hyperparameter"),
    Problem("rate", "is not a number"),
])  # fmt: skip
LINES = [
    EPOCHS_LINE % 4,
    metric_line({"step": 5, "epoch": 1, "train_loss": 0.75, "rows_per_second": 12345.6}),
    metric_line({"epoch": 1, "step": 10, "epoch_train_loss": 0.5, "validation_loss": 0.625}),
    metric_line({"step": 15, "epoch": 2, "train_loss": 0.25, "rows_per_second": 1000}),
]


def clock(*seconds: float) -> Iterator[float]:
    yield from seconds


def failed(reason: str) -> Record:
    document = {"statusDetails": {"message": reason}}
    return Record("trained-model", "arn", name="late", status="CREATE_FAILED", document=document)


def test_progress_counts_steps_and_the_time_that_is_left() -> None:
    ticks = clock(0.0, 30.0)
    progress = TrainingProgress(lambda: next(ticks))
    assert all(progress.take(line) for line in LINES)
    assert not progress.take("a line of the algorithm")
    assert str(progress) == "epoch 2/4  50 s left  loss 0.25  validation 0.625  step 15/40  1,000 rows/s"


def test_an_own_fit_has_its_metrics_shown() -> None:
    progress = TrainingProgress()
    progress.take(metric_line({"mean": 1.5}))
    assert str(progress) == "mean=1.5"


def test_json_lines_have_the_same_values(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "PROGRESS_SECONDS", 0.0)
    with JobDisplay("late", verbose=False, as_json=True) as shown:
        for line in LINES[:2]:
            shown.line("algo-1", "stdout", line)
        shown.ended("ACTIVE", None)
    first, _, training, last = map(json.loads, capsys.readouterr().err.splitlines())
    assert first["state"] == "starting"
    assert training.items() >= {"job": "late", "state": "training", "epochs": 4, "step": 5, "loss": 0.75}.items()
    assert last["state"].startswith("ACTIVE after ")


def test_the_error_that_ends_a_container_is_shown_once_and_others_are_not_lost(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with JobDisplay("late") as shown:
        for line in ("CR-SCH-002  another", "  fix  of it", "working", *str(ERROR).splitlines()):
            shown.line("algo-1", "stderr", line)
        shown.ended("CREATE_FAILED", f"AlgorithmError: {ERROR}")
    told = capsys.readouterr().err
    assert "algo-1 | CR-SCH-002  another\nalgo-1 |   fix  of it\nalgo-1 | working\n" in told
    assert ERROR.code not in told


def test_what_a_server_notes_is_hidden_and_what_it_warns_of_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    stamp = "2026-11-30 19:56:55,125 [2]"
    noted = ["sandbox host, polling GET /ping on port 8080", f"{stamp} INFO Starting gunicorn 27.0.1"]
    warned = [f"{stamp} WARNING slow", "warning: no answer", "INFO of the algorithm", "waiting for GET /ping"]
    with JobDisplay("late", hidden=SERVER_NOTES) as shown:
        for line in noted + warned:
            shown.line("algo-1", "stderr", line)
        shown.line("algo-1", "job", "warning: what is shown at the end of the command")
        shown.line("algo-1", "stderr", f"{stamp} WARNING {UNKNOWN_CATEGORIES}zone")  # becomes a warning of the job
    assert capsys.readouterr().err.splitlines() == ["late: starting", *(f"algo-1 | {line}" for line in warned)]


def test_an_exception_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["Traceback (most recent call last):", '  File "late.py", line 3, in fit', "    1 / 0", "    ~~^~~"]
    for reason, times in (("ZeroDivisionError: division by zero", 0), ("ValueError: of another host", 1)):
        with JobDisplay("late") as shown:
            for line in [*lines, "ZeroDivisionError: division by zero"]:
                shown.line("algo-1", "stderr", line)
            shown.ended("CREATE_FAILED", f"AlgorithmError: {reason}")
        assert capsys.readouterr().err.count("ZeroDivisionError") == times  # what follows is the job's own error


def test_a_job_that_failed_is_told_by_its_own_error() -> None:
    places = "late.py:3 in fit: self.table()", "host algo-1, rank 0"
    told = error_of(failed(f"AlgorithmError: {ERROR}\n  at {places[0]}\n  on {places[1]}"))
    where = "".join(f"            {each}\n" for each in places)
    assert str(told) == str(ERROR).replace("  expected", f"{where}  expected")
    assert told.exit_code == ERROR.exit_code


def test_an_exception_of_the_algorithm_is_told_with_its_place() -> None:
    told = error_of(
        failed("AlgorithmError: KeyError: 'x'\n  at late.py:9 in loss: a[x]\n  at late.py:3 in run: loss()")
    )
    assert isinstance(told, JobFailedError)
    assert str(told).splitlines()[:3] == [
        "CR-JOB-303  late: KeyError: 'x'",
        "  fix       correct late.py:9 in loss: a[x]",
        "  where     late.py:3 in run: loss()",
    ]


def test_metric_lines_of_any_program_are_taken() -> None:
    progress = TrainingProgress()
    for values in ("epoch_train_loss=1", "epoch=0 step=0 epoch_train_loss=1", "epoch=inf step=nan epoch_train_loss=1"):
        assert progress.take("training starts: epochs 2")
        assert progress.take(f"[metric] {values}")
        assert "epoch" in str(progress)
