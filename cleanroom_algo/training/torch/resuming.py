"""The content of a checkpoint, and how training continues from it after the last complete epoch."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from cleanroom_algo.training.artifacts.model_state import (
    full_model_state,
    full_optimizer_state,
    restore_full_state,
)
from cleanroom_algo.training.torch.checkpoints import Checkpoints, digest, random_states, restore_random_states
from cleanroom_algo.training.torch.collectives import from_rank
from cleanroom_algo.training.torch.eager import without_compiler
from cleanroom_algo.training.torch.private_steps import PrivateSteps
from cleanroom_algo.training.torch.progress import Progress
from cleanroom_algo.training.torch.publication import Publication
from cleanroom_algo.training.torch.run import TorchRun
from cleanroom_algo.training.torch.steps import Steps


class Resuming:
    """Writes the state of one training into checkpoints, and restores it.

    Args:
        run: the training.
        steps: with the scheduler and the scaler.
        publication: knows what has been published.
    """

    def __init__(self, run: TorchRun, steps: Steps | PrivateSteps, publication: Publication) -> None:
        self._run = run
        self._steps = steps
        self._publication = publication
        self._checkpoints = _checkpoints(run)

    @without_compiler()
    def save(self, progress: Progress, *, better: bool) -> None:
        """Write a checkpoint; all ranks call it after the same epoch.

        Args:
            progress: the progress of training.
            better: whether the epoch was the best so far.
        """
        run, scheduler = self._run, self._steps.scheduler
        state = {
            "model": full_model_state(run.model, sharded=run.sharded),
            "optimizer": full_optimizer_state(run.model, run.optimizer, sharded=run.sharded),
            "about": {
                "progress": asdict(progress),
                "scheduler": scheduler.state_dict() if scheduler is not None else None,
                "scaler": self._steps.scaler.state_dict(),
                "metrics": dict(run.rank_run.final_metrics),
                "publication": self._publication.state(),
            },
        }
        # Shards are gathered on the first rank; complete states are equal on all ranks, and each host stores them.
        holds = run.leads if run.sharded else run.world.local_rank == 0
        self._checkpoints.save(progress.epoch, state if holds else None, {"random": random_states()}, better=better)

    @without_compiler()
    def load(self) -> Progress:
        """Restore the newest checkpoint that all hosts have.

        Returns:
            The progress of training; that of its beginning if there is no checkpoint.

        Raises:
            CheckpointError: CR-TRN-009, it is damaged, or of another training.
        """
        found = self._checkpoints.load()
        if found is None:
            return Progress()
        if not self._publication.outlived():
            self._republish(found.best)
        about = self._take_up(found.state)
        if self._steps.scheduler is not None:
            self._steps.scheduler.load_state_dict(about["scheduler"])
        if about["scaler"]:
            self._steps.scaler.load_state_dict(about["scaler"])
        self._publication.resume(about["publication"])
        restore_random_states(found.own["random"])
        return Progress(**about["progress"])

    def clear(self) -> None:
        """Remove all checkpoints: the job is done."""
        self._checkpoints.clear()

    def _republish(self, best: dict[str, Any] | None) -> None:
        """Publish the best epoch's weights again, if the artifacts of the run that published them no longer exist."""
        if from_rank(best is not None):
            about = self._take_up(best)
            self._publication.publish(Progress(**about["progress"]))

    def _take_up(self, state: dict[str, Any] | None) -> dict[str, Any]:
        """Restore the state of model, optimizer and metrics; return the progress."""
        run = self._run
        restore_full_state(run.model, run.optimizer, state, sharded=run.sharded)
        about = state["about"] if state is not None else None
        about = from_rank(about) if run.sharded else about
        assert isinstance(about, dict)
        run.rank_run.final_metrics.clear()
        run.rank_run.final_metrics.update(about["metrics"])
        return about


def _checkpoints(run: TorchRun) -> Checkpoints:
    rank_run, world = run.rank_run, run.world
    environment = rank_run.environment
    return Checkpoints(
        environment.paths.checkpoints / environment.resources.current_host,
        world=world,
        training={
            "algorithm": rank_run.algorithm.__name__,
            "schema": digest(run.trainer.schema.to_dict()),
            "hyperparameters": digest(dict(environment.hyperparameters)),
            "hosts": world.hosts,
            "ranks per host": world.ranks_per_host,
        },
        keep=run.options.keep_checkpoints,
        keep_best=run.options.keep == "best",
    )
