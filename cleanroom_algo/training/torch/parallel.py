"""A step of a model on several ranks, as one module for DDP.

The gradient of each step must be that of all rows of all ranks, although the batches of the ranks differ in size and
some ranks may have no rows. So a step weights its loss by rows / batch_size, and the weight is also the gradient of an
extra parameter. DDP averages both in the same bucket, and their ratio is the gradient over all rows. The same parameter
also carries whether a rank was asked to stop, so that all ranks end after the same step.

The gradients of a rank without rows are zero, and it runs neither model nor loss. Only if the forward pass itself has
collectives (shards, SyncBatchNorm), it computes rows of another rank with weight zero.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from cleanroom_algo.data.batch import Batch
from cleanroom_algo.data.collectives import gather
from cleanroom_algo.errors import LossError
from cleanroom_algo.training.torch.buffers import RunningBuffers
from cleanroom_algo.training.torch.collectives import from_rank
from cleanroom_algo.training.torch.run import TorchRun

TALLY = ("weight", "stop", "news")
"""The gradient of the extra parameter: the rank's rows / batch_size, whether it was asked to stop, and how many of its
buffers have changed without the other ranks knowing yet."""


class Step(nn.Module):
    """A model with its loss, as one module for DDP; the algorithm's hooks always get the bare model.

    Args:
        run: with the model and the trainer.
        scaler: of the loss.
        buffers: of the model.
    """

    def __init__(self, run: TorchRun, scaler: torch.amp.GradScaler, buffers: RunningBuffers) -> None:
        super().__init__()
        self.model = run.model
        self.tally = nn.Parameter(torch.zeros(len(TALLY), device=run.device))
        self._loss = run.trainer.loss
        self._scaler = scaler
        self._running = buffers

    def forward(self, batch: Batch | None, weight: float, stop: float) -> tuple[Tensor, Tensor]:
        """Return the value to differentiate, and the mean loss of the batch.

        Args:
            batch: some rows; None: the gradients of all parameters are zero.
            weight: of the loss; 0 if the rank has no rows.
            stop: 1 if this rank was asked to stop, else 0.
        """
        if batch is None:
            loss, news = zero_of(self), 0
        else:
            loss = self._loss(self.model, batch)
            check_form(loss)
            news = self._running.news()
        signal = torch.tensor([weight, stop, float(news)])
        if self.tally.device.type == "cuda":
            signal = signal.pin_memory().to(self.tally.device, non_blocking=True)
        return self._scaler.scale(loss if weight == 1 else loss * weight) + self.tally.dot(signal), loss.detach()


class _Zero(torch.autograd.Function):
    """A zero that depends on parameters; its gradients are zero for all values of the parameters."""

    @staticmethod
    def forward(ctx: Any, *parameters: Tensor) -> Tensor:
        ctx.save_for_backward(*parameters)
        return parameters[0].new_zeros(())

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.zeros_like(parameter) for parameter in ctx.saved_tensors)


def zero_of(module: nn.Module) -> Tensor:
    """Return a zero with a gradient of zero for each trained parameter; there must be at least one."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    zero: Tensor = _Zero.apply(*trained)  # type: ignore[no-untyped-call]
    return zero


def check_form(loss: Tensor) -> None:
    """Check the result of an algorithm's `loss`.

    Raises:
        LossError: CR-TRN-007, it is not a scalar, or does not depend on the model.
    """
    if not isinstance(loss, Tensor):
        raise LossError(
            f"`loss` returned a value of the type {type(loss).__name__}",
            expected="a scalar tensor: the mean over the batch's rows",
            fix="return the tensor, without .item() and float()",
        )
    if loss.dim() or not loss.requires_grad:
        raise LossError(
            f"`loss` returned a tensor of shape {list(loss.shape)}"
            + ("" if loss.requires_grad else " that does not depend on the model"),
            expected="a scalar: the mean over the batch's rows",
            fix="return .mean() of the rows' losses, computed from the model's output",
        )


def has_collectives(run: TorchRun) -> bool:
    """Whether a forward pass of the model waits for the other ranks, so that all ranks must run it."""
    return run.sharded or (
        run.world.size > 1 and any(isinstance(module, nn.SyncBatchNorm) for module in run.model.modules())
    )


def stand_in(batch: Batch, run: TorchRun) -> Batch:
    """Return the batch of the first rank that has rows, for ranks without rows; all ranks must call it."""
    rows = gather(batch.rows, run.world)
    owner = next(rank for rank, count in enumerate(rows) if count)
    found: Batch = from_rank(batch.to("cpu"), owner)
    return found.to(run.device)


@contextlib.contextmanager
def without_gradients(model: nn.Module) -> Iterator[None]:
    """Make the gradients of the model's outputs zero, whatever the loss computes from them."""
    handle = model.register_forward_hook(lambda _module, _inputs, output: _silence(output))
    try:
        yield
    finally:
        handle.remove()


def _silence(output: Any) -> None:
    if isinstance(output, Tensor):
        if output.requires_grad:
            output.register_hook(torch.zeros_like)  # type: ignore[no-untyped-call]
    elif isinstance(output, dict):
        _silence(list(output.values()))
    elif isinstance(output, list | tuple):
        for part in output:
            _silence(part)
