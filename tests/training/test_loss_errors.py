"""Errors of torch that a loss raises for its target, said in terms of the schema."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.data.batch import Batch
from cleanroom_algo.errors import TargetTypeError
from cleanroom_algo.training.torch.loss_errors import loss_errors

BATCH = Batch(torch.zeros(4, 2), torch.zeros(4, 0, dtype=torch.int64), None)


def test_a_loss_of_a_target_that_is_not_declared() -> None:
    schema = Schema.of(a="float32", b="float32")
    with pytest.raises(TargetTypeError, match="declares no target"), loss_errors(BATCH, schema):
        nn.functional.mse_loss(BATCH.numeric, BATCH.target)  # type: ignore[arg-type]


def test_other_errors_pass_through() -> None:
    schema = Schema.of(a="float32", b="float32")
    with pytest.raises(AttributeError, match="nothing"), loss_errors(BATCH, schema):
        schema.nothing  # type: ignore[attr-defined]  # noqa: B018
