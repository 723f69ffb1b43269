"""A model that remembers its rows is told from one that does not, and from a private one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from examples.privacy.attack import MODELS, auc

FASTER = {"remembers its rows": {"epochs": 40}, "private": {"epochs": 5}}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Let tiny networks not wait for threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_the_attack_tells_the_three_models_apart() -> None:
    pytest.importorskip("opacus")
    aucs = {name: auc({**hyperparameters, **FASTER.get(name, {})}, seed=2) for name, hyperparameters in MODELS.items()}
    assert aucs.pop("remembers its rows") > 0.7
    assert max(aucs.values()) < 0.65, aucs
