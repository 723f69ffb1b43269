"""Scripts of SageMaker's script mode: which file trains, and which one serves."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from cleanroom_algo.contract.algorithm import ENTRY_FILE
from cleanroom_algo.contract.environment import PROGRAM_VARIABLE, Environment, InferenceEnvironment
from cleanroom_algo.errors import AlgorithmNotFoundError

PROGRAM_HYPERPARAMETER = "sagemaker_program"
INFERENCE_SCRIPT = "inference.py"
"""The script that serves unless `SAGEMAKER_PROGRAM` names another one, as in the SageMaker inference toolkit."""
SERVING_FUNCTIONS = frozenset({"model_fn", "input_fn", "predict_fn", "output_fn", "transform_fn"})


def training_script(environment: Environment) -> Path | None:
    """Return the script that a training job names, or None for a job that names none.

    It is named by the variable SAGEMAKER_PROGRAM or the hyperparameter sagemaker_program, and is in /opt/ml/code or in
    the algorithm's folder.

    Raises:
        AlgorithmNotFoundError: CR-CON-004, it is in neither.
    """
    named = environment.variables.get(PROGRAM_VARIABLE) or environment.hyperparameters.get(PROGRAM_HYPERPARAMETER)
    if not named:
        return None
    folders = _folders(environment)
    found = next(_files(folders, [named.strip('"')]), None)
    if found is None:
        raise AlgorithmNotFoundError(
            f"the script that {PROGRAM_VARIABLE} names does not exist",
            expected="the script below " + " or ".join(map(str, folders)),
            fix=f"put the script into the image, or correct {PROGRAM_VARIABLE}",
        )
    return found


def inference_script(environment: InferenceEnvironment) -> Path | None:
    """Return the script that serves: the one that SAGEMAKER_PROGRAM names, else inference.py.

    Only a script with functions of the SageMaker inference toolkit serves. Where none is named and there is an
    algorithm.py, that file serves.
    """
    own = Path(environment.settings.algorithm)
    if environment.program is None and (own.is_file() or (own / ENTRY_FILE).is_file()):
        return None
    names = filter(None, [environment.program, INFERENCE_SCRIPT])
    return next(filter(defines_serving, _files(_folders(environment), names)), None)


def defines_serving(script: Path) -> bool:
    """Whether a script has a function of the SageMaker inference toolkit; invalid Python counts as one."""
    try:
        tree = ast.parse(script.read_bytes())
    except (SyntaxError, ValueError):
        return True  # importing it will report the error
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            names.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
    return not names.isdisjoint(SERVING_FUNCTIONS)


def _folders(environment: Environment | InferenceEnvironment) -> list[Path]:
    own = Path(environment.settings.algorithm)
    return [environment.paths.code, own.parent if own.is_file() else own]


def _files(folders: list[Path], names: Iterable[str]) -> Iterator[Path]:
    candidates = ((folder / name).resolve() for name in names for folder in folders)
    return (path for path in candidates if path.is_file())
