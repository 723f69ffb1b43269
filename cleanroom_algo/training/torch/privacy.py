"""What a private training may spend and has spent, and whether a job can be private."""

from __future__ import annotations

import functools
import importlib
import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from torch import nn

from cleanroom_algo.contract.manifest import PrivacyRecord, SpentSteps
from cleanroom_algo.errors import MissingLibraryError, PrivateTrainingError, Problem

if TYPE_CHECKING:
    from cleanroom_algo.training.artifacts.base_model import BaseModelFiles
    from cleanroom_algo.training.options import Options
    from cleanroom_algo.training.rank_run import RankRun

ROW: Final = "row"
# Those of Opacus and larger ones: with much noise, the best order is above 64, and epsilon would be overstated.
ORDERS: Final = [*(1 + tenth / 10 for tenth in range(1, 100)), *range(12, 64), 80, 100, 128, 192, 256, 512, 1024]

log = logging.getLogger(__name__)


def opacus(module: str) -> Any:
    """Return a module of Opacus.

    Raises:
        MissingLibraryError: CR-TRN-015.
    """
    try:
        return importlib.import_module(f"opacus.{module}")
    except ModuleNotFoundError as error:
        raise MissingLibraryError(
            "private = True needs Opacus, which is not installed",
            expected="the library opacus",
            fix="pip install 'cleanroom-algo[privacy]'; for an image, write opacus into requirements.txt beside the "
            "algorithm",
        ) from error


def check_job(rank_run: RankRun) -> None:
    """Check that a job can train privately, before anything is read.

    Raises:
        PrivateTrainingError: CR-TRN-016. MissingLibraryError: CR-TRN-015.
    """
    opacus("accountants")
    train, validation = rank_run.inputs.train, rank_run.inputs.validation
    if not train.input_mode.has_files:
        raise PrivateTrainingError(
            f"channel {train.name!r} is in Pipe mode, and a stream cannot be sampled at random",
            expected="a channel in File or FastFile mode: epsilon holds only where each step is a random sample of all "
            "rows",
            fix='set trainingInputMode to "File" or "FastFile" in the request',
        )
    if validation is not None and validation.name not in rank_run.options.public_channels:
        raise PrivateTrainingError(
            f"channel {validation.name!r} is private, and its metrics would be published without noise",
            expected="no validation channel, or one whose rows need no protection",
            fix=f"leave the channel out of the request and evaluate elsewhere; or set public_channels = "
            f"({validation.name!r},), if epsilon need not cover its rows",
        )
    unit = rank_run.options.unit
    if unit != ROW and unit not in rank_run.algorithm.schema.names:
        raise PrivateTrainingError(
            f"unit {unit!r} is not a column",
            expected='"row", or a column of the schema',
            fix=f"correct it; the columns are {', '.join(rank_run.algorithm.schema.names)}",
        )


def check_layers(model: nn.Module) -> None:
    """Check that each layer can be trained privately.

    Raises:
        PrivateTrainingError: CR-TRN-016, with each layer that cannot be trained privately.
    """
    validators = opacus("validators").ModuleValidator.VALIDATORS
    problems = [
        Problem(name or type(module).__name__, str(fault))
        for name, module in model.named_modules()
        if any(parameter.requires_grad for parameter in module.parameters()) or isinstance(module, _NORMS)
        for fault in (validators[type(module)](module) if type(module) in validators else ())
    ]
    if not problems:
        return
    raise PrivateTrainingError(
        f"{len(problems)} layer(s) cannot be trained privately: {', '.join(problem.path for problem in problems)}",
        expected="layers in which no row of a batch changes what another row gives",
        fix="use GroupNorm or LayerNorm in place of BatchNorm, and DPLSTM or DPMultiheadAttention of opacus.layers in "
        "place of torch's: opacus.validators.ModuleValidator.fix(model) replaces them all",
        problems=problems,
    )


_NORMS: Final = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)
"""Layers that store what they have seen in buffers, with or without weights."""


