"""`metric-definitions`: prints what to register so that an algorithm's metrics reach the members' CloudWatch."""

from __future__ import annotations

from pathlib import Path

import click

from cleanroom_algo.cli.algorithms import load_trainer
from cleanroom_algo.cli.options import json_option
from cleanroom_algo.cli.output import emit_json


@click.command()
@click.argument("algorithm", type=click.Path(path_type=Path))
@json_option
def command(algorithm: Path, as_json: bool) -> None:  # noqa: ARG001 (JSON is what a request takes, asked for or not)
    r"""Print the metricDefinitions to register for ALGORITHM, a Python file or a folder with algorithm.py.

    Use them in trainingContainerConfig of create_configured_model_algorithm. They match lines that the Trainer prints:
    those of the training loop, and those that `metric_names` and `logged_names` declare.

    \b
    Examples:
      cleanroom-algo metric-definitions my_algorithm.py
    """
    from cleanroom_algo.contract.metrics import metric_definitions

    trainer = load_trainer(algorithm)
    own_fit, private = trainer.has_own_fit(), trainer.private
    emit_json(metric_definitions(trainer.metric_names, logged=trainer.logged_names, own_fit=own_fit, private=private))
