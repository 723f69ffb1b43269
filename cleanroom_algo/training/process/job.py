"""What a training process works on: the environment, the algorithm's class, its typed hyperparameters."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Self

from cleanroom_algo.contract.algorithm import find_class, load_algorithm
from cleanroom_algo.contract.environment import Environment
from cleanroom_algo.contract.hyperparameters import Hyperparameters
from cleanroom_algo.training.process.redaction import Redactor
from cleanroom_algo.training.trainer import Trainer

RUN_DIRECTORY_VARIABLE = "CLEANROOM_TRAINING_RUN"
"""Where ranks leave their reports; set by the launcher for its own ranks. Not a setting: nobody else sets it."""
BASE_MODEL_VARIABLE = "CLEANROOM_TRAINING_BASE"
"""Where the launcher unpacked the base model; as above."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a training process works on.

    Attributes:
        environment: what the platform gave.
        trainer: the algorithm's class.
        params: its hyperparameters, typed.
        redact: hides values in what the algorithm's exceptions say.
    """

    environment: Environment
    trainer: type[Trainer]
    params: Hyperparameters
    redact: Redactor

    @classmethod
    def load(cls, environment: Environment) -> Self:
        """Import the algorithm and give its hyperparameters types.

        Raises:
            AlgorithmNotFoundError: CR-CON-004; AlgorithmClassError: CR-CON-005; HyperparameterError: CR-CON-002;
            TrainerDeclarationError: CR-TRN-005. Whatever the algorithm's own module raises goes through.
        """
        module = load_algorithm(environment.settings.algorithm)
        trainer = find_class(module, Trainer)
        params = trainer.hyperparameters.parse(environment.hyperparameters)
        trainer.check_declaration(params)
        return cls(environment, trainer, params, redactor(environment.hyperparameters, module, trainer))

    @property
    def has_own_fit(self) -> bool:
        """Whether the algorithm trains in its own way, so that nothing here needs torch."""
        return self.trainer.has_own_fit()


def redactor(
    hyperparameters: Mapping[str, str], module: ModuleType | None = None, trainer: type[Trainer] | None = None
) -> Redactor:
    """Return what hides values in messages, as far as the algorithm is known yet."""
    names = set(hyperparameters)
    if trainer is not None and hasattr(trainer, "schema"):
        names |= set(trainer.schema.names)
    sources: list[Path] = []
    if module is not None and (file := inspect.getsourcefile(module)):
        sources = sorted(Path(file).parent.glob("*.py"))
    return Redactor(sources, names, hyperparameters.values())
