"""When and what a torch algorithm publishes: best or last weights, within the grace of a stop."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import torch

from cleanroom_algo.contract.manifest import WEIGHTS_FILE
from cleanroom_algo.contract.sizes import GB
from cleanroom_algo.training.model_state import full_model_state
from cleanroom_algo.training.optimizer_state import optimizer_tensors
from cleanroom_algo.training.parallel import from_first_rank
from cleanroom_algo.training.signals import GRACE_SECONDS
from cleanroom_algo.training.tensor_file import add_tensors
from cleanroom_algo.training.weights import OPTIMIZER_FILE

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cleanroom_algo.training.context import Context
    from cleanroom_algo.training.progress import Progress
    from cleanroom_algo.training.trainer import Trainer

_MARGIN_SECONDS = 10.0  # between the end of a save and the platform's SIGKILL
_SAFETY = 1.5  # saves of one size differ by so much when the disk is busy

log = logging.getLogger(__name__)


class Publication:
    """Publishes the artifacts of one training.

    Args:
        trainer: whose artifacts they are.
        context: with the writer.
        model: the bare model.
        optimizer: whose state may travel along.
        sharded: whether the ranks hold shards.

    Attributes:
        metrics: of the weights that were published last.
    """

    def __init__(
        self, trainer: Trainer, context: Context, model: nn.Module, optimizer: torch.optim.Optimizer, *, sharded: bool
    ) -> None:
        self._trainer = trainer
        self._context = context
        self._options = context.options
        self._model = model
        self._optimizer = optimizer
        self._sharded = sharded
        world = trainer.world
        self._leads = world is None or world.rank == 0
        self._last = time.monotonic()
        self._took = 0.0
        self._published = False
        self._pending_better = False
        self.metrics: dict[str, float] = {}

    def publish_epoch(self, progress: Progress, *, better: bool) -> None:
        """Publish after an epoch, where it is due: the best always, the last not more often than asked for.

        Saves that would take half of the grace are made after each epoch: a stop may not leave the time for one.
        """
        if self._options.keep == "best":
            due = better
        else:
            slow = self._took * _SAFETY > GRACE_SECONDS / 2
            due = slow or time.monotonic() - self._last >= self._options.publish_seconds
            due = bool(from_first_rank(due)) if self._sharded else due
        if due:
            self._publish(progress)

    def note_better(self) -> None:
        """Tell that the final weights are the best."""
        self._pending_better = True

    def publish_final(self, progress: Progress) -> None:
        """Publish at the end; the best weights may lie there already."""
        if self._options.keep == "best" and self._published and not self._pending_better:
            return
        self._publish(progress)

    def publish_stopped(self, progress: Progress) -> None:
        """Publish after a stop, unless the time left would not do and an earlier state is there."""
        if self._options.keep == "best" and self._published:
            return
        enough = self._context.stop.grace_left - _MARGIN_SECONDS > self._took * _SAFETY
        enough = bool(from_first_rank(enough)) if self._sharded else enough
        if not enough and self._published:
            log.warning("no time for another save: the artifacts of the last publication stay")
            return
        self._publish(progress)

    def _publish(self, progress: Progress) -> None:
        started = time.monotonic()
        self._published = True
        self.metrics = dict(self._trainer._final_metrics)
        state = full_model_state(self._model, sharded=self._sharded)
        if not self._leads:
            return
        writer = self._context.writer
        with writer.draft() as draft:
            shard_bytes = int(self._options.shard_gb * GB) if self._options.shard_gb else None
            add_tensors(draft, WEIGHTS_FILE, self._stored(state), shard_bytes=shard_bytes)
            if self._options.save_optimizer and not self._sharded:
                tensors, metadata = optimizer_tensors(self._model, self._optimizer)
                add_tensors(draft, OPTIMIZER_FILE, tensors, metadata=metadata)
            self._context.add_own_files(self._trainer, draft)
            manifest = self._context.manifest(self._trainer, steps=progress.step, rows=progress.rows)
            published = writer.publish(draft, manifest)
        self._last = time.monotonic()
        self._took = self._last - started
        log.info("%s; saved in %.1f s", writer.report(published), self._took)

    def _stored(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        if self._options.save_dtype is None:
            return state
        dtype: torch.dtype = getattr(torch, self._options.save_dtype)
        return {name: value.to(dtype) if value.is_floating_point() else value for name, value in state.items()}
