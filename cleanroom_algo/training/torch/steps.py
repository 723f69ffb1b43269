"""One optimizer step, the same on every rank: the gradient of all rows of all ranks, and whether to stop."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from cleanroom_algo.data.batch import Batch
from cleanroom_algo.errors import LossError
from cleanroom_algo.training.torch.buffers import RunningBuffers
from cleanroom_algo.training.torch.collectives import reduce_sums
from cleanroom_algo.training.torch.devices import autocast, is_plateau
from cleanroom_algo.training.torch.eager import without_compiler
from cleanroom_algo.training.torch.loss_errors import loss_errors
from cleanroom_algo.training.torch.parallel import Step, check_form, has_collectives, stand_in, without_gradients
from cleanroom_algo.training.torch.run import TorchRun


class _Told(NamedTuple):
    """What the ranks told each other in a step: the sums over them, in the order of `parallel.TALLY`."""

    weight: float
    stop: float
    news: float


class Steps:
    """Takes optimizer steps.

    Args:
        run: the training.

    Attributes:
        scheduler: the trainer's, or None.
        scaler: of the loss; it does nothing unless the precision is float16.
        buffers: of the model.
        stand_in: rows for a rank without rows if the forward pass has collectives; None before the first step.
    """

    def __init__(self, run: TorchRun) -> None:
        self._run = run
        self._weighted = run.world.size > 1 or run.options.accumulate > 1
        self._autocast = autocast(run.device, run.options.precision)
        self._named = {name: value for name, value in run.model.named_parameters() if value.requires_grad}
        self._rows = 0.0  # of this rank since the last optimizer step
        self._late: tuple[Tensor, Any] | None = None
        self._joins = has_collectives(run)
        self.stand_in: Batch | None = None
        self.buffers = RunningBuffers(run.model, run.world)
        self.scheduler = run.trainer.scheduler(run.optimizer)
        self.scaler = torch.amp.GradScaler(run.device.type, enabled=run.options.precision == "float16")
        self._step_module = Step(run, self.scaler, self.buffers)
        self._ddp = self._wrapped()
        self._used: set[str] = set()  # parameters of which the last batch computed a gradient
        self._needs_all = self._ddp is not self._step_module and not run.options.unused_parameters
        if self._needs_all:
            for name, value in self._named.items():
                value.register_post_accumulate_grad_hook(partial(self._note_used, name))  # type: ignore[no-untyped-call]

    def take(self, batch: Batch, *, full: bool) -> tuple[Tensor, bool]:
        """Process one batch.

        Args:
            batch: of this rank; it may have no rows.
            full: whether it is the last batch of an optimizer step.

        Returns:
            The mean loss of the batch, and whether a rank was asked to stop, which is checked only in full steps.
        """
        with loss_errors(batch, self._run.trainer.schema):
            mean = self._weighted_backward(batch, full=full) if self._weighted else self._backward(batch)
        if not full:
            return mean, False
        stopped = self._agree() if self._weighted else bool(self._run.stop)
        self._update()
        return mean, stopped

    @without_compiler()
    def _wrapped(self) -> nn.Module:
        run = self._run
        if run.world.size == 1 or run.sharded:
            return self._step_module
        from torch.nn.parallel import DistributedDataParallel

        ddp = DistributedDataParallel(
            self._step_module,
            gradient_as_bucket_view=True,
            find_unused_parameters=run.options.unused_parameters,
        )
        # It would send the buffers of the first rank, which may have had no rows. The argument has different names in
        # the releases of torch.
        ddp.broadcast_buffers = False
        # DDP sends the gradients of its first backward pass in another order than later ones. If three or more ranks
        # add them, the order changes the last bit, but a run that was killed must end with the same bits.
        loss, _ = ddp(None, 0.0, 0.0)
        loss.backward()
        self._step_module.zero_grad(set_to_none=True)
        return ddp

    def _backward(self, batch: Batch) -> Tensor:
        with self._autocast():
            mean = self._run.trainer.loss(self._run.model, batch)
        check_form(mean)
        self.scaler.scale(mean).backward()  # type: ignore[no-untyped-call]
        return mean

    def _weighted_backward(self, batch: Batch, *, full: bool) -> Tensor:
        weight = batch.rows / self._run.options.batch_size
        self._rows += weight
        self._used.clear()
        with self._accumulating(full=full), self._traceless(batch):
            with self._autocast():
                loss, mean = self._ddp(self._rows_of(batch), weight, float(bool(self._run.stop)))
            loss.backward()
        return cast("Tensor", mean)

    def _rows_of(self, batch: Batch) -> Batch | None:
        """Return what a rank passes through the model; None if it has no rows and no rank waits for it."""
        if not self._joins:
            return batch if batch.rows else None
        if self.stand_in is None:
            self.stand_in = stand_in(batch, self._run)
        return batch if batch.rows else self.stand_in

    @contextlib.contextmanager
    def _traceless(self, batch: Batch) -> Iterator[None]:
        """Keep the rows that stand in for those of an empty batch from changing buffers and gradients."""
        if batch.rows or not self._joins:
            yield
            return
        with self.buffers.frozen(), without_gradients(self._run.model):
            yield

    def _accumulating(self, *, full: bool) -> contextlib.AbstractContextManager[Any]:
        if self._ddp is self._step_module:
            if self._run.sharded:
                self._run.model.set_requires_gradient_sync(full)  # type: ignore[operator]
            return contextlib.nullcontext()
        return contextlib.nullcontext() if full else self._ddp.no_sync()  # type: ignore[operator]

    def _agree(self) -> bool:
        """Convert the summed gradients to that of the mean over all rows; return whether a rank wants to stop."""
        gradients = [value.grad for value in self._named.values() if value.grad is not None]
        if self._needs_all and len(self._used) < len(self._named):
            self._refuse_unused()
        tally = self._step_module.tally.grad
        assert tally is not None
        if self._run.sharded:
            tally = reduce_sums(tally.clone()) / self._run.world.size
        if self._run.device.type == "cpu":
            told = _Told(*tally.tolist())
            if told.weight not in (0.0, 1.0):  # if all batches are full, there is nothing to scale and to round
                torch._foreach_div_(gradients, told.weight)
        else:
            torch._foreach_div_(gradients, tally[0].clamp_min(1e-12))
            told = self._told_late(tally)
        self._step_module.tally.grad = None
        if told.news:
            self.buffers.agree()
        self.buffers.merge(self._rows)
        self._rows = 0.0
        return told.stop > 0

    def _note_used(self, name: str, _: Tensor) -> None:
        self._used.add(name)

    def _refuse_unused(self) -> None:
        """Refuse a loss that does not depend on every parameter: DDP has not added the gradients of the ranks."""
        unused = [name for name in self._named if name not in self._used]
        raise LossError(
            f"the loss does not depend on {', '.join(unused)}",
            expected="a gradient for every parameter in every batch, if several ranks train together",
            fix="use these parameters or remove them; or set unused_parameters = True, so that each step looks "
            "for unused ones",
        )

    def _told_late(self, tally: Tensor) -> _Told:
        """Return the values of the previous step, so that nothing waits for the GPU; in the first step, its own."""
        copy = tally.to("cpu", non_blocking=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
        earlier, self._late = self._late, (copy, event)
        values, written = earlier or self._late
        written.synchronize()
        return _Told(*values.tolist())

    @without_compiler()
    def _update(self) -> None:
        optimizer = self._run.optimizer
        if self._run.options.clip_norm is not None:
            self.scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(self._named.values(), self._run.options.clip_norm)
        self.scaler.step(optimizer)
        self.scaler.update()
        optimizer.zero_grad(set_to_none=True)
        if self.scheduler is not None and not is_plateau(self.scheduler):
            self.scheduler.step()
