"""The training loop of torch algorithms."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import replace

from cleanroom_algo.contract.channel import Channel
from cleanroom_algo.contract.metrics import EPOCHS_LINE, log_metrics
from cleanroom_algo.errors import LossError, NoDataError
from cleanroom_algo.training.rank_run import RankRun
from cleanroom_algo.training.signals import Phase
from cleanroom_algo.training.torch.batches import Batches
from cleanroom_algo.training.torch.collectives import any_rank, barrier, process_group
from cleanroom_algo.training.torch.devices import is_plateau, pick_device, seed_everything
from cleanroom_algo.training.torch.eager import without_compiler
from cleanroom_algo.training.torch.progress import Sums
from cleanroom_algo.training.torch.publication import Publication
from cleanroom_algo.training.torch.resuming import Resuming
from cleanroom_algo.training.torch.run import TorchRun
from cleanroom_algo.training.torch.steps import Steps
from cleanroom_algo.training.torch.validation import validate
from cleanroom_algo.training.trainer import Trainer

log = logging.getLogger(__name__)


def train(rank_run: RankRun, trainer: Trainer) -> None:
    """Train a torch model on this rank, in step with the others, to the end or until the job is stopped, and publish.

    Args:
        rank_run: this rank's work.
        trainer: whose hooks are called.
    """
    stop = rank_run.stop
    trainer.world = world = rank_run.world
    trainer.device = device = pick_device(world.local_rank)
    with process_group(world.size, device):
        if world.rank == 0:
            rank_run.writer.recover()
        loop = TrainingLoop(TorchRun.prepare(rank_run, trainer, world, device))
        stop.enter(Phase.COOPERATING)  # from here on there is something to save
        loop.run()
        stop.enter(Phase.ENDING)  # whatever comes now, the artifacts are whole
        barrier()


class TrainingLoop:
    """The epochs of one training.

    Args:
        run: the training.
    """

    def __init__(self, run: TorchRun) -> None:
        self._run = run
        inputs, options = run.rank_run.inputs, run.options
        self._train_set = self._batches(inputs.train, training=True)
        self._train_set.check_last(run.model)
        self._validation_set = None if inputs.validation is None else self._batches(inputs.validation, training=False)
        if type(run.trainer).scheduler is not Trainer.scheduler:  # counting would delay the first batch of all others
            batches = self._train_set.steps
            steps = None if batches is None else math.ceil(batches / options.accumulate)
            run.rank_run.total_steps = None if steps is None else steps * options.epochs
        self._steps = Steps(run)
        self._publication = Publication(run)
        self._resuming = Resuming(run, self._steps, self._publication)
        seed_everything(options.seed + run.world.rank)  # from here on ranks draw differently
        self._line_sums = Sums(run.device)  # since the last metric line
        self._epoch_sums = Sums(run.device)
        self._progress = self._resuming.load()

    def run(self) -> None:
        """Train what epochs are left, and publish."""
        if self._run.leads:
            log.info(EPOCHS_LINE, self._run.options.epochs)
        while self._progress.epoch < self._run.options.epochs:
            if self._train_epoch() or self._end_epoch():
                self._run.stop.request()  # also where another host got the signal
                self._end_stopped()
                return
            if self._ends_early():
                log.info("no better loss for %d epochs: training ends", self._progress.epochs_without_gain)
                break
        self._publication.publish_final(self._progress)
        if self._run.leads:
            log_metrics({f"final_{name}": value for name, value in self._publication.metrics.items()})
        self._resuming.clear()

    def _batches(self, channel: Channel, *, training: bool) -> Batches:
        run = self._run
        dataset = run.rank_run.inputs.dataset(run.trainer, channel, run.options, run.stop, training=training)
        return Batches(dataset, run.device)

    # --- one epoch --------------------------------------------------------------------------------------------------

    def _train_epoch(self) -> bool:
        """Train one epoch; return whether the job is to stop."""
        progress, options = self._progress, self._run.options
        self._run.model.train()
        self._last_line = time.monotonic()
        with without_compiler():
            self._run.optimizer.zero_grad(set_to_none=True)
        for number, (batch, last) in enumerate(self._train_set.epoch(progress.epoch), 1):
            full = last or number % options.accumulate == 0
            mean, stopped = self._steps.take(batch, full=full)
            self._line_sums.add(mean, batch.rows)
            self._progress = progress = replace(progress, step=progress.step + full)
            if not full:
                continue
            if progress.step % options.log_steps == 0:
                self._log_step()
            if stopped:
                return True
            if progress.step == 1 and not last and self._run.leads:
                self._publication.check_fits()
        # A stop may have come while the ranks waited for rows, and have ended the epoch.
        return any_rank(bool(self._run.stop), self._run.device)

    def _end_epoch(self) -> bool:
        """Validate, log, publish and write a checkpoint; return whether the job is to stop."""
        self._steps.buffers.merge_counters()
        rows, metrics = self._epoch_loss()
        epoch = self._progress.epoch
        if self._validation_set is not None:
            means = validate(self._run, self._validation_set, epoch, self._steps.stand_in)
            if means is None:
                return True
            metrics |= means
        if self._run.leads:
            log_metrics({"epoch": epoch + 1, "step": self._progress.step, **metrics})
        self._run.rank_run.final_metrics.update(metrics)
        loss = metrics.get("validation_loss", metrics["epoch_train_loss"])
        if is_plateau(self._steps.scheduler):
            self._steps.scheduler.step(loss)  # type: ignore[union-attr,arg-type]
        better = loss < self._progress.best
        self._progress = replace(
            self._progress,
            epoch=epoch + 1,
            rows=self._progress.rows + rows,
            best=min(loss, self._progress.best),
            epochs_without_gain=0 if better else self._progress.epochs_without_gain + 1,
        )
        if not self._ends_early() and self._progress.epoch < self._run.options.epochs:
            self._publication.publish_epoch(self._progress, better=better)
            self._resuming.save(self._progress, better=better)
        elif better:
            self._publication.note_better()
        return False

    def _epoch_loss(self) -> tuple[int, dict[str, float]]:
        """Return the rows of the epoch and its mean loss, over all ranks, and begin to sum anew."""
        self._epoch_sums.absorb(self._line_sums)
        total, rows = self._epoch_sums.reduced()
        self._epoch_sums = Sums(self._run.device)
        if not rows:
            raise NoDataError(
                f"channel {self._run.rank_run.inputs.train.name!r} has no row on any host"
                + (", or no whole batch" if self._run.options.drop_last else ""),
                expected="rows to train on",
                fix="look at the query of the ML input channel (GetMLInputChannel tells numberOfRecords), "
                "or at the folder that the channel is bound to",
            )
        return int(rows), {"epoch_train_loss": self._finite(total / rows)}

    def _ends_early(self) -> bool:
        patience = self._run.options.patience
        return patience is not None and self._progress.epochs_without_gain >= patience

    # --- what is logged and kept ------------------------------------------------------------------------------------

    def _end_stopped(self) -> None:
        if self._progress.step:
            self._steps.buffers.merge_counters()
            self._publication.publish_stopped(self._progress)
        else:
            log.warning("the job was stopped before its first step: there is nothing to publish")

    def _log_step(self) -> None:
        total, rows = self._line_sums.reduced()
        now = time.monotonic()
        loss = self._finite(total / rows) if rows else math.nan
        if self._run.leads:
            values = {"step": self._progress.step, "epoch": self._progress.epoch + 1, "train_loss": loss}
            values["learning_rate"] = self._run.optimizer.param_groups[0]["lr"]
            values["rows_per_second"] = rows / max(now - self._last_line, 1e-9)
            log_metrics(values)
        self._last_line = now
        self._epoch_sums.absorb(self._line_sums)
        self._publication.publish_early(self._progress)

    def _finite(self, loss: float) -> float:
        if not math.isfinite(loss):
            raise LossError(
                f"the training loss is not a finite number after step {self._progress.step}",
                expected="a finite loss",
                fix="lower the learning rate, set clip_norm, or check that features and target are in range",
            )
        return loss
