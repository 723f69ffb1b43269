"""The `SM_*` names that SageMaker training scripts expect, taken from the sagemaker-training toolkit.

Importing the toolkit creates folders, fixes its paths for the whole process, changes the environment and logs
hyperparameters. So it runs in a separate process, and only when an algorithm needs the names.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from cleanroom_algo.contract.paths import ROOT_VARIABLE, Paths
from cleanroom_algo.errors import ScriptNamesError

_RESULT_DESCRIPTOR = "CLEANROOM_SCRIPT_NAMES_DESCRIPTOR"


@dataclass(frozen=True, slots=True)
class ScriptNames:
    """What the toolkit would give a script.

    Attributes:
        variables: SM_MODEL_DIR, SM_CHANNEL_TRAIN, SM_HP_EPOCHS and the rest, as strings.
        arguments: the hyperparameters as command-line arguments, such as `["--epochs", "3"]`.
        entry_point: the script that `SAGEMAKER_PROGRAM` or the hyperparameter `sagemaker_program` names, if any.
    """

    variables: Mapping[str, str]
    arguments: tuple[str, ...]
    entry_point: str | None


def script_names(paths: Paths, environ: Mapping[str, str]) -> ScriptNames:
    """Ask the toolkit for its names.

    Args:
        paths: the tree whose configuration files it reads.
        environ: the environment of the container.

    Raises:
        ScriptNamesError: the toolkit is not installed, or cannot read the configuration.
    """
    code_existed = paths.code.exists()
    reader, writer = os.pipe()
    child_environ = {**environ, ROOT_VARIABLE: str(paths.root), _RESULT_DESCRIPTOR: str(writer)}
    try:
        process = subprocess.run(
            [sys.executable, "-m", __name__], env=child_environ, pass_fds=[writer], capture_output=True, check=False
        )
    finally:
        os.close(writer)
        if not code_existed and paths.code.is_dir() and not any(paths.code.iterdir()):
            paths.code.rmdir()
    with os.fdopen(reader, encoding="utf-8") as file:
        text = file.read()
    if process.returncode or not text:
        lines = process.stderr.decode(errors="replace").strip().splitlines()
        # The last line of a traceback names the exception; what follows the colon may quote a value.
        reason = lines[-1].split(":")[0] if lines else "no message"
        raise ScriptNamesError(
            f"the sagemaker-training toolkit ended with status {process.returncode}: {reason}",
            expected="sagemaker-training 5.1.4 or later, and the configuration files of a training job",
            fix="install sagemaker-training, or write the algorithm as a Trainer, which needs no SM_* names",
        )
    answer = json.loads(text)
    return ScriptNames(answer["variables"], tuple(answer["arguments"]), answer["entry_point"])


def _answer() -> None:
    """Run in the child process: write the toolkit's names to the descriptor that the parent passed."""
    from sagemaker_training.environment import Environment

    descriptor = int(os.environ.pop(_RESULT_DESCRIPTOR))
    environment = Environment()
    answer = {
        "variables": {name: str(value) for name, value in environment.to_env_vars().items()},
        "arguments": [str(argument) for argument in environment.to_cmd_args()],
        "entry_point": environment.user_entry_point,
    }
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(answer, file)


if __name__ == "__main__":
    _answer()
