"""The base model: found in the incremental channel by its content, unpacked safely, opened without unpickling.

Clean Rooms ML does not document whether the artifacts arrive packed or unpacked. SageMaker downloads a training channel
unchanged, so as model.tar.gz (SageMaker developer guide, "Use Incremental Training in Amazon SageMaker"). Both work.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

from cleanroom_algo.channels.objects import list_objects
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.contract.archive import MAGIC_BYTES, extract, looks_like_tar
from cleanroom_algo.contract.channel import Channel
from cleanroom_algo.contract.environment import Environment
from cleanroom_algo.contract.manifest import FEATURES_FILE, MANIFEST_FILE, Manifest
from cleanroom_algo.errors import (
    BaseModelMismatchError,
    BaseModelNotFoundError,
    BaseModelUnreadableError,
    CleanroomError,
    Problem,
    UnsafeFileError,
)
from cleanroom_algo.training.artifacts.data_formats import KNOWN_FORMATS, is_plain_data

if TYPE_CHECKING:
    from cleanroom_algo.channels.features import Features

DATA_CHANNELS = ("train", "training", "validation", "test")
"""Names that a base model's channel never has; their data is not read to find it."""
_WEIGHT_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
_HEAD_BYTES = 64 * MAGIC_BYTES  # a gzip header may contain a file name before the first block


def base_model_channel(environment: Environment) -> Channel | None:
    """Return the incremental channel, or None where the job has none.

    It is the setting CLEANROOM_ALGO_BASE_MODEL_CHANNEL, or the channel that contains a tar, a manifest or weights.
    Pipes are not read: the base model comes in File mode in every job.

    Raises:
        ChannelNotInJobError: CR-CON-006, the named channel does not exist.
        BaseModelNotFoundError: CR-BAS-002, several channels may contain it.
    """
    named = environment.settings.base_model_channel
    if named is not None:
        return environment.channel(named)
    others = [channel for name, channel in environment.channels.items() if name not in DATA_CHANNELS]
    found = [channel for channel in others if _may_hold_model(channel)]
    if len(found) > 1:
        raise BaseModelNotFoundError(
            f"{len(found)} channels could hold the base model: {', '.join(channel.name for channel in found)}",
            expected="one incremental channel",
            fix="name it in the environment variable CLEANROOM_ALGO_BASE_MODEL_CHANNEL",
        )
    return found[0] if found else None


def unpack_base_model(channel: Channel, target: Path) -> Path:
    """Return a directory with the files of the base model: the channel's own, or the target with the unpacked files.

    Args:
        channel: the incremental channel.
        target: where to unpack; must not exist.

    Raises:
        BaseModelNotFoundError: CR-BAS-002, the channel holds no model.
        UnsafeArchiveError: CR-BAS-001; BaseModelUnreadableError: CR-BAS-006.
    """
    if not channel.input_mode.has_files:
        raise BaseModelNotFoundError(
            f"channel {channel.name!r} is a pipe",
            expected="the incremental channel in File mode, which SageMaker uses in every input mode of the job",
            fix="deliver the base model in File mode, or name another channel in CLEANROOM_ALGO_BASE_MODEL_CHANNEL",
        )
    objects = list_objects(channel)
    packed = [each for each in objects if _is_tar(each.path)]
    if len(packed) == 1 and len(objects) == 1:
        with packed[0].path.open("rb") as file:
            extract(file, target, source=packed[0].key)
        return _root_of(target)
    if packed or not objects:
        raise BaseModelNotFoundError(
            f"channel {channel.name!r} holds {len(objects)} objects, {len(packed)} of them packed",
            expected="one model.tar.gz, or its unpacked files",
            fix="use the artifacts of one version in the incremental channel",
        )
    return _root_of(channel.path)


