"""The content of an ML input channel: its objects, and a description of each column from a part of the rows."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cleanroom_algo.channels.formats.gzip import GZIP_MAGIC
from cleanroom_algo.channels.formats.parquet.footer import MAGIC as PARQUET_MAGIC
from cleanroom_algo.channels.objects import Object
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.errors import CleanroomError
from cleanroom_algo.local.objects.reference import ObjectRef
from cleanroom_algo.local.planning.inputs import channel_objects
from cleanroom_algo.local.profiling.profile import Profile, profile_of
from cleanroom_algo.local.resources import records
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.resources.workspace import Workspace
from cleanroom_algo.local.results import TrainedModel
from cleanroom_algo.local.summaries.channel_sizes import channel_sizes

_SAMPLE_OBJECTS: Final = 16
_DOWNLOAD_BYTES: Final = 4 << 20  # of each object in S3
_LATEST_MODELS: Final = 50  # the models among which those are searched that were trained on a channel


@dataclass(frozen=True)
class Declared:
    """The schema of an algorithm that was trained on a channel.

    Attributes:
        model: the name of the trained model.
        schema: in its manifest.
    """

    model: str
    schema: Schema


@dataclass(frozen=True)
class Inspection:
    """The content of a channel.

    Attributes:
        stamp: changes if an object is added, removed or changed.
        objects: all objects, by key.
        profile: of the rows that were read; None if none could be read.
        sampled: the number of objects that were read.
        read: the approximate share of the bytes that was read.
        error: why there is no profile; None for a channel without content.
        declared: the schema of the latest algorithm that was trained on it; None if there is none.
    """

    stamp: str
    objects: tuple[ObjectRef, ...]
    profile: Profile | None = None
    sampled: int = 0
    read: float = 0.0
    error: CleanroomError | None = None
    declared: Declared | None = None


def inspect(workspace: Workspace, channel: Record, before: Inspection | None = None) -> Inspection:
    """Return the content of a channel, described from a part of its rows.

    Args:
        workspace: of the room.
        channel: an ACTIVE channel.
        before: its earlier content, which is returned if its objects have not changed.

    Raises:
        RoomError: CR-ROM-004 or CR-ROM-007, its objects cannot be listed.
    """
    objects = channel_objects(workspace, channel)
    declared = _declared(workspace, channel)
    stamp = hashlib.sha256(repr([declared, *map(_identity, objects)]).encode()).hexdigest()
    if before is not None and before.stamp == stamp:
        return before
    filled = [each for each in objects if each.size]
    chosen = filled[:: -(-len(filled) // _SAMPLE_OBJECTS)] if filled else []
    with tempfile.TemporaryDirectory(prefix="channel-") as folder:
        try:
            sample = [*_local(chosen, Path(folder))]
            profile = profile_of(sample, declared.schema.target if declared else None) if sample else None
        except CleanroomError as error:
            return Inspection(stamp, objects, error=error, declared=declared)
        read = sum(each.size for each in sample) / max(sum(each.size for each in objects), 1)
    if profile is None:
        return Inspection(stamp, objects, declared=declared)
    return Inspection(stamp, objects, profile, len(sample), profile.read * read, None, declared)


def _identity(reference: ObjectRef) -> tuple[str, int, str]:
    return reference.key, reference.size, reference.state


def _local(chosen: Sequence[ObjectRef], folder: Path) -> Iterator[Object]:
    """Yield objects as files: of those in S3 only the beginning, unless their format needs the end."""
    for number, each in enumerate(chosen):
        if isinstance(each.place, Path):
            yield Object(each.key, each.place, each.size)
            continue
        with each.open() as source:
            content = source.read(_DOWNLOAD_BYTES)
        if len(content) < each.size:
            if content.startswith((PARQUET_MAGIC, GZIP_MAGIC)):
                continue
            content = content[: content.rfind(b"\n") + 1]
        path = folder / str(number)
        path.write_bytes(content)
        yield Object(each.key, path, len(content))


def counted_rows(workspace: Workspace, channel: Record) -> int | None:
    """Return how many rows an ACTIVE channel of files has; None if counting takes too long or the files have changed.

    Args:
        workspace: of the room.
        channel: bound to files, whose rows were not counted when it was created.
    """
    try:
        models = _trained_on(workspace, channel)
        counts = (count for each in models if (count := each.rows_of(channel)) is not None)
        if (rows := next(counts, None)) is not None:
            return rows
        found = inspect(workspace, channel)
    except (CleanroomError, OSError):  # the page of the channel says why
        return None
    size = sum(each.size for each in found.objects)
    if found.profile is None or found.read < 1 or size != channel_sizes(channel.document).bytes:
        return None
    return found.profile.rows


def _declared(workspace: Workspace, channel: Record) -> Declared | None:
    """Return the schema of the latest algorithm that was trained on a channel."""
    model = next(_trained_on(workspace, channel), None)
    return None if model is None else Declared(model.name, Schema.from_dict(model.manifest["schema"]))


def _trained_on(workspace: Workspace, channel: Record) -> Iterator[TrainedModel]:
    """Yield the models with a schema that were trained on a channel, the latest first."""
    models = workspace.store.find(
        records.MODEL, collaboration=channel.collaboration, statuses=("ACTIVE",), limit=_LATEST_MODELS
    )
    for each in models:
        model = TrainedModel(each, workspace)
        if channel.key in records.channels_of(each) and "schema" in model.manifest:
            yield model
