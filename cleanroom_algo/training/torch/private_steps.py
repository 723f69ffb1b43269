"""Optimizer steps of a private training: DP-SGD, by Opacus.

Each step sums the gradients of the sampled units, each scaled down to at most `max_grad_norm`, and Gaussian noise. If
there are several ranks, the first one adds the noise of the whole sum. Opacus computes the gradient of each row from
the inputs of each layer. This is correct only if rows do not influence each other, which is checked on a few rows
before the first step.
"""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from cleanroom_algo.data.batch import Batch
from cleanroom_algo.errors import PrivateTrainingError
from cleanroom_algo.training.torch.buffers import RunningBuffers
from cleanroom_algo.training.torch.collectives import any_rank
from cleanroom_algo.training.torch.devices import is_plateau
from cleanroom_algo.training.torch.eager import without_compiler
from cleanroom_algo.training.torch.loss_errors import loss_errors
from cleanroom_algo.training.torch.parallel import check_form
from cleanroom_algo.training.torch.poisson import Sample, Samples
from cleanroom_algo.training.torch.privacy import Budget, opacus
from cleanroom_algo.training.torch.run import TorchRun

_CLOSE = 1e-3  # of the largest gradient: far above the rounding of float32, far below the effect of another row


class PrivateSteps:
    """Takes private optimizer steps, as `Steps` does for other trainings.

    Args:
        run: the training.
        samples: of its rows.

    Attributes:
        budget: what is spent.
        scheduler: the trainer's, or None.
        scaler: of the loss; it has no effect.
        buffers: of the model; they do not change.
        stand_in: None, as a forward pass has no collectives.

    Raises:
        PrivateTrainingError: CR-TRN-016, the model, the loss or the optimizer cannot be private.
    """

    def __init__(self, run: TorchRun, samples: Samples) -> None:
        self._run = run
        self._trained = {name: value for name, value in run.model.named_parameters() if value.requires_grad}
        self.stand_in = None
        self.scaler = torch.amp.GradScaler(run.device.type, enabled=False)
        self.buffers = RunningBuffers(run.model, run.world)
        self.budget = Budget(
            run.options,
            run.trainer.base,
            units=samples.units,
            sampling_rate=samples.sampling_rate,
            steps=samples.steps * run.options.epochs,
        )
        self._kept = {name: (buffer, buffer._version) for name, buffer in run.model.named_buffers()}
        self._check_optimizer()
        self._hooks = opacus("grad_sample").GradSampleHooks(run.model, loss_reduction="mean", strict=False)
        self._check_rows_apart(samples.few())
        self.scheduler = run.trainer.scheduler(run.optimizer)
        if is_plateau(self.scheduler) and run.rank_run.inputs.validation is None:
            raise PrivateTrainingError(
                "ReduceLROnPlateau needs a loss, and that of private rows is not known without noise",
                expected="a scheduler that goes by steps, or a public validation channel",
                fix="return another scheduler, or name a validation channel in public_channels",
            )
        self._optimizer = self._private_optimizer(samples)

    def take(self, batch: Batch, *, full: bool) -> tuple[Tensor, bool]:  # noqa: ARG002
        """Take one step.

        Args:
            batch: the sample of this rank; it may have no rows.
            full: always true.

        Returns:
            A loss of 0, because the loss of private rows must not be shown; and whether a rank was asked to stop.
        """
        assert isinstance(batch, Sample)
        if batch.rows:
            self._backward(batch)
            self._check_buffers()
        for name, parameter in self._trained.items():
            parameter.grad_sample = self._of_units(name, parameter, batch)  # type: ignore[attr-defined]
        stopped = any_rank(bool(self._run.stop), self._run.device)
        self._update()
        return torch.zeros(()), stopped

    def _loss(self, batch: Sample) -> Tensor:
        with loss_errors(batch, self._run.trainer.schema):
            loss = self._run.trainer.loss(self._run.model, batch)
            check_form(loss)
        return loss

    def _backward(self, batch: Sample) -> None:
        with _quiet_hooks():
            self._loss(batch).backward()  # type: ignore[no-untyped-call]

    def _of_units(self, name: str, parameter: nn.Parameter, batch: Sample) -> Tensor:
        """Return the gradient of each unit of the sample: the mean over its rows."""
        found: Any = parameter.grad_sample  # type: ignore[attr-defined]
        units = batch.unit_count
        if found is None:
            if parameter.grad is not None:
                raise _rows_meet(name)
            return parameter.new_zeros((units, *parameter.shape))
        # A row whose gradient is not a number must not become visible in the weights.
        rows = torch.nan_to_num(found, nan=0.0, posinf=0.0, neginf=0.0)
        if units == batch.rows:
            return rows
        assert batch.units is not None
        sums = parameter.new_zeros((units, *parameter.shape)).index_add_(0, batch.units, rows)
        counts = torch.bincount(batch.units, minlength=units).view(-1, *[1] * parameter.dim())
        return sums / counts

    @without_compiler()
    def _private_optimizer(self, samples: Samples) -> Any:
        run, optimizers = self._run, opacus("optimizers")
        kind = optimizers.DPOptimizer if run.world.size == 1 else optimizers.DistributedDPOptimizer
        generator = torch.Generator(run.device).manual_seed(secrets.randbits(63))  # secret: it would reveal the noise
        optimizer = kind(
            run.optimizer,
            noise_multiplier=self.budget.noise_multiplier,
            max_grad_norm=run.options.max_grad_norm,
            expected_batch_size=samples.units * samples.sampling_rate / run.world.size,
            generator=generator,
        )
        optimizer.attach_step_hook(self.budget.accountant.get_optimizer_hook_fn(samples.sampling_rate))
        return optimizer

    @without_compiler()
    def _update(self) -> None:
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        if self.scheduler is not None and not is_plateau(self.scheduler):
            self.scheduler.step()

    # --- what cannot be private -------------------------------------------------------------------------------------

    def _check_optimizer(self) -> None:
        optimizer = self._run.optimizer
        own = {id(value) for value in self._run.model.parameters()}
        others = any(id(value) not in own for group in optimizer.param_groups for value in group["params"])
        if others or isinstance(optimizer, torch.optim.LBFGS):
            what = "has parameters that are not the model's" if others else "looks at the rows several times in a step"
            raise PrivateTrainingError(
                f"the optimizer {what}",
                expected="an optimizer that takes one gradient for each step, of the parameters of `model` alone",
                fix="give it model.parameters(); use SGD or AdamW",
            )

    def _check_rows_apart(self, few: list[Sample]) -> None:
        """Check that the gradient of a few rows is the mean of the gradients of the single rows."""
        if not few:
            return
        together, *alone = few
        with self._without_chance():
            self._hooks.disable_hooks()
            expected = [self._gradients(each) for each in alone]
            self._hooks.enable_hooks()
            self._backward(together)
            found = {name: value.grad_sample for name, value in self._trained.items()}  # type: ignore[attr-defined]
        for name, parameter in self._trained.items():
            wanted = torch.stack([gradients[name] for gradients in expected])
            given = torch.zeros_like(wanted) if found[name] is None else found[name]
            if given.shape != wanted.shape or (given - wanted).abs().max() > _CLOSE * wanted.abs().max() + 1e-6:
                raise _rows_meet(name)
            parameter.grad_sample = None  # type: ignore[attr-defined]
        self._run.model.zero_grad(set_to_none=True)

    def _check_buffers(self) -> None:
        """Check that the forward pass has not changed buffers."""
        changed = [
            name
            for name, buffer in self._run.model.named_buffers()
            if name not in self._kept or self._kept[name][0] is not buffer or self._kept[name][1] != buffer._version
        ]
        if changed:
            raise PrivateTrainingError(
                f"the forward pass changes {', '.join(changed)}, which would be published without noise",
                expected="a model that learns by the gradients of its parameters alone",
                fix="leave buffers as they are in training, or leave their layers out",
            )

    def _gradients(self, batch: Sample) -> dict[str, Tensor]:
        with _quiet_hooks():
            values: tuple[Tensor | None, ...] = torch.autograd.grad(
                self._loss(batch), list(self._trained.values()), allow_unused=True
            )
        return {
            name: torch.zeros_like(parameter) if value is None else value
            for (name, parameter), value in zip(self._trained.items(), values, strict=True)
        }

    @contextmanager
    def _without_chance(self) -> Iterator[None]:
        """Switch off random layers such as dropout; layers with weights stay in training mode."""
        modes = {module: module.training for module in self._run.model.modules()}
        for module in modes:
            module.training = any(True for _ in module.parameters(recurse=False))
        try:
            yield
        finally:
            for module, mode in modes.items():
                module.training = mode


