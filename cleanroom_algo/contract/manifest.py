"""manifest.json: the list of what a model directory contains. Training writes it; loading checks it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cleanroom_algo.contract.validation import problems_of
from cleanroom_algo.errors import ArtifactChangedError, ManifestError, Problem

MANIFEST_FILE = "manifest.json"
WEIGHTS_FILE = "model.safetensors"
FEATURES_FILE = "features.json"
XGBOOST_FILE = "model.ubj"
LIGHTGBM_FILE = "model.txt"
FORMAT_VERSION = 1

_BLOCK_BYTES = 1 << 20  # large enough that the speed of hashing, not that of reading, is the limit


class FileEntry(BaseModel):
    """One file of the artifacts: its size in bytes and the hexadecimal SHA-256 of its content."""

    model_config = ConfigDict(frozen=True)

    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class SpentSteps(BaseModel):
    """Steps of one kind of a private training: their noise multiplier, sampling rate and number."""

    model_config = ConfigDict(frozen=True)

    noise_multiplier: float = Field(gt=0)
    sampling_rate: float = Field(gt=0, le=1)
    steps: int = Field(ge=1)


class PrivacyRecord(BaseModel):
    """What a private training has spent.

    Attributes:
        epsilon: of all `steps` together, by Renyi differential privacy; neighbors differ in one unit, added or removed.
        delta: at which epsilon holds.
        unit: "row", or the column whose values name the units.
        max_grad_norm: of this training.
        steps: those of the base models that may have seen the same units, then those of this training.
        public_channels: which the epsilon does not cover.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")  # infinite with little noise

    epsilon: float = Field(ge=0)
    delta: float = Field(gt=0, lt=1)
    unit: str
    max_grad_norm: float = Field(gt=0)
    steps: tuple[SpentSteps, ...] = ()
    public_channels: tuple[str, ...] = ()


class Manifest(BaseModel):
    """What a model directory holds.

    Attributes:
        format_version: of this file.
        algorithm: the name of the algorithm's class.
        created: when, in ISO 8601, UTC.
        library_versions: of cleanroom-algo and what it computed with.
        table_schema: `schema` in the file: the declared table, as `Schema.to_dict` gives it.
        source_hash: of the algorithm's sources; None where they are an installed module.
        hyperparameters: those that were in effect, defaults included; None for a value that is left out.
        metrics: the final ones.
        base_version: the `created` of the base model's manifest, where training began from one.
        steps: optimizer steps, those of the base model included.
        rows: rows seen in training, those of the base model included.
        privacy: what a private training has spent; None where training was not private.
        files: by path relative to the model directory; all but this file.
    """

    # A metric that is not a number, such as the mean of no values, must not make the whole manifest unreadable.
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, ser_json_inf_nan="strings")

    format_version: int = Field(FORMAT_VERSION, ge=1, le=FORMAT_VERSION)
    algorithm: str
    created: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    library_versions: dict[str, str] = {}
    table_schema: dict[str, Any] | None = Field(None, alias="schema")
    source_hash: str | None = None
    hyperparameters: dict[str, str | None] = {}
    metrics: dict[str, float] = {}
    base_version: str | None = None
    steps: int = Field(0, ge=0)
    rows: int = Field(0, ge=0)
    privacy: PrivacyRecord | None = None
    files: dict[str, FileEntry] = {}

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Read the manifest of a model directory.

        Raises:
            ManifestError: it is missing, or not of this form.
        """
        path = directory / MANIFEST_FILE
        problems: tuple[Problem, ...] = ()
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            what = f"{MANIFEST_FILE} cannot be read: {error.strerror}"
        except ValidationError as error:
            what = f"{MANIFEST_FILE} is not of the expected form"
            problems = problems_of(error)
        raise ManifestError(
            what,
            expected=f"a manifest of format version {FORMAT_VERSION}, as this library's Trainer writes it",
            fix="load a model directory that a Trainer of this library wrote; if a script trained the model, "
            "declare `schema` in the Predictor",
            problems=problems,
        )

    def write(self, directory: Path, *, known: Mapping[str, FileEntry] | None = None) -> Self:
        """Hash every file of the directory and write the complete manifest as the last file.

        Args:
            directory: what the manifest describes.
            known: entries of files that were hashed while they were written, by relative path.

        Returns:
            The manifest as written, with its files.
        """
        complete = self.model_copy(update={"files": hash_files(directory, known=known)})
        draft = directory / f".{MANIFEST_FILE}"
        with draft.open("w", encoding="utf-8") as file:
            file.write(complete.model_dump_json(indent=2, by_alias=True) + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(directory / MANIFEST_FILE)
        return complete

    def changes(self, *, source_hash: str | None, hyperparameters: Mapping[str, str | None]) -> list[str]:
        """Return how an algorithm differs from the one that wrote this manifest, in sentences without values.

        Args:
            source_hash: of the algorithm.
            hyperparameters: in effect.
        """
        changes = []
        if None not in (self.source_hash, source_hash) and self.source_hash != source_hash:
            changes.append("the source files of the algorithm have changed since it was trained")
        known = {name: value for name, value in self.hyperparameters.items() if value is not None}
        names = sorted((known.keys() | hyperparameters.keys()) - (self.hyperparameters.keys() - known.keys()))
        other = [name for name in names if known.get(name) != hyperparameters.get(name)]
        if other:
            changes.append(f"hyperparameters differ from those that it was trained with: {', '.join(other)}")
        return changes

    def verify(self, directory: Path) -> None:
        """Check that the directory holds exactly what the manifest lists.

        Raises:
            ArtifactChangedError: files are missing, changed or not listed; all of them at once.
        """
        found = hash_files(directory)
        problems = [Problem(name, "is missing") for name in sorted(set(self.files) - set(found))]
        problems += [Problem(name, "is not in the manifest") for name in sorted(set(found) - set(self.files))]
        common = sorted(set(found) & set(self.files))
        problems += [Problem(name, "has another content") for name in common if found[name] != self.files[name]]
        if problems:
            raise ArtifactChangedError(
                f"{len(problems)} file(s) differ from {MANIFEST_FILE}",
                expected="the files with the sizes and SHA-256 sums that the manifest lists",
                fix="copy the artifacts again from the job that wrote them",
                problems=problems,
            )


def hash_files(directory: Path, *, known: Mapping[str, FileEntry] | None = None) -> dict[str, FileEntry]:
    """Return size and SHA-256 of every file below a directory except the manifest itself, by relative path.

    Files in `known` are not read again.
    """
    known = known or {}
    paths = sorted(path for path in directory.rglob("*") if path.is_file() and not _is_manifest(path, directory))
    names = {path.relative_to(directory).as_posix(): path for path in paths}
    return {name: known[name] if name in known else _entry(path) for name, path in names.items()}


def _is_manifest(path: Path, directory: Path) -> bool:
    return path.parent == directory and path.name in {MANIFEST_FILE, f".{MANIFEST_FILE}"}


def _entry(path: Path) -> FileEntry:
    digest = hashlib.sha256()
    size = 0
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            size += len(block)
    return FileEntry(bytes=size, sha256=digest.hexdigest())
