"""The progress of a training, according to the output of its containers."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable

from cleanroom_algo.contract.metrics import EPOCHS_LINE, MARK, metric_values

_EPOCHS = re.compile(re.escape(EPOCHS_LINE).replace(re.escape("%d"), r"(\d+)") + "$")


class TrainingProgress:
    """Follows the metric lines of a training.

    Args:
        clock: returns seconds, and never decreases.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started: float | None = None
        self._metrics: dict[str, float] = {}
        self._last: dict[str, float] = {}
        self._epochs: int | None = None
        self._whole = 0  # number of complete epochs
        self._steps: int | None = None  # steps of an epoch, known when the first one is complete

    def take(self, text: str) -> bool:
        """Process a line of a container; return whether it shows the progress of the training."""
        if found := _EPOCHS.match(text):
            self._started, self._epochs = self._clock(), int(found[1])
            return True
        if not text.startswith(f"{MARK} "):
            return False
        self._last = metric_values(text)
        self._metrics |= self._last
        if {"epoch_train_loss", "epoch", "step"} <= self._last.keys():
            self._epoch_ended(self._last["epoch"], self._last["step"])
        return True

    def _epoch_ended(self, epoch: float, step: float) -> None:
        if 1 <= epoch < math.inf and 1 <= step < math.inf:  # any program may write such a line
            self._whole = int(epoch)
            self._steps = int(step / self._whole)

    def values(self) -> dict[str, float]:
        """Return the known values: epochs, steps, rows per second, losses and the remaining seconds."""
        known = {
            "epoch": self._metrics.get("epoch"),
            "epochs": self._epochs,
            "step": self._metrics.get("step"),
            "steps": self._steps and self._epochs and self._steps * self._epochs,
            "loss": self._metrics.get("train_loss", self._metrics.get("epoch_train_loss")),
            "validation_loss": self._metrics.get("validation_loss"),
            "rows_per_second": self._metrics.get("rows_per_second"),
            "seconds_left": self._seconds_left(),
        }
        return {name: value for name, value in known.items() if value is not None}

    def __str__(self) -> str:
        """Return the values as text, the most important first, because narrow terminals cut the end."""
        known = self.values()
        if "epochs" not in known:  # a `fit` of the algorithm, whose metrics can be anything
            return "  ".join(f"{name}={value:.6g}" for name, value in self._last.items())
        parts = [f"epoch {known.get('epoch', 1):.0f}/{known['epochs']}"]
        parts += [f"{known['seconds_left']:.0f} s left"] if "seconds_left" in known else []
        parts += [f"loss {known['loss']:.4g}"] if "loss" in known else []
        parts += [f"validation {known['validation_loss']:.4g}"] if "validation_loss" in known else []
        if "step" in known:
            parts.append(f"step {known['step']:.0f}" + (f"/{known['steps']}" if "steps" in known else ""))
        parts += [f"{known['rows_per_second']:,.0f} rows/s"] if "rows_per_second" in known else []
        return "  ".join(parts)

    def _seconds_left(self) -> float | None:
        """Return the remaining time at the previous speed; None before an epoch is complete."""
        if self._started is None or not (self._epochs and self._steps):
            return None
        done = self._metrics["step"] / (self._steps * self._epochs)
        if not done > 0:
            return None
        return (self._clock() - self._started) * max(1 / done - 1, 0.0)
