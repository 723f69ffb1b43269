"""The training loop of torch algorithms."""

from __future__ import annotations

import logging
import math
from dataclasses import replace

from cleanroom_algo.contract.channel import Channel
from cleanroom_algo.contract.metrics import EPOCHS_LINE, log_metrics
from cleanroom_algo.training.rank_run import RankRun
from cleanroom_algo.training.signals import Phase
from cleanroom_algo.training.torch.batches import Batches
from cleanroom_algo.training.torch.collectives import any_rank, barrier, process_group
from cleanroom_algo.training.torch.devices import is_plateau, pick_device, seed_everything
from cleanroom_algo.training.torch.eager import without_compiler
from cleanroom_algo.training.torch.loss_errors import refuse_broadcasts
from cleanroom_algo.training.torch.losses import Figures, Losses
from cleanroom_algo.training.torch.poisson import Samples
from cleanroom_algo.training.torch.private_steps import PrivateSteps, Spending
from cleanroom_algo.training.torch.progress import Progress
from cleanroom_algo.training.torch.publication import Publication
from cleanroom_algo.training.torch.resuming import Resuming
from cleanroom_algo.training.torch.run import TorchRun
from cleanroom_algo.training.torch.steps import Steps
from cleanroom_algo.training.torch.validation import validate
from cleanroom_algo.training.trainer import Trainer

log = logging.getLogger(__name__)


def train(rank_run: RankRun, trainer: Trainer) -> None:
    """Train a torch model on this rank, in step with the others, until the end or a stop of the job, and publish.

    Args:
        rank_run: this rank's work.
        trainer: whose hooks are called.
    """
    stop = rank_run.stop
    trainer.world = world = rank_run.world
    trainer.device = device = pick_device(world.local_rank)
    refuse_broadcasts()
    with process_group(world, device):
        if world.rank == 0:
            rank_run.writer.recover()
        loop = TrainingLoop(TorchRun.prepare(rank_run, trainer, world, device))
        stop.enter(Phase.COOPERATING)  # from now on, there is something to save
        loop.run()
        stop.enter(Phase.ENDING)  # whatever happens now, the artifacts are complete
        barrier()


class TrainingLoop:
    """The epochs of one training.

    Args:
        run: the training.
    """

    def __init__(self, run: TorchRun) -> None:
        self._run = run
        inputs, options = run.rank_run.inputs, run.options
        self._train_set = Samples(run) if options.private else self._batches(inputs.train, training=True)
        if isinstance(self._train_set, Batches):
            self._train_set.check_last(run.model)
        self._validation_set = None if inputs.validation is None else self._batches(inputs.validation, training=False)
        if type(run.trainer).scheduler is not Trainer.scheduler:  # counting delays the first batch
            batches = self._train_set.steps
            steps = None if batches is None else math.ceil(batches / options.accumulate)
            run.rank_run.total_steps = None if steps is None else steps * options.epochs
        self._figures: Figures = Losses(run)
        if isinstance(self._train_set, Samples):
            self._steps: Steps | PrivateSteps = PrivateSteps(run, self._train_set)
            self._figures = Spending(run, self._train_set, self._steps.budget)
            run.rank_run.privacy = self._steps.budget.record
        else:
            self._steps = Steps(run)
        self._publication = Publication(run)
        self._resuming = Resuming(run, self._steps, self._publication)
        seed_everything(options.seed + run.world.rank)  # from now on, the random numbers of the ranks differ
        # A private training that repeats steps would spend more than its accountant knows, so it starts again.
        self._progress = Progress() if options.private else self._resuming.load()

    def run(self) -> None:
        """Train the remaining epochs, and publish."""
        if self._run.leads:
            log.info(EPOCHS_LINE, self._run.options.epochs)
            self._run.rank_run.tell_unread()
        while self._progress.epoch < self._run.options.epochs:
            if self._train_epoch() or self._end_epoch():
                self._run.stop.request()  # also if another host got the signal
                self._end_stopped()
                return
            if self._ends_early():
                log.info("the loss has not improved for %d epochs: training ends", self._progress.epochs_without_gain)
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
        self._figures.begin()
        with without_compiler():
            self._run.optimizer.zero_grad(set_to_none=True)
        for number, (batch, last) in enumerate(self._train_set.epoch(progress.epoch), 1):
            full = last or number % options.accumulate == 0
            mean, stopped = self._steps.take(batch, full=full)
            self._figures.add(mean, batch.rows)
            self._progress = progress = replace(progress, step=progress.step + full)
            if not full:
                continue
            if progress.step % options.log_steps == 0:
                self._log_step()
            if stopped:
                return True
            if progress.step == 1 and not last and self._run.leads:
                self._publication.check_fits()
        # A stop may have come while the ranks waited for rows, and may have ended the epoch.
        return any_rank(bool(self._run.stop), self._run.device)

    def _end_epoch(self) -> bool:
        """Validate, log, publish and write a checkpoint; return whether the job is to stop."""
        self._steps.buffers.merge_counters()
        rows, metrics = self._figures.epoch(self._progress.step)
        epoch = self._progress.epoch
        if self._validation_set is not None:
            means = validate(self._run, self._validation_set, epoch, self._steps.stand_in)
            if means is None:
                return True
            metrics |= means
        if self._run.leads:
            log_metrics({"epoch": epoch + 1, "step": self._progress.step, **metrics})
        self._run.rank_run.final_metrics.update(metrics)
        loss = metrics.get("validation_loss", metrics.get("epoch_train_loss", math.inf))  # a private one is not known
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
            if not self._run.options.private:
                self._resuming.save(self._progress, better=better)
        elif better:
            self._publication.note_better()
        return False

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
        values = self._figures.line(self._progress.step)
        if self._run.leads:
            log_metrics({"step": self._progress.step, "epoch": self._progress.epoch + 1, **values})
        self._publication.publish_early(self._progress)
