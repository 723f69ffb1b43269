"""`TorchRun`: what all parts of a torch training share, created before the first step."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from cleanroom_algo.data.world import World
from cleanroom_algo.errors import SyncBatchNormError
from cleanroom_algo.training.artifacts.optimizer_state import restore_optimizer
from cleanroom_algo.training.artifacts.weights import (
    OPTIMIZER_FILE,
    load_tensors,
    read_base_tensors,
    read_metadata,
    read_safetensors,
)
from cleanroom_algo.training.torch.devices import seed_everything
from cleanroom_algo.training.torch.eager import without_compiler
from cleanroom_algo.training.torch.privacy import check_job, check_layers
from cleanroom_algo.training.torch.sharding import shard

if TYPE_CHECKING:
    from cleanroom_algo.training.options import Options
    from cleanroom_algo.training.rank_run import RankRun
    from cleanroom_algo.training.signals import StopRequest
    from cleanroom_algo.training.trainer import Trainer

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TorchRun:
    """One training of a torch model on this rank.

    Attributes:
        rank_run: the rank's work, of which this is the training.
        trainer: whose hooks are called.
        world: this rank's place.
        device: on which it computes.
        model: the bare model; its parameters are shards where `sharded`.
        optimizer: of its parameters.
    """

    rank_run: RankRun
    trainer: Trainer
    world: World
    device: torch.device
    model: nn.Module
    optimizer: torch.optim.Optimizer

    @property
    def options(self) -> Options:
        """The trainer's options."""
        return self.rank_run.options

    @property
    def stop(self) -> StopRequest:
        """Whether the job was asked to end."""
        return self.rank_run.stop

    @property
    def leads(self) -> bool:
        """Whether this rank writes and logs for all."""
        return self.world.rank == 0

    @property
    def sharded(self) -> bool:
        """Whether the ranks hold shards of the model."""
        return self.options.fsdp and self.world.size > 1

    @classmethod
    def prepare(cls, rank_run: RankRun, trainer: Trainer, world: World, device: torch.device) -> TorchRun:
        """Create model and optimizer, from the base model if there is one.

        Raises:
            SyncBatchNormError: CR-TRN-011. PrivateTrainingError: CR-TRN-016. And what reading a base model raises.
        """
        options = rank_run.options
        if options.private:
            check_job(rank_run)
        trainer.features = trainer.fit_features()
        seed_everything(options.seed)  # the same first weights on all ranks
        sharded = options.fsdp and world.size > 1
        model = trainer.model()
        _check_sync_batch_norm(model, world, device)
        if options.private:
            check_layers(model)
        if not sharded:  # a model that is larger than a device is moved there in shards
            model = model.to(device)
        if trainer.base is not None:
            tensors = trainer.adapt_base(read_base_tensors(trainer.base))
            load_tensors(model, tensors, fresh=options.base_fresh, grow=options.base_grow)
        if sharded:
            shard(model, world.size, device)
        if options.compile:
            model.compile()
        with without_compiler():
            run = cls(rank_run, trainer, world, device, model, trainer.optimizer(model))
            run._restore_base_optimizer()
        return run

    def _restore_base_optimizer(self) -> None:
        base = self.trainer.base
        if base is None or not (base.directory / OPTIMIZER_FILE).is_file():
            return
        path = base.file(OPTIMIZER_FILE)
        fitted = restore_optimizer(
            self.model, self.optimizer, read_safetensors(path), read_metadata(path), sharded=self.sharded
        )
        log.info(
            "optimizer: %s",
            "continuing from the base model's" if fitted else "starting fresh, as the base model's is different",
        )


def _check_sync_batch_norm(model: nn.Module, world: World, device: torch.device) -> None:
    names = [name for name, module in model.named_modules() if isinstance(module, nn.SyncBatchNorm)]
    if names and world.size > 1 and device.type == "cpu":
        raise SyncBatchNormError(
            f"{', '.join(names)}: SyncBatchNorm needs GPUs, and this job trains on CPUs",
            expected="GPUs on each host, or layers that normalize on CPUs",
            fix="use BatchNorm, whose running statistics are averaged over the ranks; or an instance type with GPUs",
        )
