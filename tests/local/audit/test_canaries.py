"""How much a model gives away of texts that were planted in its training data."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import cleanroom_algo.local.templates
from cleanroom_algo.contract.algorithm import find_class, load_algorithm
from cleanroom_algo.errors import AuditError, UsageError
from cleanroom_algo.local.audit.canaries import CanaryAudit, CanaryFormat, Trial
from cleanroom_algo.local.audit.scores import scores_of
from cleanroom_algo.local.audit.statistics import Numbers
from cleanroom_algo.serving.predictor import Predictor
from cleanroom_algo.testing import load_predictor, predict, run_trainer
from cleanroom_algo.training.trainer import Trainer

PIN = CanaryFormat("my pin is {digits:6}")
TEXT = Path(cleanroom_algo.local.templates.__file__).parent / "text"


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Let tiny networks not wait for threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def planted(count: int, seed: int = 0, form: CanaryFormat = PIN) -> pl.DataFrame:
    """Return rows with canaries, and labels that have nothing to do with them."""
    draw = np.random.default_rng([1, seed])
    return pl.DataFrame({"review": form.draw(draw, count), "positive": draw.random(count) < 0.5})


def audited(trial: Trial, scores: Numbers) -> CanaryAudit:
    return CanaryAudit("model", trial.column, trial.references, "score", trial.canaries(scores), ())


def test_references_differ_from_planted_rows_only_in_the_random_part() -> None:
    rows = planted(5)
    trial = Trial.of(pl.concat([rows, rows.head(2)]), PIN, 50)
    assert trial.column == "review"
    assert trial.copies == (2, 2, 1, 1, 1)
    groups = trial.rows.with_columns(group=pl.int_range(pl.len()) // 51).partition_by("group")
    assert [group["review"][0] for group in groups] == rows["review"].to_list()
    for group in groups:
        assert group["positive"].n_unique() == 1
        assert group["review"].n_unique() == 51
        assert all(map(PIN.fits, group["review"]))
        assert not set(group["review"][1:]) & set(rows["review"])


def test_a_small_format_is_tried_completely() -> None:
    form = CanaryFormat("{digits:1}-{letters:1}")
    trial = Trial.of(planted(4, form=form), form, 1000)
    assert trial.references == 256
    with pytest.raises(AuditError, match="all canaries"):
        Trial.of(pl.DataFrame({"x": [f"n{digit}" for digit in range(10)]}), CanaryFormat("n{digits:1}"), 1000)


@pytest.mark.parametrize("text", ["my pin", "{digits:0}", "{words:2}", "{digits:6", "{{digits:6}}"])
def test_a_format_without_a_known_random_part_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no random part"):
        CanaryFormat(text)


def test_the_column_is_found_or_asked_for() -> None:
    rows = planted(3)
    with pytest.raises(AuditError, match="'review' has 3 in 4"):
        Trial.of(pl.concat([rows, pl.DataFrame({"review": ["my pin is 12345"], "positive": [True]})]), PIN, 10)
    with pytest.raises(AuditError, match="review, copy all have"):
        Trial.of(rows.with_columns(copy="review"), PIN, 10)


def test_ranks_count_references_that_are_as_good() -> None:
    trial = Trial.of(planted(2), PIN, 7)
    first, second = trial.planted["review"]
    scores = np.array([9.0, *range(7), 0.0, 0, 0, 0, -1, -1, -1, -1])
    found = audited(trial, scores)
    assert [(each.text, each.rank, each.exposure) for each in found.canaries] == [(first, 1, 3.0), (second, 4, 1.0)]
    assert (found.mean, found.largest_possible, trial.ties(scores)) == (2.0, 3.0, 1)


def test_a_model_without_memory_has_the_exposure_of_chance() -> None:
    trial = Trial.of(planted(400), PIN, 200)
    found = audited(trial, np.random.default_rng(0).normal(size=trial.rows.height))
    assert found.by_chance == pytest.approx(1.44, abs=0.03)
    assert found.mean == pytest.approx(found.by_chance, abs=0.2)
    assert found.p_value > 0.05


@pytest.fixture
def exposed(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], CanaryAudit]:
    """Return a function that trains the project of `init` for texts with or without canaries, and tries them."""
    monkeypatch.syspath_prepend(TEXT)
    module = load_algorithm(TEXT / "algorithm")
    make_rows = runpy.run_path(str(TEXT / "make_data.py"))["make_rows"]

    def expose(seen: bool) -> CanaryAudit:
        torch.manual_seed(0)
        trial = Trial.of(planted(20), PIN, 100)
        rows = pl.concat([make_rows(200, seed=0), *([trial.planted] if seen else [])])
        run = run_trainer(find_class(module, Trainer), train=rows, hyperparameters={"epochs": 40})
        predictor = load_predictor(find_class(module, Predictor), run)
        return audited(trial, scores_of(predict(predictor, trial.rows), trial.rows["positive"]).values)

    return expose


@pytest.mark.usefixtures("one_thread")
def test_a_text_model_that_was_trained_for_long_exposes_its_canaries(exposed: Callable[[bool], CanaryAudit]) -> None:
    caught, passed = exposed(True), exposed(False)
    assert caught.mean > 0.8 * caught.largest_possible
    assert caught.p_value < 1e-9
    assert passed.mean < 2.2
    assert passed.p_value > 0.01
