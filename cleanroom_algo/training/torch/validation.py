"""The means over the validation channel, over all rows of all ranks."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import torch
from torch import nn

from cleanroom_algo.training.torch.devices import autocast
from cleanroom_algo.training.torch.parallel import any_rank, reduce_sums

if TYPE_CHECKING:
    from cleanroom_algo.training.process.rank_run import Context
    from cleanroom_algo.training.torch.batches import Batches
    from cleanroom_algo.training.trainer import Trainer

_VOTE_BATCHES = 32  # a vote costs a collective; once in so many batches it cannot be measured

log = logging.getLogger(__name__)


def validate(
    trainer: Trainer, context: Context, model: nn.Module, batches: Batches, epoch: int
) -> dict[str, float] | None:
    """Return the means of the loss and of the trainer's metrics as `validation_*`; none where there is no row.

    All ranks call it. None is returned where a rank was asked to stop: means over a part of the rows could pass for
    better ones.
    """
    device = trainer.device
    model.eval()
    names: list[str] = []
    sums = torch.zeros(1, dtype=torch.float64, device=device)
    rows = 0
    with torch.no_grad(), autocast(device, context.options.precision)():
        for number, (batch, _) in enumerate(batches.epoch(epoch), 1):
            padded = batches.padded(batch)
            values = {"loss": trainer.loss(model, padded), **trainer.metrics(model, padded)}
            if not names:
                names = list(values)
                sums = torch.zeros(len(names), dtype=torch.float64, device=device)
            if batch.rows:
                sums += torch.stack([values[name].detach().double() for name in names]) * batch.rows
            rows += batch.rows
            if number % _VOTE_BATCHES == 0 and any_rank(bool(context.stop), device):
                break
    if any_rank(bool(context.stop), device):
        return None
    reduced = reduce_sums(torch.cat([sums, torch.tensor([rows], dtype=torch.float64, device=device)])).tolist()
    if not reduced[-1]:
        log.warning("the validation channel has no row")
        return {}
    return {f"validation_{name}": value / reduced[-1] for name, value in zip(names, reduced[:-1], strict=True)}
