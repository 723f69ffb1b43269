"""Ranks together: the process group, the wrapped step, and what they agree on without a collective of its own.

Each step's gradient must be that of all rows of all ranks, although the ranks' batches differ in size and some may have
run out of rows. The step therefore weighs its loss by rows / batch_size, and carries the weight as the gradient of an
extra parameter: DDP averages both in the same bucket, and their ratio is the gradient over all rows. The same parameter
carries whether a rank was asked to stop, so that all ranks end after the same step.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from cleanroom_algo.errors import LossError

if TYPE_CHECKING:
    from cleanroom_algo.data.batch import Batch

COLLECTIVE_TIMEOUT = timedelta(minutes=30)  # a rank may publish for minutes while the others wait


@contextlib.contextmanager
def process_group(size: int, device: torch.device) -> Iterator[None]:
    """Join the other ranks, where there are any: gloo on CPU, nccl on GPU."""
    if size == 1:
        yield
        return
    if device.type == "cuda":
        dist.init_process_group("cpu:gloo,cuda:nccl", timeout=COLLECTIVE_TIMEOUT, device_id=device)
    else:
        dist.init_process_group("gloo", timeout=COLLECTIVE_TIMEOUT)
    yield
    dist.destroy_process_group()  # only in good order: after a failure it could wait for ranks that are gone


class Step(nn.Module):
    """A model with its loss, as one module for DDP: the algorithm's hooks always see the bare model."""

    def __init__(self, model: nn.Module, loss: Callable[[nn.Module, Batch], Tensor], device: torch.device) -> None:
        super().__init__()
        self.model = model
        self._loss = loss
        self.tally = nn.Parameter(torch.zeros(2, device=device))

    def forward(self, batch: Batch, signal: Tensor) -> tuple[Tensor, Tensor]:
        """Return what to differentiate, and the mean loss of the batch.

        Args:
            batch: some rows, at least one of them for its shapes.
            signal: its weight and whether to stop, on the model's device.
        """
        loss = self._loss(self.model, batch)
        check_form(loss)
        return loss * signal[0] + (self.tally * signal).sum(), loss.detach()


def check_form(loss: Tensor) -> None:
    """Check what an algorithm's `loss` returned.

    Raises:
        LossError: CR-TRN-007, it is no scalar, or does not depend on the model.
    """
    if loss.dim() or not loss.requires_grad:
        raise LossError(
            f"`loss` returned a tensor of shape {list(loss.shape)}"
            + ("" if loss.requires_grad else " that does not depend on the model"),
            expected="a scalar: the mean over the batch's rows",
            fix="return .mean() of the rows' losses, computed from the model's output",
        )


def shard(model: nn.Module, size: int, device: torch.device) -> None:
    """Shard the parameters of a model over the ranks, in place, with one unit per large child."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (size,))
    for module in model.modules():
        blocks = list(module) if isinstance(module, nn.ModuleList | nn.Sequential) else []
        for block in blocks:
            if any(True for _ in block.parameters()):
                fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)


def reduce_sums(values: Tensor) -> Tensor:
    """Return the sums over all ranks; the same tensor where there is one rank."""
    if dist.is_initialized():
        dist.all_reduce(values)
    return values


def any_rank(flag: bool, device: torch.device) -> bool:
    """Whether the flag is set on any rank."""
    return bool(reduce_sums(torch.tensor([float(flag)], device=device)).item())


def from_first_rank(value: Any) -> Any:
    """Return the first rank's value, on all ranks."""
    if not dist.is_initialized():
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def barrier() -> None:
    """Wait for all ranks."""
    if dist.is_initialized():
        dist.barrier()


def gather(value: Any) -> list[Any]:
    """Return every rank's value, in the order of the ranks."""
    if not dist.is_initialized():
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values
