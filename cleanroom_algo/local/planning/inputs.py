"""Parts of the plans of several kinds of jobs: records, the algorithm's source, the objects of channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cleanroom_algo.errors import JobRecordMissingError
from cleanroom_algo.local.objects.listing import Source, objects_of, source_of
from cleanroom_algo.local.objects.reference import ObjectRef
from cleanroom_algo.local.plans.training_plan import AlgorithmSource
from cleanroom_algo.local.resources.arns import ALGORITHM, ASSOCIATION
from cleanroom_algo.local.resources.settings import RoomSettings
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.resources.workspace import Workspace


def record_of_job(workspace: Workspace, kind: str, key: str, version: str | None = None) -> Record:
    """Return a record that a job needs.

    Raises:
        JobRecordMissingError: CR-JOB-305, it no longer exists.
    """
    found = workspace.store.get(kind, key, version)
    if found is None:
        raise JobRecordMissingError(
            f"the {kind.replace('-', ' ')} of the job no longer exists",
            expected="a resource that exists until the job has ended",
            fix="create it again, and start the job again",
        )
    return found


def association_of(workspace: Workspace, job: Record) -> Record:
    """Return the association with which a job was started."""
    return record_of_job(workspace, ASSOCIATION, job.document["configuredModelAlgorithmAssociationArn"])


def algorithm_source(workspace: Workspace, association: Record, config: str) -> AlgorithmSource:
    """Return the source to run.

    Args:
        workspace: of the room.
        association: of the job.
        config: `trainingContainerConfig` or `inferenceContainerConfig`.
    """
    algorithm = record_of_job(workspace, ALGORITHM, association.parent)
    container: Mapping[str, Any] = algorithm.document[config]
    location: str = algorithm.private.get("location", container["imageUri"])
    if config == "inferenceContainerConfig":
        location = algorithm.private.get("inference_location", location)
    return AlgorithmSource(
        image_uri=location,
        entrypoint=_words(container, "entrypoint"),
        arguments=_words(container, "arguments"),
    )


def channel_objects(workspace: Workspace, channel: Record) -> tuple[ObjectRef, ...]:
    """Return the objects of an ML input channel, by key.

    Raises:
        RoomError: CR-ROM-004 or CR-ROM-007, a prefix in S3 cannot be listed, or contains no objects.
    """
    location = channel.private.get("location")
    source: Source = workspace.files.channel(channel) if location is None else source_of(location)
    return source_objects(workspace.settings, source)


def source_objects(settings: RoomSettings, source: Source) -> tuple[ObjectRef, ...]:
    """Return the objects of a folder or a prefix, by key: see `listing.objects_of`."""
    return objects_of(source, settings.machine.s3_url)


def _words(container: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
    return tuple(container[name]) if name in container else None
