"""The input of the commands of `deploy`: a declared room, or an algorithm that was trained without one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from cleanroom_algo.errors import AlgorithmClassError, InputFileError

if TYPE_CHECKING:
    from cleanroom_algo.local.deploy.rehearsal import Rehearsal
    from cleanroom_algo.local.resources.store import Store

_DECLARATION: Final = "cleanroom.toml"
source_argument = click.argument("source", default=_DECLARATION)


def rehearsal_of(store: Store, source: str) -> Rehearsal:
    """Return the rehearsal.

    Args:
        store: of the room.
        source: a cleanroom.toml, an algorithm's file, folder or image, or a folder with a cleanroom.toml.

    Raises:
        InputFileError: CR-CLI-003, there is nothing at the path. DeclarationError: CR-ROM-006.
    """
    from cleanroom_algo.contract.algorithm import is_spelled_as_path
    from cleanroom_algo.local.deploy.rehearsed import of_algorithm, of_declaration
    from cleanroom_algo.local.setup.declaration import read_declaration

    path = Path(source)
    declared = path / _DECLARATION if path.is_dir() else path
    if declared.suffix == ".toml" and (declared.is_file() or not path.is_dir()):
        return of_declaration(store, read_declaration(declared))
    if not path.exists() and is_spelled_as_path(source):
        raise InputFileError(
            f"there is nothing at {source}",
            expected="a cleanroom.toml, an algorithm's file or folder, or an image",
            fix="correct the path",
        )
    metrics, columns = _looked_into(path) if path.exists() else ([], {"training": (), "inference": ()})
    return of_algorithm(store, source, metrics, columns)


def _looked_into(path: Path) -> tuple[Sequence[Mapping[str, str]], Mapping[str, Sequence[str]]]:
    """Return the metricDefinitions of an algorithm, and its columns in training and inference; none of a script."""
    from cleanroom_algo.cli.algorithms import load_trainer
    from cleanroom_algo.contract.metrics import metric_definitions

    try:
        trainer = load_trainer(path)
    except AlgorithmClassError:
        return [], {"training": (), "inference": ()}
    metrics = metric_definitions(trainer.metric_names, logged=trainer.logged_names, own_fit=trainer.has_own_fit())
    schema = trainer.schema
    return metrics, {"training": schema.names, "inference": schema.without_target().names}
