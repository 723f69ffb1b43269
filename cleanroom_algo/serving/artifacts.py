"""The files of a training job that serving needs: schema, features, hyperparameters, weights."""

from __future__ import annotations

import logging
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.contract.algorithm import source_hash
from cleanroom_algo.contract.hyperparameters import Hyperparameters
from cleanroom_algo.contract.manifest import FEATURES_FILE, MANIFEST_FILE, WEIGHTS_FILE, Manifest
from cleanroom_algo.errors import ModelFilesError

if TYPE_CHECKING:
    import torch

    from cleanroom_algo.channels.features import Features

H = TypeVar("H", bound=Hyperparameters)

log = logging.getLogger("cleanroom_algo.serving")


class Artifacts:
    """A model directory, read lazily: each file is loaded when it is first used.

    Attributes:
        directory: the unpacked artifacts; /opt/ml/model in a container, where it is read-only (SageMaker developer
            guide, "Use your own inference code with batch transform").
        declared_schema: of the Predictor, for artifacts that no Trainer wrote.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.declared_schema: Schema | None = None

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest of the directory.

        Raises:
            ManifestError: it is missing, or not of the expected form.
        """
        return Manifest.read(self.directory)

    @cached_property
    def schema(self) -> Schema:
        """The table that the model was trained on, with its target.

        Raises:
            ManifestError: there is no manifest, and the Predictor declares no schema.
            ModelFilesError: neither the manifest nor the Predictor has a schema, or they differ.
        """
        own = self.declared_schema
        written = None if own is not None and not self._has_manifest else self.manifest.table_schema
        if written is None and own is not None:
            return own
        if written is None:
            raise ModelFilesError(
                "the manifest contains no schema",
                expected="the schema of the training data, which is needed to read requests",
                fix="declare `schema` in the Trainer, and train again; or declare it in the Predictor",
            )
        schema = Schema.from_dict(written)
        if own not in (None, schema):
            raise ModelFilesError(
                "the `schema` of the Predictor is not that of the artifacts",
                expected="the schema that the model was trained with",
                fix="remove `schema` from the Predictor, or train again with its schema",
            )
        return schema

    @cached_property
    def features(self) -> Features:
        """The preprocessing as it was fitted in training; requests do not change it.

        Raises:
            ModelFilesError: the directory contains no features.
        """
        from cleanroom_algo.channels.features import Features

        return Features.from_dict(json_object(self._file(FEATURES_FILE)))

    @property
    def _has_manifest(self) -> bool:
        return (self.directory / MANIFEST_FILE).is_file()

    def hyperparameters(self, kind: type[H]) -> H:
        """Return the hyperparameters of the training job, typed.

        Raises:
            HyperparameterError: they do not fit the declaration.
            ModelFilesError: their values were left out of the manifest.
        """
        values = {name: value for name, value in self.manifest.hyperparameters.items() if value is not None}
        if len(values) < len(self.manifest.hyperparameters):
            raise ModelFilesError(
                "the manifest names hyperparameters without their values",
                expected="the values that the model was trained with",
                fix="train with CLEANROOM_ALGO_MANIFEST_VALUES=true, or store what `load` needs in a file of `save`",
            )
        parsed = kind.parse(values)
        if added := sorted(parsed.effective().keys() - self.manifest.hyperparameters.keys()):
            log.warning(
                "the model was trained without these hyperparameters; their defaults are used: %s", ", ".join(added)
            )
        return parsed

    def tell_changes(self, algorithm: str) -> None:
        """Log a warning if the sources of an algorithm are not those that the model was trained with."""
        if self._has_manifest:
            manifest = self.manifest
            changes = manifest.changes(source_hash=source_hash(algorithm), hyperparameters=manifest.hyperparameters)
            for change in changes:
                log.warning("the model: %s", change)

    def state_dict(self, file: str = WEIGHTS_FILE) -> dict[str, torch.Tensor]:
        """Return the tensors of a safetensors file, on the CPU.

        The file is mapped, not read: its pages are loaded when they are used, and processes share them.

        Raises:
            ModelFilesError: there is no such file.
        """
        from safetensors.torch import load_file

        return load_file(self._file(file))

    @property
    def size_bytes(self) -> int:
        """Bytes of all files of the directory."""
        return sum(path.stat().st_size for path in self.directory.rglob("*") if path.is_file())

    def _file(self, name: str) -> Path:
        path = self.directory / name
        if not path.is_file():
            raise ModelFilesError(
                f"the model directory does not contain {name}",
                expected=f"{name} among its files: {', '.join(self._names()) or 'it has none'}",
                fix="ask for a file that the Trainer's `save` writes, or write this one in `save`",
            )
        return path

    def _names(self) -> list[str]:
        found = (path for path in self.directory.rglob("*") if path.is_file())
        return sorted(path.relative_to(self.directory).as_posix() for path in found)


def json_object(path: Path) -> dict[str, object]:
    """Return the JSON object in a file of the artifacts.

    Raises:
        ModelFilesError: it contains something else.
    """
    import json

    try:
        document = json.loads(path.read_bytes())
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise ModelFilesError(
            f"{path.name} is not a JSON object",
            expected="the file as the Trainer wrote it",
            fix="use the artifacts as the training job wrote them",
        )
    return document
