"""The training loop of torch algorithms."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from cleanroom_algo.data.batch import Batch
from cleanroom_algo.errors import DataStateError, LossError, NoDataError
from cleanroom_algo.training.batches import Batches
from cleanroom_algo.training.checkpoints import Checkpoints, fingerprint, random_states, restore_random_states
from cleanroom_algo.training.devices import autocast, is_plateau, pick_device, seed_everything
from cleanroom_algo.training.metrics import log_metrics
from cleanroom_algo.training.model_state import full_model_state, full_optimizer_state, restore_full_state
from cleanroom_algo.training.optimizer_state import restore_optimizer
from cleanroom_algo.training.parallel import (
    Step,
    any_rank,
    barrier,
    from_first_rank,
    process_group,
    reduce_sums,
    shard,
)
from cleanroom_algo.training.progress import Progress, Sums
from cleanroom_algo.training.publication import Publication
from cleanroom_algo.training.weights import (
    OPTIMIZER_FILE,
    load_tensors,
    read_base_tensors,
    read_metadata,
    read_safetensors,
)

if TYPE_CHECKING:
    from cleanroom_algo.contract.channel import Channel
    from cleanroom_algo.training.context import Context
    from cleanroom_algo.training.trainer import Trainer

_VOTE_BATCHES = 32  # a vote costs a collective; once in so many batches it cannot be measured

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
        self._progress = Progress()
        self._late_tally: tuple[Tensor, Any] | None = None

    def run(self) -> None:
        """Train to the end, or until the job is stopped, and publish."""
        world = self._context.inputs.world(self._context.local_rank, self._context.ranks)
        self._trainer.world = world
        self._trainer.device = self._device = pick_device(self._context.local_rank)
        self._leads = world.rank == 0
        with process_group(world.size, self._device):
            self._prepare()
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
        model = trainer.model().to(self._device)
        if trainer.base is not None:
            tensors = trainer.adapt_base(read_base_tensors(trainer.base))
            load_tensors(model, tensors, fresh=options.base_fresh, grow=options.base_grow)
        if options.fsdp and world.size > 1:
            shard(model, world.size, self._device)
        if options.compile:
            model.compile()
        self._sharded = options.fsdp and world.size > 1
        self._model = model
        self._optimizer = trainer.optimizer(model)
        self._restore_base_optimizer()
        self._train_set = self._batches(context.inputs.train, training=True)
        validation = context.inputs.validation
        self._validation_set = None if validation is None else self._batches(validation, training=False)
        steps = self._train_set.steps
        context.total_steps = None if steps is None else math.ceil(steps / options.accumulate) * options.epochs
        self._scheduler = trainer.scheduler(self._optimizer)
        half = options.precision == "float16"
        self._scaler = torch.amp.GradScaler(self._device.type, enabled=half)
        self._step_module = Step(model, trainer.loss, self._device)
        self._ddp = self._wrap(world.size)
        self._weighted = world.size > 1 or options.accumulate > 1
        self._autocast = autocast(self._device, options.precision)
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._publication = Publication(trainer, context, model, self._optimizer, sharded=self._sharded)
        self._checkpoints = self._open_checkpoints()
        seed_everything(options.seed + world.rank)  # from here on ranks draw differently
        self._resume()

    def _batches(self, channel: Channel, *, training: bool) -> Batches:
        inputs = self._context.inputs
        dataset = inputs.dataset(self._trainer, channel, self._options, training=training)
        return Batches(dataset, self._device, inputs.epochs_read(channel))

    def _wrap(self, size: int) -> nn.Module:
        if size == 1 or self._sharded:
            return self._step_module
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(
            self._step_module,
            gradient_as_bucket_view=True,
            find_unused_parameters=self._options.unused_parameters,
        )

    def _restore_base_optimizer(self) -> None:
        base = self._trainer.base
        if base is None or not (base.directory / OPTIMIZER_FILE).is_file() or self._options.fsdp:
            return
        path = base.file(OPTIMIZER_FILE)
        fitted = restore_optimizer(self._model, self._optimizer, read_safetensors(path), read_metadata(path))
        log.info(
            "the optimizer %s", "goes on as the base model's" if fitted else "starts fresh: the base model's differs"
        )

    def _open_checkpoints(self) -> Checkpoints:
        world, job = self._trainer.world, self._context.job
        assert world is not None
        return Checkpoints(
            job.environment.paths.checkpoints / job.environment.resources.current_host,
            rank=world.rank,
            leads=self._context.local_rank == 0,
            layout=[job.environment.resources.host_count, self._context.ranks],
            fingerprint=fingerprint(
                job.trainer.__name__, job.trainer.schema.to_dict(), dict(job.environment.hyperparameters)
            ),
            keep=self._options.keep_checkpoints,
        )

    def _resume(self) -> None:
        found = self._checkpoints.load()
        if found is None:
            return
        shared, own = found
        restore_full_state(self._model, self._optimizer, shared, sharded=self._sharded)
        about = shared["about"] if shared else None
        about = from_first_rank(about) if self._sharded else about
        assert about is not None
        self._progress = Progress(**about["progress"])
        if self._scheduler is not None:
            self._scheduler.load_state_dict(about["scheduler"])
        self._scaler.load_state_dict(about["scaler"]) if about["scaler"] else None
        self._trainer._final_metrics.update(about["metrics"])
        if self._progress.batches:
            self._progress = replace(self._progress, batches=self._taken(about["data"]))
        if own is not None:  # else the ranks are laid out otherwise, and draw anew
            restore_random_states(own)

    def _taken(self, position: dict[str, Any]) -> int:
        """Take up a position in the data; return the batches that this layout has taken of its epoch."""
        try:
            return self._train_set.resume(position)
        except DataStateError as error:
            log.warning("%s: the epoch of the checkpoint begins anew", error.what)
            return 0

    # --- the loop ---------------------------------------------------------------------------------------------------

    def _fit(self) -> None:
        while self._progress.epoch < self._options.epochs:
            stopped = self._train_epoch()
            if stopped:
                self._stop.request()  # also where another host got the signal
                self._publication.publish_stopped(self._progress)
                return
            if self._end_epoch():
                break
        self._publication.publish_final(self._progress)
        if self._leads:
            log_metrics({f"final_{name}": value for name, value in self._publication.metrics.items()})
        self._checkpoints.clear()

    def _train_epoch(self) -> bool:
        """Train one epoch; return whether the job is to stop."""
        progress, options = self._progress, self._options
        self._sums = Sums(self._device)
        self._epoch_sums = Sums(self._device)
        self._model.train()
        self._last_line = time.monotonic()
        self._optimizer.zero_grad(set_to_none=True)
        checkpoint = options.checkpoint_steps
        micro = 0
        for batch, last in self._train_set.epoch(progress.epoch):
            micro += 1
            full = last or micro % options.accumulate == 0
            stopped = self._train_batch(batch, full=full)
            self._progress = progress = replace(progress, batches=progress.batches + 1, step=progress.step + full)
            if not full:
                continue
            if progress.step % options.log_steps == 0:
                self._log_step()
            if stopped:
                return True
            if checkpoint and progress.step % checkpoint == 0 and not last:
                self._checkpoint()
        return False

    def _train_batch(self, batch: Batch, *, full: bool) -> bool:
        """Go one batch on; at the end of an optimizer step, return whether to stop."""
        if self._weighted:
            mean = self._weighted_backward(batch, full=full)
        else:
            with self._autocast():
                mean = self._trainer.loss(self._model, batch)
            self._check_form(mean)
            self._scaler.scale(mean).backward()  # type: ignore[no-untyped-call]
        self._sums.add(mean, batch.rows)
        if not full:
            return False
        stopped = self._weigh() if self._weighted else bool(self._stop)
        self._update()
        return stopped

    def _weighted_backward(self, batch: Batch, *, full: bool) -> Tensor:
        signal = torch.tensor([batch.rows / self._options.batch_size, float(bool(self._stop))])
        if self._device.type == "cuda":
            signal = signal.pin_memory().to(self._device, non_blocking=True)
        with self._accumulating(full=full):
            with self._autocast():
                loss, mean = self._ddp(self._train_set.padded(batch), signal)
            self._scaler.scale(loss).backward()
        return cast("Tensor", mean)

    def _accumulating(self, *, full: bool) -> contextlib.AbstractContextManager[Any]:
        if self._ddp is self._step_module:
            if self._sharded:
                self._model.set_requires_gradient_sync(full)  # type: ignore[operator]
            return contextlib.nullcontext()
        return contextlib.nullcontext() if full else self._ddp.no_sync()  # type: ignore[operator]

    def _weigh(self) -> bool:
        """Turn the summed gradients into that of the mean over all rows, and return whether a rank wants to stop."""
        gradient = self._step_module.tally.grad
        assert gradient is not None
        if self._sharded:
            gradient = reduce_sums(gradient.clone()) / self._trainer.world.size  # type: ignore[union-attr]
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        scale = self._scaler.get_scale()
        if self._device.type == "cpu":
            weight, stop = (gradient / scale).tolist()
            if weight not in (0.0, 1.0):  # ranks with full batches: nothing to do, and nothing to round
                torch._foreach_div_(gradients, weight)
            stopped = bool(stop > 0)
        else:
            torch._foreach_div_(gradients, (gradient[0] / scale).clamp_min(1e-12))
            stopped = self._stop_seen_late(gradient)
        self._step_module.tally.grad = None
        return stopped

    def _stop_seen_late(self, gradient: Tensor) -> bool:
        """Look at the step before, so that the GPU is never waited for."""
        earlier = self._late_tally
        copy = gradient[1:].to("cpu", non_blocking=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
        self._late_tally = (copy, event)
        if earlier is None:
            return False
        earlier[1].synchronize()
        return bool(earlier[0].item() > 0)

    def _update(self) -> None:
        if self._options.clip_norm is not None:
            self._scaler.unscale_(self._optimizer)
            nn.utils.clip_grad_norm_(self._parameters, self._options.clip_norm)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.zero_grad(set_to_none=True)
        if self._scheduler is not None and not is_plateau(self._scheduler):
            self._scheduler.step()

    def _end_epoch(self) -> bool:
        """Log, validate, publish and checkpoint; return whether training ends early."""
        self._epoch_sums.take(self._sums)
        total, rows = self._epoch_sums.reduced()
        if not rows:
            raise NoDataError(
                f"channel {self._context.inputs.train.name!r} has no row on any host",
                expected="rows to train on",
                fix="look at the query of the ML input channel: GetMLInputChannel tells numberOfRecords",
            )
        metrics = {"epoch_train_loss": self._finite(total / rows, "training")} | self._validate()
        epoch = self._progress.epoch
        if self._leads:
            log_metrics({"epoch": epoch + 1, "step": self._progress.step, **metrics})
        self._trainer._final_metrics.update(metrics)
        loss = metrics.get("validation_loss", metrics["epoch_train_loss"])
        if self._scheduler is not None and is_plateau(self._scheduler):
            self._scheduler.step(loss)  # type: ignore[arg-type]
        better = loss < self._progress.best
        self._progress = replace(
            self._progress,
            epoch=epoch + 1,
            batches=0,
            rows=self._progress.rows + int(rows),
            best=min(loss, self._progress.best),
            waited=0 if better else self._progress.waited + 1,
        )
        ends = self._options.patience is not None and self._progress.waited >= self._options.patience
        if not ends and self._progress.epoch < self._options.epochs:
            self._publication.publish_epoch(self._progress, better=better)
            self._checkpoint()
        elif better:
            self._publication.note_better()
        if ends:
            log.info("no better loss for %d epochs: training ends", self._progress.waited)
        return ends

    def _validate(self) -> dict[str, float]:
        if self._validation_set is None:
            return {}
        self._model.eval()
        names: list[str] = []
        sums = torch.zeros(1, dtype=torch.float64, device=self._device)
        rows = 0
        with torch.no_grad(), self._autocast():
            for number, (batch, _) in enumerate(self._validation_set.epoch(self._progress.epoch)):
                padded = self._validation_set.padded(batch)
                values = {"loss": self._trainer.loss(self._model, padded), **self._trainer.metrics(self._model, padded)}
                if not names:
                    names = list(values)
                    sums = torch.zeros(len(names), dtype=torch.float64, device=self._device)
                if batch.rows:
                    sums += torch.stack([values[name].detach().double() for name in names]) * batch.rows
                rows += batch.rows
                if number % _VOTE_BATCHES == _VOTE_BATCHES - 1 and self._stops_now():
                    break
        reduced = reduce_sums(
            torch.cat([sums, torch.tensor([rows], dtype=torch.float64, device=self._device)])
        ).tolist()
        if not reduced[-1]:
            log.warning("the validation channel has no row")
            return {}
        return {f"validation_{name}": value / reduced[-1] for name, value in zip(names, reduced[:-1], strict=True)}

    def _stops_now(self) -> bool:
        return any_rank(bool(self._stop), self._device)

    # --- what is told and kept --------------------------------------------------------------------------------------

    def _log_step(self) -> None:
        total, rows = self._sums.reduced()
        now = time.monotonic()
        loss = self._finite(total / rows, "training") if rows else math.nan
        if self._leads:
            values = {"step": self._progress.step, "epoch": self._progress.epoch + 1, "train_loss": loss}
            values["learning_rate"] = self._optimizer.param_groups[0]["lr"]
            values["rows_per_second"] = rows / max(now - self._last_line, 1e-9)
            log_metrics(values)
        self._last_line = now
        self._epoch_sums.take(self._sums)

    def _finite(self, loss: float, which: str) -> float:
        if not math.isfinite(loss):
            raise LossError(
                f"the {which} loss is no finite number after step {self._progress.step}",
                expected="a finite loss",
                fix="lower the learning rate, set clip_norm, or check that features and target are in range",
            )
        return loss

    def _check_form(self, loss: Tensor) -> None:
        if loss.dim() or not loss.requires_grad:
            raise LossError(
                f"`loss` returned a tensor of shape {list(loss.shape)}"
                + ("" if loss.requires_grad else " that does not depend on the model"),
                expected="a scalar: the mean over the batch's rows",
                fix="return .mean() of the rows' losses, computed from the model's output",
            )

    def _checkpoint(self) -> None:
        shared = {
            "model": full_model_state(self._model, sharded=self._sharded),
            "optimizer": full_optimizer_state(self._model, self._optimizer, sharded=self._sharded),
            "about": {
                "progress": asdict(self._progress),
                "data": self._train_set.position(self._progress.batches),
                "scheduler": self._scheduler.state_dict() if self._scheduler is not None else None,
                "scaler": self._scaler.state_dict(),
                "metrics": dict(self._trainer._final_metrics),
            },
        }
        holds = self._leads if self._sharded else self._context.local_rank == 0
        self._checkpoints.save(self._progress.step, shared if holds else None, random_states())
