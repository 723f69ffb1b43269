"""The folder with the files of a model, for a test or a debugger."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from cleanroom_algo.serving.artifacts import Artifacts

if TYPE_CHECKING:
    from cleanroom_algo.local.results import TrainedModel

Model: TypeAlias = "Artifacts | TrainedModel | Path"
"""What `run_trainer` returned, a model of a clean room, or a folder with its files."""


def temporary_folder(owner: object) -> Path:
    """Return a new folder, which is removed with the object that owns it."""
    folder = Path(tempfile.mkdtemp(prefix="cleanroom-testing-"))
    weakref.finalize(owner, shutil.rmtree, folder, ignore_errors=True)
    return folder


def model_folder(model: Model, owner: object) -> Path:
    """Return the folder with the files of a model; if it is created for them, it is removed with its owner."""
    if isinstance(model, Artifacts):
        return model.directory
    return model if isinstance(model, Path) else model.extract(temporary_folder(owner) / "model")
