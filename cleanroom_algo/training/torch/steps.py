"""One optimizer step, the same on every rank: the gradient of all rows of all ranks, and the word to stop."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from cleanroom_algo.data.batch import Batch
from cleanroom_algo.errors import LossError
from cleanroom_algo.training.torch.devices import autocast, is_plateau
from cleanroom_algo.training.torch.parallel import Step, check_form, reduce_sums

if TYPE_CHECKING:
    from cleanroom_algo.training.process.rank_run import Context
    from cleanroom_algo.training.torch.batches import Batches
    from cleanroom_algo.training.trainer import Trainer

_UNUSED = re.compile(r"did not receive grad for rank \d+: ([\d ]+)")  # DDP's words, in the step after


class Steps:
    """Takes optimizer steps.

    Args:
        trainer: with its loss, its world and its device.
        context: with the options and the word to stop.
        model: the bare model, whose parameters are shards where `sharded`.
        optimizer: of its parameters.
        batches: of the training channel.
        sharded: whether the ranks hold shards.

    Attributes:
        scheduler: the trainer's, or None.
        scaler: of the loss; it does nothing unless the precision is float16.
    """

    def __init__(
        self,
        trainer: Trainer,
        context: Context,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        batches: Batches,
        *,
        sharded: bool,
    ) -> None:
        assert trainer.world is not None
        self._trainer = trainer
        self._options = context.options
        self._stop = context.stop
        self._model = model
        self._optimizer = optimizer
        self._batches = batches
        self._sharded = sharded
        self._device = trainer.device
        self._size = trainer.world.size
        self._step_module = Step(model, trainer.loss, self._device)
        self._ddp = self._wrapped()
        self._weighted = self._size > 1 or self._options.accumulate > 1
        self._autocast = autocast(self._device, self._options.precision)
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._late_tally: tuple[Tensor, Any] | None = None
        self.scheduler = trainer.scheduler(optimizer)
        self.scaler = torch.amp.GradScaler(self._device.type, enabled=self._options.precision == "float16")

    def take(self, batch: Batch, *, full: bool) -> tuple[Tensor, bool]:
        """Go one batch on.

        Args:
            batch: of this rank; it may have no rows.
            full: whether it is the last one of an optimizer step.

        Returns:
            The mean loss of the batch, and whether a rank was asked to stop; that is looked at in full steps only.
        """
        if self._weighted:
            mean = self._weighted_backward(batch, full=full)
        else:
            with self._autocast():
                mean = self._trainer.loss(self._model, batch)
            check_form(mean)
            self.scaler.scale(mean).backward()  # type: ignore[no-untyped-call]
        if not full:
            return mean, False
        stopped = self._weigh() if self._weighted else bool(self._stop)
        self._update()
        return mean, stopped

    def settle(self) -> None:
        """Let DDP arrange its buckets as they are after the first step.

        It sends the gradients of its first backward pass in the order of the parameters, and later ones in the order in
        which they become ready. Where three ranks or more add them up, the order decides over the last bit, so a run
        that goes on from a checkpoint must not begin with the first order. Call it before states are restored.
        """
        if self._ddp is self._step_module or self._size <= 2:
            return
        signal = torch.zeros(2, device=self._device)
        with self._autocast():
            loss, _ = self._ddp(self._batches.filler(), signal)
        loss.backward()
        self._step_module.zero_grad(set_to_none=True)

    def _wrapped(self) -> nn.Module:
        if self._size == 1 or self._sharded:
            return self._step_module
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(
            self._step_module,
            gradient_as_bucket_view=True,
            find_unused_parameters=self._options.unused_parameters,
        )

    def _weighted_backward(self, batch: Batch, *, full: bool) -> Tensor:
        signal = torch.tensor([batch.rows / self._options.batch_size, float(bool(self._stop))])
        if self._device.type == "cuda":
            signal = signal.pin_memory().to(self._device, non_blocking=True)
        with self._accumulating(full=full):
            with self._autocast(), _unused_named(self._step_module):
                loss, mean = self._ddp(self._batches.padded(batch), signal)
            self.scaler.scale(loss).backward()
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
            gradient = reduce_sums(gradient.clone()) / self._size
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        scale = self.scaler.get_scale()
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
            self.scaler.unscale_(self._optimizer)
            nn.utils.clip_grad_norm_(self._parameters, self._options.clip_norm)
        self.scaler.step(self._optimizer)
        self.scaler.update()
        self._optimizer.zero_grad(set_to_none=True)
        if self.scheduler is not None and not is_plateau(self.scheduler):
            self.scheduler.step()


@contextlib.contextmanager
def _unused_named(module: nn.Module) -> Iterator[None]:
    """Name the parameters that had no gradient in the step before, of which DDP tells the places alone."""
    try:
        yield
    except RuntimeError as error:
        found = _UNUSED.search(str(error))
        if found is None:
            raise
        names = [name.removeprefix("model.") for name, value in module.named_parameters() if value.requires_grad]
        unused = ", ".join(names[int(place)] for place in found[1].split())
        raise LossError(
            f"the loss does not depend on {unused}",
            expected="a gradient for every parameter in every step, where several ranks train together",
            fix="use them or leave them out; or set unused_parameters = True, and each step looks for them",
        ) from error
