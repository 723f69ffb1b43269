"""What a training process works on: the environment, the algorithm's class, its typed hyperparameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from cleanroom_algo.contract.algorithm import find_class, load_algorithm
from cleanroom_algo.contract.environment import Environment
from cleanroom_algo.contract.hyperparameters import Hyperparameters
from cleanroom_algo.contract.redaction import Redactor
from cleanroom_algo.training.artifacts.base_model import base_model_channel
from cleanroom_algo.training.inputs import Inputs
from cleanroom_algo.training.trainer import Trainer

RUN_DIRECTORY_VARIABLE = "CLEANROOM_TRAINING_RUN"
"""Where ranks leave their reports; set by the launcher for its own ranks. It is not a setting."""
EXCHANGE_VARIABLE = "CLEANROOM_TRAINING_EXCHANGE"
"""Host and port of the server at which the ranks meet; as above."""
STOP_FILE = "stop"
"""In that folder: the signal that the launcher had, for ranks that were still starting."""
BASE_MODEL_VARIABLE = "CLEANROOM_TRAINING_BASE"
"""Where the launcher unpacked the base model; as above."""
_FIRST_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Job:
    """What a training process works on.

    Attributes:
        environment: what the platform gave.
        trainer: the algorithm's class.
        params: its hyperparameters, typed.
        redact: tells the algorithm's exceptions without values.
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
        return cls.of(environment, trainer, params)

    @classmethod
    def of(cls, environment: Environment, trainer: type[Trainer], params: Hyperparameters) -> Self:
        """Return the work of an algorithm that is imported and checked."""
        redact = redactor(environment)
        if hasattr(trainer, "schema"):
            redact = redact.with_names(trainer.schema.names)
        return cls(environment, trainer, params, redact)

    def check(self) -> None:
        """Check the first rows, unless the algorithm has its own `fit`, which reads what it likes.

        Raises: what `check_first_rows` raises.
        """
        if not self.trainer.has_own_fit():
            self.check_first_rows()

    def check_first_rows(self) -> None:
        """Read the first rows of what the training loop will read, so that no mistake shows only after hours.

        Pipes are left alone: they are read once.

        Raises:
            ChannelNotInJobError: CR-CON-006. And what reading an object raises: CR-SCH, CR-CHN.
        """
        from cleanroom_algo.channels.modes.file import read_object
        from cleanroom_algo.channels.objects import list_objects

        inputs = Inputs(self.environment, base_model_channel(self.environment))
        for channel in filter(None, (inputs.train, inputs.validation)):
            if channel.input_mode.has_files:
                for first in list_objects(channel)[:1]:
                    next(read_object(first, self.trainer.schema, batch_rows=_FIRST_ROWS), None)


def redactor(environment: Environment) -> Redactor:
    """Return what tells exceptions without values, as far as the algorithm is known before it is imported."""
    return Redactor.of(environment.settings.algorithm, environment.hyperparameters)
