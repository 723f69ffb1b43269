"""A model that remembers its rows is told from one that does not, and from a private one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from cleanroom_algo.local.audit.scores import scores_of
from cleanroom_algo.local.audit.statistics import separation
from cleanroom_algo.testing import load_predictor, predict, run_trainer
from examples.privacy.algorithm import Fit, Probability
from examples.privacy.data import rows

MODELS: dict[str, dict[str, object]] = {
    "remembers": {"width": 128, "epochs": 40},
    "learns": {},
    "private": {"private": True, "noise_multiplier": 1.0},
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Let tiny networks not wait for threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_the_attack_tells_the_three_models_apart() -> None:
    pytest.importorskip("opacus")
    seed = 2
    members, others = rows(seed)
    aucs = {}
    for name, hyperparameters in MODELS.items():
        run = run_trainer(Fit, train=members, hyperparameters={**hyperparameters, "seed": seed})
        predictor = load_predictor(Probability, run)
        inside, outside = (scores_of(predict(predictor, table), table["y"]).values for table in (members, others))
        aucs[name] = separation(np.asarray(inside), np.asarray(outside)).auc
    assert aucs["remembers"] > 0.7
    assert max(aucs["learns"], aucs["private"]) < 0.65, aucs
