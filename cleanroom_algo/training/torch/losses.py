"""The training loss in metric lines and at the end of an epoch."""

from __future__ import annotations

import math
import time
from typing import Protocol

from torch import Tensor

from cleanroom_algo.errors import LossError
from cleanroom_algo.training.inputs import no_rows
from cleanroom_algo.training.torch.progress import Sums
from cleanroom_algo.training.torch.run import TorchRun


class Figures(Protocol):
    """What a training logs about its progress. All ranks call each method at the same time."""

    def begin(self) -> None:
        """Start the clock: rows are counted from now on."""

    def add(self, loss: Tensor, rows: int) -> None:
        """Add a batch of this rank: its mean loss and its rows."""

    def line(self, step: int) -> dict[str, float]:
        """Return the values of a metric line after a step, over all rows since the last line."""

    def epoch(self, step: int) -> tuple[int, dict[str, float]]:
        """Return the rows of the epoch and the values to log at its end, and start the next epoch."""


class Losses:
    """The means of the training loss over all rows of all ranks.

    Args:
        run: the training.
    """

    def __init__(self, run: TorchRun) -> None:
        self._run = run
        self._line_sums = Sums(run.device)  # since the last metric line
        self._epoch_sums = Sums(run.device)
        self._last_line = time.monotonic()

    def begin(self) -> None:
        """Start the clock."""
        self._last_line = time.monotonic()

    def add(self, loss: Tensor, rows: int) -> None:
        """Add a batch."""
        self._line_sums.add(loss, rows)

    def line(self, step: int) -> dict[str, float]:
        """Return the mean loss and the rows per second since the last line.

        Raises:
            LossError: CR-TRN-007, the loss is not a finite number.
        """
        total, rows = self._line_sums.reduced()
        now = time.monotonic()
        values = {
            "train_loss": _finite(total / rows, step) if rows else math.nan,
            "learning_rate": self._run.optimizer.param_groups[0]["lr"],
            "rows_per_second": rows / max(now - self._last_line, 1e-9),
        }
        self._last_line = now
        self._epoch_sums.absorb(self._line_sums)
        return values

    def epoch(self, step: int) -> tuple[int, dict[str, float]]:
        """Return the rows of the epoch and its mean loss.

        Raises:
            LossError: CR-TRN-007. NoDataError: CR-TRN-010.
        """
        self._epoch_sums.absorb(self._line_sums)
        total, rows = self._epoch_sums.reduced()
        self._epoch_sums = Sums(self._run.device)
        if not rows:
            raise no_rows(self._run.rank_run.inputs.train, drop_last=self._run.options.drop_last)
        return int(rows), {"epoch_train_loss": _finite(total / rows, step)}


def _finite(loss: float, step: int) -> float:
    if not math.isfinite(loss):
        raise LossError(
            f"the training loss is not a finite number after step {step}",
            expected="a finite loss",
            fix="lower the learning rate, set clip_norm, or check that features and target are in range",
        )
    return loss
