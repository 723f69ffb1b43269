"""`python -m cleanroom_algo.training.preflight`: finds errors that would end a training job before its first step.

As a training container does, it imports the algorithm, checks its declarations and hyperparameters, and reads the first
rows of its channels. It prints JSON. It is a separate process, because importing runs the algorithm's code.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys

from cleanroom_algo.contract.algorithm import find_class, import_error, load_algorithm, place_of
from cleanroom_algo.contract.environment import Environment
from cleanroom_algo.contract.processes import imports_for_good
from cleanroom_algo.errors import CleanroomError, HyperparameterError, SchemaError
from cleanroom_algo.training.process.job import Job
from cleanroom_algo.training.trainer import Trainer


def main() -> None:
    """Print `error`, null if nothing is found; `place`, the file and line in the algorithm; and `sure`.

    An algorithm's own `fit` may read its channels in another way: then it is not sure that rows that do not fit the
    schema end the job.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--import-only", action="store_true")
    parser.add_argument("--any-hyperparameters", action="store_true", help="required ones may be missing")
    options = parser.parse_args()
    environment = Environment.read()
    found: dict[str, object] = {"error": None, "place": "", "sure": True}
    with contextlib.redirect_stdout(sys.stderr):  # what the algorithm prints
        try:
            with imports_for_good():
                module = load_algorithm(environment.settings.algorithm)
            if not options.import_only:
                _check(environment, find_class(module, Trainer), options.any_hyperparameters)
        except _UnsureError as error:
            found |= {"error": error.cause.to_dict(), "sure": False}
        except BaseException as error:  # also SystemExit: a module that ends the program cannot be imported
            place = place_of(error, environment.settings.algorithm)
            coded = error if isinstance(error, CleanroomError) else import_error(error, place)
            found |= {"error": coded.to_dict(), "place": place}
    print(json.dumps(found))


class _UnsureError(Exception):
    def __init__(self, cause: CleanroomError) -> None:
        super().__init__()
        self.cause = cause


def _check(environment: Environment, trainer: type[Trainer], any_hyperparameters: bool) -> None:
    try:
        params = trainer.hyperparameters.parse(environment.hyperparameters)
    except HyperparameterError:
        if not any_hyperparameters:
            raise
        params = trainer.hyperparameters.model_construct()
    trainer.check_declaration(params)
    if not environment.channels or not hasattr(trainer, "schema"):
        return
    try:
        Job.of(environment, trainer, params).check_first_rows()
    except SchemaError as error:
        if trainer.has_own_fit() and not trainer.fit.__module__.startswith(f"{Trainer.__module__.partition('.')[0]}."):
            raise _UnsureError(error) from error
        raise


if __name__ == "__main__":
    main()
