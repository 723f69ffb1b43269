"""The only rank of a job in the caller's process and terminal, for debugging; exceptions are passed on unchanged."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

from cleanroom_algo.contract.environment import Environment
from cleanroom_algo.contract.script import training_script
from cleanroom_algo.contract.script_names import script_names
from cleanroom_algo.training.artifacts.base_model import base_model_channel, unpack_base_model
from cleanroom_algo.training.process.job import Job
from cleanroom_algo.training.process.logs import configure_logging
from cleanroom_algo.training.process.rank import train_rank
from cleanroom_algo.training.rank_run import RankRun
from cleanroom_algo.training.signals import StopRequest


def train_in_process(scratch: Path) -> None:
    """Train according to the environment variables and the configuration files of a job; signals keep their handlers.

    Args:
        scratch: a folder for the files of the base model, if there is one.

    Raises:
        Those of `Environment.read` and `Job.load`, and every exception of the algorithm.
    """
    environment = Environment.read()
    configure_logging(environment.settings)
    script = training_script(environment)
    if script is not None:
        names = script_names(environment.paths, environment.variables)
        os.environ.update(names.variables)
        run_program(script, names.arguments)
        return
    job = Job.load(environment)
    channel = base_model_channel(environment)
    base = None if channel is None else unpack_base_model(channel, scratch / "base")
    train_rank(RankRun(environment, job.trainer, job.params, local_rank=0, ranks=1, stop=StopRequest(), base=base))


def run_program(script: Path, arguments: tuple[str, ...]) -> None:
    """Run a Python program in this process, as `python SCRIPT ARGUMENTS` runs it in a separate one."""
    sys.argv = [str(script), *arguments]
    sys.path.insert(0, str(script.parent))
    os.chdir(script.parent)
    runpy.run_path(str(script), run_name="__main__")
