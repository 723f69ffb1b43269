"""The means over the validation channel, over all rows of all ranks."""

from __future__ import annotations

import logging
from collections import Counter

import torch

from cleanroom_algo.data.batch import Batch
from cleanroom_algo.data.collectives import gather
from cleanroom_algo.training.torch.batches import Batches
from cleanroom_algo.training.torch.collectives import any_rank
from cleanroom_algo.training.torch.devices import autocast
from cleanroom_algo.training.torch.run import TorchRun

_VOTE_BATCHES = 32  # a vote costs a collective; once in so many batches, its cost is not measurable

log = logging.getLogger(__name__)


def validate(run: TorchRun, batches: Batches, epoch: int, stand_in: Batch | None) -> dict[str, float] | None:
    """Return the means of the loss and of the trainer's metrics as `validation_*`; empty if there are no rows.

    All ranks call it. The result is None if a rank was asked to stop, because means over a part of the rows could look
    better.

    Args:
        run: the training.
        batches: of the validation channel.
        epoch: its number, from 0.
        stand_in: what a rank without rows passes through the model if the forward pass has collectives.
    """
    run.model.eval()
    sums: dict[str, torch.Tensor] = {}
    rows = 0
    with torch.no_grad(), autocast(run.device, run.options.precision)():
        for number, (batch, _) in enumerate(batches.epoch(epoch), 1):
            passed = batch if batch.rows else stand_in
            if passed is not None:
                values = {"loss": run.trainer.loss(run.model, passed), **run.trainer.metrics(run.model, passed)}
                if batch.rows:
                    sums = {name: sums.get(name, 0) + value.double() * batch.rows for name, value in values.items()}
            rows += batch.rows
            if number % _VOTE_BATCHES == 0 and any_rank(bool(run.stop), run.device):
                break
    if any_rank(bool(run.stop), run.device):
        return None
    totals: Counter[str] = Counter()
    seen = 0
    for part, count in gather(({name: value.item() for name, value in sums.items()}, rows), run.world):
        totals.update(part)
        seen += count
    if not seen:
        log.warning("the validation channel has no rows")
        return {}
    return {f"validation_{name}": total / seen for name, total in totals.items()}
