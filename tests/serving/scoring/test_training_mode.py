"""A predictor whose modules are left in training mode is refused, with what to do."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

from cleanroom_algo.errors import TrainingModeError
from cleanroom_algo.serving.artifacts import Artifacts
from cleanroom_algo.serving.predictor import Predictor
from cleanroom_algo.serving.scoring.prediction import load_predictor
from cleanroom_algo.serving.scoring.training_mode import require_evaluation_mode
from tests.serving.support import ALGORITHM, Container, write_algorithm


def net() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2), torch.nn.Dropout())


def scripted() -> torch.nn.Module:
    with warnings.catch_warnings(action="ignore"):  # it is deprecated, and still met
        module: torch.nn.Module = torch.jit.script(net())
        return module


def holding(**values: object) -> Predictor:
    predictor = Predictor()
    vars(predictor).update(values)
    return predictor


class Noisy(torch.nn.Module):
    """Looks at its mode itself."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.nn.functional.dropout(part, training=self.training) for part in torch.unbind(rows)])


def test_a_model_that_was_left_in_training_mode_cannot_be_loaded(container: Container, tmp_path: Path) -> None:
    text = ALGORITHM.replace("        self.model.eval()\n", "        self.model.layers[1] = torch.nn.RReLU()\n")
    algorithm = write_algorithm(tmp_path, text)
    with pytest.raises(TrainingModeError, match=r"1 module\(s\) .* model\.layers\.1\b") as caught:
        load_predictor(str(algorithm), Artifacts(container.root / "model"))
    assert "self.model.eval()" in caught.value.fix


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"model": net()}, r"model\.1, model\.2"),
        ({"model": Noisy()}, "model"),
        ({"model": torch.nn.LSTM(2, 2)}, "model"),
        ({"model": scripted()}, "model"),
        ({"models": [net().eval(), net()]}, r"models\[1\]"),
        ({"models": {"de": (net(),)}}, r"models\['de'\]\[0\]"),
    ],
)
def test_modules_are_found_wherever_they_are_held(values: dict[str, object], named: str) -> None:
    with pytest.raises(TrainingModeError, match=named):
        require_evaluation_mode(holding(**values))


def test_one_module_of_a_model_is_named() -> None:
    model = net().eval()
    model[2].train()  # type: ignore[index]
    with pytest.raises(TrainingModeError, match=r"1 module\(s\) .* model\.2"):
        require_evaluation_mode(holding(model=model))


def test_modules_that_are_wanted_in_training_mode_may_be() -> None:
    predictor = holding(model=net().eval(), other=net())
    predictor.model[2].train()  # type: ignore[attr-defined]
    predictor.training_modules = ("model.2", "other")
    require_evaluation_mode(predictor)
    predictor.training_modules = ("model",)
    with pytest.raises(TrainingModeError, match="other"):
        require_evaluation_mode(predictor)


def test_modules_without_a_mode_are_left_alone() -> None:
    linear = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU(), torch.nn.LayerNorm(2), torch.nn.Softmax(1))
    require_evaluation_mode(holding(model=net().eval(), linear=linear, loss=torch.nn.MSELoss(), table={"a": 1}))
