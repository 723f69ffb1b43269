"""The progress of training, and the losses since the last report."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from cleanroom_algo.training.torch.collectives import reduce_sums


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of training; part of a checkpoint.

    Attributes:
        epoch: the current one, from 0.
        step: optimizer steps of this job.
        rows: of all ranks, in complete epochs.
        best: the best validation loss (or training loss) so far.
        epochs_without_gain: epochs since the best one.
    """

    epoch: int = 0
    step: int = 0
    rows: int = 0
    best: float = math.inf
    epochs_without_gain: int = 0


class Sums:
    """The sum of losses over rows, kept on the device so that no step waits for it."""

    def __init__(self, device: torch.device) -> None:
        self._sums = torch.zeros(2, dtype=torch.float64, device=device)
        self._losses: list[Tensor] = []
        self._rows: list[int] = []

    def add(self, loss: Tensor, rows: int) -> None:
        """Add a batch: its mean loss and its rows."""
        if rows:
            self._losses.append(loss.detach())
            self._rows.append(rows)

    def absorb(self, other: Sums) -> None:
        """Add the sums of another one, and empty it."""
        self._sums += other.local()
        other._sums.zero_()

    def reduced(self) -> tuple[float, float]:
        """Return the sum of losses times rows, and the rows, over all ranks."""
        total, rows = reduce_sums(self.local().clone()).tolist()
        return total, rows

    def local(self) -> Tensor:
        """Return this rank's sums: losses times rows, and rows."""
        if self._losses:
            rows = torch.tensor(self._rows, dtype=torch.float64, device=self._sums.device)
            self._sums[0] += (torch.stack(self._losses).double() * rows).sum()
            self._sums[1] += rows.sum()
            self._losses, self._rows = [], []
        return self._sums
