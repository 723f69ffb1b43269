"""Looking into an algorithm without running it."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from cleanroom_algo.contract.algorithm import algorithm_file, find_class, load_algorithm
from cleanroom_algo.errors import AlgorithmImportError, CleanroomError

if TYPE_CHECKING:
    from cleanroom_algo.training.trainer import Trainer


def load_trainer(source: Path) -> type[Trainer]:
    """Return the Trainer of an algorithm.

    Raises:
        AlgorithmNotFoundError: CR-CON-004, there is no algorithm; AlgorithmClassError: CR-CON-005, or no Trainer in it.
        AlgorithmImportError: CR-CLI-004, its own code raised.
    """
    from cleanroom_algo.training.trainer import Trainer

    try:
        module = load_algorithm(source)
    except CleanroomError:
        raise
    except Exception as error:
        file = algorithm_file(source)
        own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        place = f" in {Path(own[-1].filename).name}:{own[-1].lineno}" if own else ""
        raise AlgorithmImportError(
            f"{type(error).__name__}{place}: {error}",
            expected="a file that can be imported",
            fix=f"see the whole traceback with `python {file}`",
        ) from error
    return find_class(module, Trainer)