class Budget:
    """What a private training spends.

    Args:
        options: of the trainer.
        base: the base model, if any.
        units: of all ranks.
        sampling_rate: the probability that a unit is in a step.
        steps: the planned number of steps.

    Attributes:
        noise_multiplier: as given, or the smallest one for which the planned steps spend at most `epsilon`.
        accountant: of Opacus, for the steps of this training.

    Raises:
        PrivateTrainingError: CR-TRN-016, delta is too large, or the budget spent by the base model is not known.
    """

    def __init__(
        self, options: Options, base: BaseModelFiles | None, *, units: int, sampling_rate: float, steps: int
    ) -> None:
        if options.delta * units >= 1:
            raise PrivateTrainingError(
                f"delta is {options.delta:g}, and there are {units} units: it may publish a unit as it is",
                expected="a delta that is well below 1 / units",
                fix=f"set delta = {0.1 / units:.1g} or less",
            )
        self._options = options
        self._before = _spent_before(base, options)
        accountants = opacus("accountants")
        self.accountant = accountants.RDPAccountant()
        self.noise_multiplier = options.noise_multiplier or self._solve(sampling_rate, steps)

    def record(self) -> PrivacyRecord:
        """Return what is spent so far, with what the base model has spent."""
        own = [_steps_of(entry) for entry in self.accountant.history]
        together = (*self._before, *own)
        return PrivacyRecord(
            epsilon=_epsilon(together, self._options.delta),
            delta=self._options.delta,
            unit=self._options.unit,
            max_grad_norm=self._options.max_grad_norm,
            steps=together,
            public_channels=self._options.public_channels,
        )

    def _solve(self, sampling_rate: float, steps: int) -> float:
        options = self._options
        assert options.epsilon is not None
        try:
            with _any_order():
                found: float = opacus("accountants.utils").get_noise_multiplier(
                    target_epsilon=options.epsilon,
                    target_delta=options.delta,
                    sample_rate=sampling_rate,
                    steps=steps,
                    accountant="rdp",
                    epsilon_tolerance=min(0.01, options.epsilon / 100),
                    alphas=ORDERS,
                )
        except ValueError as error:
            raise PrivateTrainingError(
                f"no amount of noise keeps {steps} steps below epsilon = {options.epsilon:g}",
                expected="an epsilon that the noise can reach",
                fix="choose a larger epsilon or delta, fewer epochs or a smaller batch_size",
            ) from error
        return found


def _epsilon(spent: Iterable[SpentSteps], delta: float) -> float:
    divergences = [_divergence(each.noise_multiplier, each.sampling_rate) * each.steps for each in spent]
    if not divergences:
        return 0.0
    analysis = opacus("accountants.analysis.rdp")
    with _any_order():
        return float(analysis.get_privacy_spent(orders=ORDERS, rdp=sum(divergences), delta=delta)[0])


@functools.cache
def _divergence(noise_multiplier: float, sampling_rate: float) -> Any:
    """Return what one step spends, at each order: it takes a quarter of a second, and is the same for each epoch."""
    analysis = opacus("accountants.analysis.rdp")
    return analysis.compute_rdp(q=sampling_rate, noise_multiplier=noise_multiplier, steps=1, orders=ORDERS)


@contextmanager
def _any_order() -> Iterator[None]:
    """Suppress Opacus' warning that another order might give a smaller epsilon: every order gives a valid one."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Optimal order is the", UserWarning)
        yield


def _steps_of(entry: tuple[float, float, int]) -> SpentSteps:
    noise_multiplier, sampling_rate, steps = entry
    return SpentSteps(noise_multiplier=noise_multiplier, sampling_rate=sampling_rate, steps=steps)


def _spent_before(base: BaseModelFiles | None, options: Options) -> Iterable[SpentSteps]:
    if base is None:
        return ()
    if options.base_data == "other":
        log.info("privacy: the base model counts as public, as base_data says")
        return ()
    record = base.manifest.privacy if base.manifest is not None else None
    if record is None or record.unit != options.unit:
        was = "was not trained privately" if record is None else f"protects another unit, {record.unit!r}"
        raise PrivateTrainingError(
            f"the base model {was}, so that epsilon would not cover the units that it has seen",
            expected=f"a base model whose manifest has a record of privacy for the unit {options.unit!r}",
            fix="train the base model with private = True too; or, if it has seen none of these units, "
            'set base_data = "other"',
        )
    log.info("privacy: the base model has spent epsilon %.4g at delta %g, which counts", record.epsilon, record.delta)
    return record.steps
