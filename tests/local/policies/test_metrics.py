"""What metricDefinitions find, and when and how members get it."""

import statistics

import pytest

from cleanroom_algo.contract.metrics import metric_definitions
from cleanroom_algo.local.policies.logs import Line
from cleanroom_algo.local.policies.metrics import Point, member_metrics, points
from cleanroom_algo.local.policies.recipients import Recipients

ANNA, BERT = "111111111111", "222222222222"
LOSS = {"name": "loss", "regex": "loss=([0-9.]+)"}
FOUND = [Point("t", "algo-1", "loss", float(value)) for value in range(1000)]


def line(text: str) -> Line:
    return {"time": "t", "host": "algo-1", "stream": "stdout", "text": text}


def recipients(level: str | None, *, ended: bool = True) -> Recipients:
    return Recipients(noise=level, metrics=(LOSS,), members={ANNA: True, BERT: False}, ended=ended)


def test_the_first_group_of_every_match_is_a_value() -> None:
    found, notes = points([line("loss=0.5 then loss=0.25"), line("loss=none"), line("loss=1.2.3")], [LOSS])

    assert [(each.name, each.value) for each in found] == [("loss", 0.5), ("loss", 0.25)]
    assert notes == []


@pytest.mark.parametrize(
    ("regex", "why"),
    [("loss=(", "cannot be used"), ("loss=[0-9]+", "no group"), ("accuracy=([0-9.]+)", "matches no line")],
)
def test_a_definition_that_is_of_no_use_is_named(regex: str, why: str) -> None:
    found, notes = points([line("loss=0.5")], [{"name": "mine", "regex": regex}])

    assert found == []
    assert "mine" in notes[0]
    assert why in notes[0]


def test_the_definitions_of_a_trainer_find_its_metrics() -> None:
    found, _ = points([line("[metric] epoch=2 step=56 epoch_train_loss=0.399233")], metric_definitions())

    assert [(each.name, each.value) for each in found] == [("epoch_train_loss", 0.399233)]


@pytest.mark.parametrize("level", [None, "NONE"])
def test_without_noise_values_come_as_the_job_runs(level: str | None) -> None:
    seen = member_metrics(FOUND, recipients(level, ended=False), ANNA, noise="gaussian", seed="s")

    assert list(seen.points) == FOUND
    assert seen.notes == ()


def test_with_a_noise_level_nothing_comes_before_the_end() -> None:
    seen = member_metrics(FOUND, recipients("LOW", ended=False), ANNA, noise="none", seed="s")

    assert seen.points == ()
    assert "when the job has ended" in seen.notes[0]


@pytest.mark.parametrize(("ended", "noisy"), [(False, False), (True, True)])
def test_a_noise_level_leaves_cpu_and_memory_alone(*, ended: bool, noisy: bool) -> None:
    usage = [Point("t", "algo-1", "CPUUtilization", 99.0), Point("t", "algo-1", "MemoryUtilization", 3.0)]

    seen = member_metrics(FOUND, recipients("HIGH", ended=ended), ANNA, noise="gaussian", seed="s", usage=usage)

    assert list(seen.points[-2:]) == usage
    assert len(seen.points[:-2]) == (len(FOUND) if noisy else 0)
    assert member_metrics([], recipients("HIGH"), BERT, noise="none", seed="s", usage=usage).points == ()


def test_a_member_without_ml_configuration_gets_nothing() -> None:
    seen = member_metrics(FOUND, recipients(None), BERT, noise="none", seed="s")

    assert seen.points == ()
    assert "PutMLConfiguration" in seen.notes[0]


@pytest.mark.parametrize(("level", "share"), [("LOW", 0.01), ("MEDIUM", 0.05), ("HIGH", 0.1)])
def test_gaussian_noise_grows_with_the_level_and_repeats(level: str, share: float) -> None:
    seen = member_metrics(FOUND, recipients(level), ANNA, noise="gaussian", seed="s")

    added = [noisy.value - true.value for noisy, true in zip(seen.points, FOUND, strict=True)]
    assert statistics.stdev(added) == pytest.approx(share * 999, rel=0.1)
    assert seen == member_metrics(FOUND, recipients(level), ANNA, noise="gaussian", seed="s")
    assert "chosen by this project" in seen.notes[0]


def test_noise_is_off_by_default_and_said_to_be() -> None:
    seen = member_metrics(FOUND, recipients("HIGH"), ANNA, noise="none", seed="s")

    assert list(seen.points) == FOUND
    assert "does not document" in seen.notes[0]
