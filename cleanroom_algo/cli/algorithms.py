"""Reads an algorithm's declarations without training it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cleanroom_algo.contract.algorithm import find_class, import_error, load_algorithm, place_of
from cleanroom_algo.errors import CleanroomError

if TYPE_CHECKING:
    from cleanroom_algo.training.trainer import Trainer


def load_trainer(source: Path) -> type[Trainer]:
    """Return the Trainer of an algorithm.

    Raises:
        AlgorithmNotFoundError: CR-CON-004, there is no algorithm. AlgorithmClassError: CR-CON-005, it has no Trainer.
        AlgorithmImportError: CR-CLI-004, its own code raised an exception.
    """
    from cleanroom_algo.training.trainer import Trainer

    try:
        module = load_algorithm(source)
    except CleanroomError:
        raise
    except Exception as error:
        raise import_error(error, place_of(error, source)) from error
    return find_class(module, Trainer)
