"""What a checkpoint holds, and how a training goes on from it."""

from __future__ import annotations

import logging
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from cleanroom_algo.errors import DataStateError
from cleanroom_algo.training.artifacts.model_state import full_model_state, full_optimizer_state, restore_full_state
from cleanroom_algo.training.torch.checkpoints import Checkpoints, fingerprint, random_states, restore_random_states
from cleanroom_algo.training.torch.parallel import from_first_rank, reduce_sums
from cleanroom_algo.training.torch.progress import Progress, Sums

if TYPE_CHECKING:
    from cleanroom_algo.training.artifacts.publication import Publication
    from cleanroom_algo.training.process.rank_run import Context
    from cleanroom_algo.training.torch.batches import Batches
    from cleanroom_algo.training.torch.steps import Steps
    from cleanroom_algo.training.trainer import Trainer

log = logging.getLogger(__name__)


class Resuming:
    """Writes the state of one training into checkpoints, and takes it up again.

    Args:
        trainer: that trains.
        context: this rank's place and tools.
        model: the bare model.
        optimizer: of its parameters.
        steps: with the scheduler and the scaler.
        batches: of the training channel.
        publication: which knows what has been published.
        sharded: whether the ranks hold shards.
    """

    def __init__(
        self,
        trainer: Trainer,
        context: Context,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        steps: Steps,
        batches: Batches,
        publication: Publication,
        sharded: bool,
    ) -> None:
        self._trainer = trainer
        self._model = model
        self._optimizer = optimizer
        self._steps = steps
        self._batches = batches
        self._publication = publication
        self._sharded = sharded
        self._checkpoints = _checkpoints(trainer, context)
        world = trainer.world
        assert world is not None
        self._leads = world.rank == 0
        # Shards are gathered on the first rank; whole states are equal on all, and lie on each host.
        self._holds_shared = self._leads if sharded else context.local_rank == 0

    def save(self, progress: Progress, line: Sums, epoch: Sums) -> None:
        """Write a checkpoint; all ranks call it after the same step.

        Args:
            progress: where training stands.
            line: what this rank has summed since the last metric line.
            epoch: what it had summed in this epoch before that.
        """
        own_sums = [line.local(), epoch.local()]
        shared = {
            "model": full_model_state(self._model, sharded=self._sharded),
            "optimizer": full_optimizer_state(self._model, self._optimizer, sharded=self._sharded),
            "about": {
                "progress": asdict(progress),
                "data": self._batches.position(progress.batches),
                "scheduler": self._steps.scheduler.state_dict() if self._steps.scheduler is not None else None,
                "scaler": self._steps.scaler.state_dict(),
                "metrics": dict(self._trainer._final_metrics),
                "publication": self._publication.state(),
                "sums": reduce_sums(own_sums[0] + own_sums[1]).tolist(),
            },
        }
        own = {
            "random": random_states(),
            "sums": [each.tolist() for each in own_sums],
            "data": self._batches.position(progress.batches),
        }
        self._checkpoints.save(progress.step, shared if self._holds_shared else None, own)

    def load(self, line: Sums, epoch: Sums) -> Progress:
        """Take up the newest checkpoint that all hosts have.

        Args:
            line: gets what this rank had summed since the last metric line.
            epoch: gets what it had summed before.

        Returns:
            Where training stands; at its beginning where there is no checkpoint.

        Raises:
            CheckpointError: CR-TRN-009, it is damaged.
        """
        found = self._checkpoints.load()
        if found is None:
            return Progress()
        self._steps.settle()
        shared, own = found
        restore_full_state(self._model, self._optimizer, shared, sharded=self._sharded)
        about = shared["about"] if shared else None
        about = from_first_rank(about) if self._sharded else about
        assert about is not None
        if self._steps.scheduler is not None:
            self._steps.scheduler.load_state_dict(about["scheduler"])
        if about["scaler"]:
            self._steps.scaler.load_state_dict(about["scaler"])
        self._trainer._final_metrics.update(about["metrics"])
        self._publication.resume(about["publication"])
        progress = self._position(Progress(**about["progress"]), own["data"] if own else about["data"])
        if progress is not None:
            _restore_sums(line, epoch, own["sums"] if own else None, about["sums"] if self._leads else None)
        else:
            progress = replace(Progress(**about["progress"]), batches=0)
        if own is not None:  # else the ranks are laid out otherwise, and draw anew
            restore_random_states(own["random"])
        return progress

    def clear(self) -> None:
        """Remove all checkpoints: the job is done."""
        self._checkpoints.clear()

    def _position(self, progress: Progress, data: dict[str, Any]) -> Progress | None:
        """Take up the position in the data; None where that cannot be, and the epoch begins anew."""
        if not progress.batches:
            return progress
        try:
            return replace(progress, batches=self._batches.resume(data))
        except DataStateError as error:
            log.warning("%s: the epoch of the checkpoint begins anew", error.what)
            return None


def _restore_sums(line: Sums, epoch: Sums, own: list[list[float]] | None, whole: list[float] | None) -> None:
    if own is not None:
        line.give_back(own[0])
        epoch.give_back(own[1])
    elif whole is not None:  # other ranks than those that summed: the first has it all
        epoch.give_back(whole)


def _checkpoints(trainer: Trainer, context: Context) -> Checkpoints:
    world, job = trainer.world, context.job
    assert world is not None
    return Checkpoints(
        job.environment.paths.checkpoints / job.environment.resources.current_host,
        rank=world.rank,
        leads=context.local_rank == 0,
        layout=[job.environment.resources.host_count, context.ranks],
        fingerprint=fingerprint(
            job.trainer.__name__, job.trainer.schema.to_dict(), dict(job.environment.hyperparameters)
        ),
        keep=context.options.keep_checkpoints,
    )