@dataclass(frozen=True)
class BaseModelFiles:
    """The files of a base model, which another party wrote.

    Attributes:
        directory: where they are; do not write into it.
        manifest: checked, or None for artifacts of another tool.
        trusted_pickles: names of files that may be unpickled.
    """

    directory: Path
    manifest: Manifest | None
    trusted_pickles: frozenset[str]

    @classmethod
    def open(
        cls, directory: Path, *, algorithms: Collection[str], schema: Schema | None, trusted_pickles: Collection[str]
    ) -> Self:
        """Check the manifest, if there is one, and return the files.

        Raises:
            ManifestError: CR-ART-001; ArtifactChangedError: CR-ART-002.
            BaseModelMismatchError: CR-BAS-003, another algorithm or schema.
        """
        manifest = None
        if (directory / MANIFEST_FILE).is_file():
            manifest = Manifest.read(directory)
            manifest.verify(directory)
            _check_fit(manifest, algorithms, schema)
        return cls(directory, manifest, frozenset(trusted_pickles))

    def file(self, name: str) -> Path:
        """Return a file that is safe to open, or that the algorithm trusts by name.

        Raises:
            BaseModelNotFoundError: CR-BAS-002, there is no such file.
            UnsafeFileError: CR-BAS-005, its format may contain more than data, and `trusted_pickles` does not name it.
        """
        path = self.directory / name
        if not self._holds(path):
            raise BaseModelNotFoundError(
                f"the base model does not contain {name}",
                expected=f"{name} among the artifacts that the algorithm's `save` writes",
                fix="train the base model with this version of the algorithm",
            )
        if name not in self.trusted_pickles and not is_plain_data(path):
            raise UnsafeFileError(
                f"{name} may be a pickle or another file that can run code when it is loaded",
                expected=KNOWN_FORMATS,
                fix=f"store data instead of objects, or, if you trust who trained it: trusted_pickles = ({name!r},)",
            )
        return path

    def _holds(self, path: Path) -> bool:
        try:
            return path.is_file() and path.resolve().is_relative_to(self.directory.resolve())
        except (OSError, ValueError):  # a name that is not allowed for files
            return False

    def features(self) -> Features | None:
        """Return the fitted features, or None if there are none."""
        if not (self.directory / FEATURES_FILE).is_file():
            return None
        from cleanroom_algo.channels.features import Features

        with damage_is_told(FEATURES_FILE):
            document = json.loads((self.directory / FEATURES_FILE).read_bytes())
            return Features.from_dict(cast("dict[str, object]", document))


@contextmanager
def damage_is_told(name: str) -> Iterator[None]:
    """Convert every error of a parser about another party's bytes to an error with a code.

    Raises:
        BaseModelUnreadableError: CR-BAS-006.
    """
    try:
        yield
    except CleanroomError:
        raise
    except Exception as error:
        raise unreadable(name) from error


def unreadable(name: str) -> BaseModelUnreadableError:
    """Return the error for a file that is damaged."""
    return BaseModelUnreadableError(
        f"{name} of the base model is damaged or in another format",
        expected="the file as the training job wrote it",
        fix="copy the artifacts again from the job that wrote them",
    )


def _check_fit(manifest: Manifest, algorithms: Collection[str], schema: Schema | None) -> None:
    own = " or ".join(sorted(algorithms))
    if manifest.algorithm not in algorithms:
        raise BaseModelMismatchError(
            f"the base model is of class {manifest.algorithm!r}, but this algorithm is of class {own}",
            expected=f"artifacts of {own}",
            fix=f"choose a base model of {own}; or, if the weights fit, declare base_algorithms = "
            f"({manifest.algorithm!r},) in the class",
        )
    if schema is None or manifest.table_schema is None:
        return
    if problems := _schema_problems(Schema.from_dict(manifest.table_schema), schema):
        raise BaseModelMismatchError(
            f"the base model has another schema than this algorithm, in {len(problems)} point(s)",
            expected="artifacts for the declared schema",
            fix="choose a base model of the same schema, or train without a base model",
            problems=problems,
        )


def _schema_problems(base: Schema, own: Schema) -> list[Problem]:
    if base.hash == own.hash:
        return []
    before, now = dict.fromkeys(base.columns), dict.fromkeys(own.columns)
    problems = [
        Problem(f"schema.{c.name}", "is not in this algorithm's schema, or has another declaration")
        for c in before
        if c not in now
    ]
    problems += [Problem(f"schema.{c.name}", "was not in the base model's schema") for c in now if c not in before]
    if base.target != own.target:
        problems.append(Problem("schema.target", f"it is {base.target!r}, here {own.target!r}"))
    return problems or [Problem("schema", "the columns have another order")]


def _may_hold_model(channel: Channel) -> bool:
    if not channel.input_mode.has_files:
        return False
    try:
        objects = list_objects(channel)
    except CleanroomError:
        return False  # reading the channel as data gives a better error
    names = {each.path.name for each in objects}
    if MANIFEST_FILE in names or any(name.endswith(_WEIGHT_SUFFIXES) for name in names):
        return True
    return len(objects) == 1 and _is_tar(objects[0].path)


def _is_tar(path: Path) -> bool:
    with path.open("rb") as file:
        return looks_like_tar(file.read(_HEAD_BYTES))


def _root_of(directory: Path) -> Path:
    """Return the directory that contains the files, if everything is below one folder."""
    inside = list(directory.iterdir())
    if len(inside) == 1 and inside[0].is_dir() and not inside[0].is_symlink():
        return _root_of(inside[0])
    return directory
