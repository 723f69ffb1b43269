"""The training loop of torch algorithms."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import nn

from cleanroom_algo.errors import LossError, NoDataError
from cleanroom_algo.training.artifacts.optimizer_state import restore_optimizer
from cleanroom_algo.training.artifacts.publication import Publication
from cleanroom_algo.training.artifacts.weights import (
    OPTIMIZER_FILE,
    load_tensors,
    read_base_tensors,
    read_metadata,
    read_safetensors,
)
from cleanroom_algo.training.metrics import log_metrics
from cleanroom_algo.training.torch.batches import Batches
from cleanroom_algo.training.torch.devices import is_plateau, pick_device, seed_everything
from cleanroom_algo.training.torch.parallel import any_rank, barrier, process_group, shard
from cleanroom_algo.training.torch.progress import Sums
from cleanroom_algo.training.torch.resuming import Resuming
from cleanroom_algo.training.torch.steps import Steps
from cleanroom_algo.training.torch.validation import validate
from cleanroom_algo.training.trainer import Trainer

if TYPE_CHECKING:
    from cleanroom_algo.contract.channel import Channel
    from cleanroom_algo.training.process.rank_run import Context

log = logging.getLogger(__name__)


class TrainingLoop:
    """Trains a torch model on this rank, in step with the others.

    Args:
        trainer: whose hooks are called.
        context: this rank's place and tools.
    """

    def __init__(self, trainer: Trainer, context: Context) -> None:
        self._trainer = trainer
        self._context = context
        self._options = context.options
        self._stop = context.stop

    def run(self) -> None:
        """Train to the end, or until the job is stopped, and publish."""
        world = self._context.inputs.world(self._context.local_rank, self._context.ranks)
        self._trainer.world = world
        self._trainer.device = self._device = pick_device(self._context.local_rank)
        self._leads = world.rank == 0
        self._sharded = self._options.fsdp and world.size > 1
        with process_group(world.size, self._device):
            self._prepare()
            self._stop.expendable = False
            self._stop.interrupt_code(interrupt=False)  # from here on there is something to save
            self._fit()
            self._stop.finish()  # whatever comes now, the artifacts are whole
            barrier()

    # --- before the first step --------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        trainer, options, context = self._trainer, self._options, self._context
        world = trainer.world
        assert world is not None
        if self._leads:
            context.writer.recover()
        trainer.features = trainer.fit_features()
        seed_everything(options.seed)  # the same first weights on all ranks
        self._model = self._new_model(world.size)
        self._optimizer = trainer.optimizer(self._model)
        self._restore_base_optimizer()
        self._train_set = self._batches(context.inputs.train, training=True)
        validation = context.inputs.validation
        self._validation_set = None if validation is None else self._batches(validation, training=False)
        if type(trainer).scheduler is not Trainer.scheduler:  # counting would delay the first batch of all others
            batches = self._train_set.steps
            context.total_steps = None if batches is None else math.ceil(batches / options.accumulate) * options.epochs
        model, optimizer, sharded = self._model, self._optimizer, self._sharded
        self._steps = Steps(trainer, context, model, optimizer, self._train_set, sharded=sharded)
        self._publication = Publication(trainer, context, model, optimizer, sharded=sharded)
        self._resuming = Resuming(
            trainer,
            context,
            model,
            optimizer,
            steps=self._steps,
            batches=self._train_set,
            publication=self._publication,
            sharded=sharded,
        )
        seed_everything(options.seed + world.rank)  # from here on ranks draw differently
        self._sums = Sums(self._device)
        self._epoch_sums = Sums(self._device)
        self._progress = self._resuming.load(self._sums, self._epoch_sums)

    def _new_model(self, size: int) -> nn.Module:
        """Return the model with its initial weights, or the base model's, on the device and in shards where asked."""
        trainer, options = self._trainer, self._options
        model = trainer.model()
        if not self._sharded:  # a model larger than a device gets there in shards
            model = model.to(self._device)
        if trainer.base is not None:
            tensors = trainer.adapt_base(read_base_tensors(trainer.base))
            load_tensors(model, tensors, fresh=options.base_fresh, grow=options.base_grow)
        if self._sharded:
            shard(model, size, self._device)
        if options.compile:
            model.compile()
        return model

    def _batches(self, channel: Channel, *, training: bool) -> Batches:
        inputs = self._context.inputs
        dataset = inputs.dataset(self._trainer, channel, self._options, self._stop, training=training)
        return Batches(dataset, self._device)

    def _restore_base_optimizer(self) -> None:
        base = self._trainer.base
        if base is None or not (base.directory / OPTIMIZER_FILE).is_file():
            return
        path = base.file(OPTIMIZER_FILE)
        fitted = restore_optimizer(
            self._model, self._optimizer, read_safetensors(path), read_metadata(path), sharded=self._sharded
        )
        log.info(
            "the optimizer %s", "goes on as the base model's" if fitted else "starts fresh: the base model's differs"
        )

    # --- the loop ---------------------------------------------------------------------------------------------------

    def _fit(self) -> None:
        while self._progress.epoch < self._options.epochs:
            if self._train_epoch() or self._end_epoch():
                self._stop.request()  # also where another host got the signal
                self._end_stopped()
                return
            if self._ends_early():
                log.info("no better loss for %d epochs: training ends", self._progress.waited)
                break
        self._publication.publish_final(self._progress)
        if self._leads:
            log_metrics({f"final_{name}": value for name, value in self._publication.metrics.items()})
        self._resuming.clear()

    def _end_stopped(self) -> None:
        if self._progress.step:
            self._publication.publish_stopped(self._progress)
        else:
            log.warning("the job was stopped before its first step: there is nothing to publish")

    def _train_epoch(self) -> bool:
        """Train one epoch; return whether the job is to stop."""
        progress, options = self._progress, self._options
        self._model.train()
        self._last_line = time.monotonic()
        self._optimizer.zero_grad(set_to_none=True)
        fits = progress.step > 0
        micro = 0
        for batch, last in self._train_set.epoch(progress.epoch):
            micro += 1
            full = last or micro % options.accumulate == 0
            mean, stopped = self._steps.take(batch, full=full)
            self._sums.add(mean, batch.rows)
            self._progress = progress = replace(progress, batches=progress.batches + 1, step=progress.step + full)
            if not full:
                continue
            if progress.step % options.log_steps == 0:
                self._log_step()
            if stopped:
                return True
            if not (fits or last):
                fits = self._check_fits()
            if options.checkpoint_steps and progress.step % options.checkpoint_steps == 0 and not last:
                self._checkpoint()
        # A stop may have come while the ranks waited for rows, and have ended the epoch.
        return any_rank(bool(self._stop), self._device)

    def _check_fits(self) -> bool:
        if self._leads:
            self._publication.check_fits()
        return True

    def _end_epoch(self) -> bool:
        """Validate, log, publish and checkpoint; return whether the job is to stop."""
        self._epoch_sums.take(self._sums)
        total, rows = self._epoch_sums.reduced()
        if not rows:
            raise NoDataError(
                f"channel {self._context.inputs.train.name!r} has no row on any host",
                expected="rows to train on",
                fix="look at the query of the ML input channel (GetMLInputChannel tells numberOfRecords), "
                "or at the folder that the channel is bound to",
            )
        metrics = {"epoch_train_loss": self._finite(total / rows)}
        epoch = self._progress.epoch
        if self._validation_set is not None:
            means = validate(self._trainer, self._context, self._model, self._validation_set, epoch)
            if means is None:
                return True
            metrics |= means
        if self._leads:
            log_metrics({"epoch": epoch + 1, "step": self._progress.step, **metrics})
        self._trainer._final_metrics.update(metrics)
        loss = metrics.get("validation_loss", metrics["epoch_train_loss"])
        if is_plateau(self._steps.scheduler):
            self._steps.scheduler.step(loss)  # type: ignore[union-attr,arg-type]
        better = loss < self._progress.best
        self._progress = replace(
            self._progress,
            epoch=epoch + 1,
            batches=0,
            rows=self._progress.rows + int(rows),
            best=min(loss, self._progress.best),
            waited=0 if better else self._progress.waited + 1,
        )
        self._sums = Sums(self._device)
        self._epoch_sums = Sums(self._device)
        if not self._ends_early() and self._progress.epoch < self._options.epochs:
            self._publication.publish_epoch(self._progress, better=better)
            self._checkpoint()
        elif better:
            self._publication.note_better()
        return False

    def _ends_early(self) -> bool:
        return self._options.patience is not None and self._progress.waited >= self._options.patience

    # --- what is told and kept --------------------------------------------------------------------------------------

    def _log_step(self) -> None:
        total, rows = self._sums.reduced()
        now = time.monotonic()
        loss = self._finite(total / rows) if rows else math.nan
        if self._leads:
            values = {"step": self._progress.step, "epoch": self._progress.epoch + 1, "train_loss": loss}
            values["learning_rate"] = self._optimizer.param_groups[0]["lr"]
            values["rows_per_second"] = rows / max(now - self._last_line, 1e-9)
            log_metrics(values)
        self._last_line = now
        self._epoch_sums.take(self._sums)
        self._publication.publish_early(self._progress)

    def _finite(self, loss: float) -> float:
        if not math.isfinite(loss):
            raise LossError(
                f"the training loss is no finite number after step {self._progress.step}",
                expected="a finite loss",
                fix="lower the learning rate, set clip_norm, or check that features and target are in range",
            )
        return loss

    def _checkpoint(self) -> None:
        self._resuming.save(self._progress, self._sums, self._epoch_sums)
