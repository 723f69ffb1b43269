"""Binds the ARNs in a request file, or in a generated request, to local files.

`prepare_binding` creates the missing resources of a request with exactly these ARNs, by calling the operations: its
collaboration, membership, algorithm, association and ML input channels.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from cleanroom_algo.contract.algorithm import algorithm_file, is_spelled_as_path
from cleanroom_algo.errors import BindingError, Problem
from cleanroom_algo.local.objects.listing import Source
from cleanroom_algo.local.objects.reference import ObjectRef
from cleanroom_algo.local.operations.calling import Caller
from cleanroom_algo.local.operations.registry import LocalTerms
from cleanroom_algo.local.planning.inputs import source_objects
from cleanroom_algo.local.plans.training_plan import AlgorithmSource
from cleanroom_algo.local.resources.arns import ALGORITHM, ASSOCIATION, INPUT_CHANNEL, MEMBERSHIP, TRAINED_MODEL, Arn
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.service_model.shapes import ML, operation_model
from cleanroom_algo.local.service_model.validation import faults, invalid
from cleanroom_algo.local.setup.members import join
from cleanroom_algo.local.setup.names import identifier, image_uri, role, spelled
from cleanroom_algo.local.setup.quick_requests import AS_IT_IS, Configured, model_name

_BOUND_QUERY: Final = "SELECT * FROM a_local_folder"
_RETENTION_DAYS: Final = 30  # the maximum; a bound folder is never removed
_ABILITIES: Final = {
    "memberAbilities": ["CAN_QUERY"],
    "mlMemberAbilities": {"customMLMemberAbilities": ["CAN_RECEIVE_MODEL_OUTPUT", "CAN_RECEIVE_INFERENCE_OUTPUT"]},
}


def prepare_binding(
    caller: Caller,
    request: Mapping[str, Any],
    *,
    algorithm: str | Path | None = None,
    channels: Mapping[str, Source] | None = None,
    operation: str = "CreateTrainedModel",
    configured: Configured = AS_IT_IS,
) -> tuple[str, Callable[[], None]]:
    """Return the account of a request's caller, and a function that creates the missing resources of the request.

    Args:
        caller: of the room's operations.
        request: literal parameters, of CreateTrainedModel or StartTrainedModelInferenceJob.
        algorithm: to which the association is bound: a file, a folder, or an image; None if the room has the
            association.
        channels: folder, file or prefix in S3 for each channel name of the request that the room lacks; the only
            channel of an inference job can have any name.
        operation: the operation of the request.
        configured: the configuration of a new algorithm, in addition to its image.

    Raises:
        InvalidRequestError: CR-REQ-001, the request does not match the model; nothing is created.
        AlgorithmNotFoundError: CR-CON-004, there is nothing at the algorithm's path.
        BindingError: CR-ROM-003, something to be bound is missing, does not exist, or does not belong to this request.
        ConflictError: CR-REQ-002, jobs of the association are running, and its binding would change.
        RoomError: CR-ROM-004 or CR-ROM-007, a prefix in S3 cannot be listed, or has no objects.
    """
    if problems := faults(operation_model(ML, operation).input_shape, request):
        raise invalid(operation, problems)
    if algorithm is not None and AlgorithmSource(str(algorithm)).path is None and is_spelled_as_path(algorithm):
        algorithm_file(algorithm)
    given = channels or {}
    binding = _Binding(caller, request, algorithm, given, _channel_arns(request, given), configured)
    if unbound := list(binding.unbound()):
        raise BindingError(
            "the request names resources that the room does not have",
            expected="resources that exist in the room, or are bound to local files or folders",
            fix="add --algorithm PATH or --channel NAME=PATH, or create the resources with the API first",
            problems=unbound,
        )
    # Before a transaction: S3 may be slow, and meanwhile no other process could write.
    objects = {
        name: source_objects(caller.workspace.settings, source)
        for name, source in given.items()
        if name in binding.wanted
    }
    account = binding.account()
    return account, partial(binding.make, account, objects)


@dataclass(frozen=True)
class _Binding:
    caller: Caller
    request: Mapping[str, Any]
    algorithm: str | Path | None
    channels: Mapping[str, Source]
    wanted: Mapping[str, str]
    """The ARNs of the request's channels, by name."""
    configured: Configured = AS_IT_IS

    @property
    def association(self) -> str | None:
        arn: str | None = self.request.get("configuredModelAlgorithmAssociationArn")
        return arn

    def unbound(self) -> Iterator[Problem]:
        """Yield what is neither in the room nor given, does not exist, or must not be bound."""
        store, association = self.caller.workspace.store, self.association
        if self.algorithm is None and association is not None and store.get(ASSOCIATION, association) is None:
            yield Problem(
                "configuredModelAlgorithmAssociationArn", "is not in the room, and no algorithm was specified"
            )
        for name, arn in self.wanted.items():
            if name not in self.channels and store.get(INPUT_CHANNEL, arn) is None:
                yield Problem(name, f"is not in the room ({arn}), and no folder was specified for it")
        for name, source in self.channels.items():
            if name not in self.wanted:
                yield Problem(name, "is not a channel of the request")
            if isinstance(source, Path) and not source.exists():
                yield Problem(name, f"names a path that does not exist: {source}")
        yield from self._unbindable()

    def _unbindable(self) -> Iterator[Problem]:
        store, association = self.caller.workspace.store, self.association
        bound = [(INPUT_CHANNEL, self.wanted[name]) for name in self.channels if name in self.wanted]
        if self.algorithm is not None and association is not None:
            bound.insert(0, (ASSOCIATION, association))
        if "trainedModelArn" in self.request and not store.count(TRAINED_MODEL, key=self.request["trainedModelArn"]):
            yield Problem("trainedModelArn", "is not in the room")
        for kind, arn in bound:
            existing = store.get(kind, arn)
            if existing is not None and "location" not in existing.private:
                yield Problem(arn, "was created with the API, and cannot be bound to local files")

    def make(self, account: str, objects: Mapping[str, Sequence[ObjectRef]]) -> None:
        membership: str = self.request["membershipIdentifier"]
        with self.caller.transaction():
            collaboration = self._join(membership, account, identifier("collaboration", membership))
            if self.algorithm is not None and self.association is not None:
                self._bind_algorithm(self.association, spelled(self.algorithm), collaboration)
            for name, found in objects.items():
                self._bind_channel(name, found, collaboration)

    def account(self) -> str:
        membership: str = self.request["membershipIdentifier"]
        existing = self.caller.workspace.store.get(MEMBERSHIP, membership)
        if existing is not None:
            return existing.account
        arns = [Arn.parse(arn) for arn in (self.association, *self.wanted.values()) if arn]
        default = self.caller.workspace.settings.machine.account
        return next((each.account for each in arns if each.membership == membership), default)

    def _join(self, membership: str, account: str, collaboration: str) -> str:
        """Return the collaboration of a membership, which is created if necessary."""
        member = {"accountId": account, "displayName": account, **_ABILITIES}
        output = f"s3://cleanroom-output-{account}/"
        return join(self.caller, collaboration, member, membership, output).collaboration

    def _bind_algorithm(self, association: str, source: str, collaboration: str) -> None:
        store, arn = self.caller.workspace.store, Arn.parse(association)
        existing = store.get(ASSOCIATION, association)
        container: dict[str, Any] = {"imageUri": image_uri(source)}
        training = {**container, **self.configured.container}
        if existing is not None and existing.private["location"] == source and self._runs(existing, training):
            return
        if existing is not None:  # its binding has changed
            own = {"membershipIdentifier": arn.membership, "configuredModelAlgorithmAssociationArn": association}
            self.caller.call("DeleteConfiguredModelAlgorithmAssociation", own, arn.account)
        self._join(arn.membership, arn.account, collaboration)
        name = model_name(source)
        made = self.caller.call(
            "CreateConfiguredModelAlgorithm",
            {
                "name": self._free(ALGORITHM, name, account=arn.account),
                "roleArn": role(arn.account),
                "trainingContainerConfig": training,
                "inferenceContainerConfig": container,
            },
            arn.account,
            region=arn.region,
            terms=LocalTerms(location=source),
        )
        self.caller.call(
            "CreateConfiguredModelAlgorithmAssociation",
            {
                "membershipIdentifier": arn.membership,
                "name": self._free(ASSOCIATION, name, membership=arn.membership),
                "configuredModelAlgorithmArn": made["configuredModelAlgorithmArn"],
                **({"privacyConfiguration": {"policies": policies}} if (policies := self.configured.policies) else {}),
            },
            arn.account,
            region=arn.region,
            terms=LocalTerms(arn.identifier, source),
        )

    def _runs(self, association: Record, container: Mapping[str, Any]) -> bool:
        algorithm = self.caller.workspace.store.get(ALGORITHM, association.parent)
        return algorithm is not None and algorithm.document["trainingContainerConfig"] == container

    def _bind_channel(self, name: str, objects: Sequence[ObjectRef], collaboration: str) -> None:
        arn = Arn.parse(self.wanted[name])
        self._join(arn.membership, arn.account, collaboration)
        existing = self.caller.workspace.store.get(INPUT_CHANNEL, self.wanted[name])
        association = self.association
        if association is None:  # an inference job with the model's own association
            (model, *_) = self.caller.workspace.store.find(TRAINED_MODEL, key=self.request["trainedModelArn"])
            association = model.parent
        query = {"sqlParameters": {"queryString": _BOUND_QUERY}}
        source = {"dataSource": {"protectedQueryInputParameters": query}, "roleArn": role(arn.account)}
        size = sum(each.size for each in objects)
        self.caller.call(
            "CreateMLInputChannel",
            {
                "membershipIdentifier": arn.membership,
                "name": name if existing is None else existing.name,
                "configuredModelAlgorithmAssociations": [association],
                "inputChannel": source,
                "retentionInDays": _RETENTION_DAYS,
            },
            arn.account,
            region=arn.region,
            terms=LocalTerms(arn.identifier, _location(self.channels[name]), objects=len(objects), bytes=size),
        )

    def _free(self, kind: str, name: str, **where: str) -> str:
        """Return a name that no other resource of a kind has."""
        taken = self.caller.workspace.store.count(kind, name=name, **where)
        return f"{name[:54]}-{uuid.uuid4().hex[:8]}" if taken else name


def _channel_arns(request: Mapping[str, Any], given: Mapping[str, Source]) -> dict[str, str]:
    if "dataSource" in request:
        name = next(iter(given), "inference")
        return {name: request["dataSource"]["mlInputChannelArn"]}
    return {each["channelName"]: each["mlInputChannelArn"] for each in request["dataChannels"]}


def _location(source: Source) -> str:
    return str(source.absolute() if isinstance(source, Path) else source)
