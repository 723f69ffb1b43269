"""Learning curves: which metrics they show, over what, and how they are drawn."""

import re
from types import SimpleNamespace

import click

from cleanroom_algo.cli.learning_curve import draw
from cleanroom_algo.local.summaries.curves import Curve, learning_curves


def lines(*texts: str, host: str = "algo-1") -> list[dict[str, str]]:
    return [{"host": host, "text": text} for text in texts]


def summary(curves: list[Curve]) -> list[tuple[str, str, int]]:
    return [(curve.name, curve.unit, len(curve.points)) for curve in curves]


def test_losses_by_epoch_where_there_are_several_and_by_step_in_a_single_one() -> None:
    epochs = [f"[metric] epoch={n} step={n * 10} epoch_train_loss={1 / n} validation_loss={2 / n}" for n in (1, 2, 3)]
    steps = [f"[metric] step={n} epoch={n} train_loss={n} learning_rate=0.1 rows_per_second=9" for n in (1, 2)]
    other = "[metric] epoch=3 validation_accuracy=0.9"
    found = learning_curves(lines(*epochs, *steps, other, "[metric] final_epoch_train_loss=1", "text"), [])
    assert summary(found) == [("epoch_train_loss", "epoch", 3), ("validation_loss", "epoch", 3)]
    assert summary(learning_curves(lines(epochs[0], *steps), [])) == [("train_loss", "step", 2)]


def test_other_metrics_of_one_kind_and_values_of_one_host() -> None:
    rounds = [f"[metric] round={n} train_rmse={n} validation_rmse={n} validation_mae={n}" for n in (1, 2)]
    both = lines(*rounds) + lines(*rounds, host="algo-2")
    assert summary(learning_curves(both, [])) == [("train_rmse", "round", 2), ("validation_rmse", "round", 2)]
    uncounted = lines("[metric] score=1", "[metric] score=nan", "[metric] score=3", "[metric] score=high")
    assert [curve.points for curve in learning_curves(uncounted, [])] == [[(1, 1.0), (2, 3.0)]]
    registered = [SimpleNamespace(host="algo-1", name="auc", value=value) for value in (0.5, 0.7)]
    assert summary(learning_curves(lines("auc 0.5", "auc 0.7"), registered)) == [("auc", "value", 2)]
    assert learning_curves(lines("no metric"), []) == []


def test_a_curve_fits_its_width_and_goes_where_its_values_go() -> None:
    falling = Curve("epoch_train_loss", "epoch", [(1, 3.0), (2, 1.0), (3, 0.5)])
    flat = Curve("validation_loss", "epoch", [(1, 2.0), (2, 2.0), (3, 2.0)])
    for width in (60, 80):
        drawn = [click.unstyle(line) for line in draw([falling, flat], width)]
        assert max(map(len, drawn)) <= width
        assert drawn[0].startswith("    3 ┤")
        assert re.search(r"[⠁-⣿]$", drawn[11].rstrip())
        assert drawn[13].split() == ["epoch", "1", "3"]
        assert drawn[14].split() == ["━━", "epoch_train_loss", "last", "0.5,", "least", "0.5", "at", "epoch", "3"]
        assert drawn[15].startswith("  ╍╍ validation_loss ")
    assert any("⠤" in line or "⠒" in line or "⠉" in line for line in map(click.unstyle, draw([flat], 60)))
