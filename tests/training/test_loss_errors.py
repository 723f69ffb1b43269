"""Errors of torch that a loss raises for its target, said in terms of the schema."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.data.batch import Batch
from cleanroom_algo.errors import LossError, TargetTypeError
from cleanroom_algo.training.torch.loss_errors import loss_errors, refuse_broadcasts
from cleanroom_algo.training.torch.parallel import check_form

BATCH = Batch(torch.zeros(4, 2), torch.zeros(4, 0, dtype=torch.int64), None)


def test_a_loss_of_a_target_that_is_not_declared() -> None:
    schema = Schema.of(a="float32", b="float32")
    with pytest.raises(TargetTypeError, match="declares no target"), loss_errors(BATCH, schema):
        nn.functional.mse_loss(BATCH.numeric, BATCH.target)  # type: ignore[arg-type]


def test_other_errors_pass_through() -> None:
    schema = Schema.of(a="float32", b="float32")
    with pytest.raises(AttributeError, match="nothing"), loss_errors(BATCH, schema):
        schema.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_a_loss_of_each_target_with_all_predictions_is_refused() -> None:
    schema = Schema.of(target="y", a="float32", b="float32", y="float32")
    batch = Batch(torch.zeros(4, 2), torch.zeros(4, 0, dtype=torch.int64), torch.zeros(4))
    with warnings.catch_warnings():
        refuse_broadcasts()
        with (
            pytest.raises(LossError, match=r"each target with the predictions of all rows"),
            loss_errors(batch, schema),
        ):
            nn.functional.mse_loss(batch.numeric[:, :1], batch.target)  # type: ignore[arg-type]
        with loss_errors(batch, schema):
            nn.functional.mse_loss(batch.numeric[:, 0], batch.target)  # type: ignore[arg-type]


def test_a_loss_that_is_no_tensor_is_refused() -> None:
    with pytest.raises(LossError, match="a value of the type float"):
        check_form(0.5)  # type: ignore[arg-type]