@contextmanager
def _quiet_hooks() -> Iterator[None]:
    """Suppress torch's warnings about the hooks that Opacus uses."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Full backward hook is firing", UserWarning)
        yield


class Spending:
    """What a private training logs: no loss, but what it has spent.

    Args:
        run: the training.
        samples: of its rows.
        budget: what is spent.
    """

    def __init__(self, run: TorchRun, samples: Samples, budget: Budget) -> None:
        self._run = run
        self._rows = samples.rows
        self._budget = budget

    def begin(self) -> None:
        """Do nothing."""

    def add(self, loss: Tensor, rows: int) -> None:
        """Do nothing."""

    def line(self, step: int) -> dict[str, float]:  # noqa: ARG002
        """Return the learning rate and what is spent."""
        return {"learning_rate": self._run.optimizer.param_groups[0]["lr"], **self._spent()}

    def epoch(self, step: int) -> tuple[int, dict[str, float]]:  # noqa: ARG002
        """Return the rows that an epoch is expected to see, and what is spent."""
        return self._rows, self._spent()

    def _spent(self) -> dict[str, float]:
        record = self._budget.record()
        return {"epsilon": record.epsilon, "delta": record.delta}


def _rows_meet(name: str) -> PrivateTrainingError:
    return PrivateTrainingError(
        f"the gradient of {name} for one row cannot be told from that of other rows",
        expected="a loss that is the mean over rows, each computed from its own row, with weights used by layers alone",
        fix="return .mean() of the rows' losses; compare no row with another; put penalties on weights into the "
        "optimizer (weight_decay); use weights in layers only, and nn.Dropout instead of F.dropout",
    )
