"""Finds the jobs that use a resource."""

from __future__ import annotations

from cleanroom_algo.local.resources.arns import EXPORT_JOB, INFERENCE_JOB, TRAINED_MODEL
from cleanroom_algo.local.resources.records import channels_of
from cleanroom_algo.local.resources.states import COUNTED, UNDER_WAY
from cleanroom_algo.local.resources.store import Record, Store


def channel_is_read(store: Store, channel: Record) -> bool:
    """Whether jobs that read a channel are pending or running."""
    return any(
        channel.key in channels_of(each)
        for kind in (TRAINED_MODEL, INFERENCE_JOB)
        for each in store.find(kind, collaboration=channel.collaboration, statuses=COUNTED)
    )


def version_is_used(store: Store, model: Record) -> bool:
    """Whether jobs that start from a version of a trained model are pending or running."""
    bases = [
        each.private.get("base", {})
        for each in store.find(TRAINED_MODEL, collaboration=model.collaboration, statuses=UNDER_WAY)
    ]
    return any((base.get("key"), base.get("version")) == (model.key, model.version) for base in bases) or any(
        each.document.get("trainedModelVersionIdentifier") == model.version
        for kind in (INFERENCE_JOB, EXPORT_JOB)
        for each in store.find(kind, parent=model.key, statuses=COUNTED)
    )


def association_is_used(store: Store, association: Record) -> bool:
    """Whether training, inference or export jobs of an association are pending or running."""
    of_document = any(
        each.document.get("configuredModelAlgorithmAssociationArn") == association.key
        for kind in (TRAINED_MODEL, INFERENCE_JOB)
        for each in store.find(kind, collaboration=association.collaboration, statuses=COUNTED)
    )
    exports = store.find(EXPORT_JOB, collaboration=association.collaboration, statuses=COUNTED)
    return of_document or any(each.private["association"] == association.key for each in exports)
