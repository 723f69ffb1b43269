"""The functions that implement the operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cleanroom_algo.errors import NotEmulatedError
from cleanroom_algo.local.resources.arns import ml_arn, new_identifier
from cleanroom_algo.local.resources.settings import RoomSettings
from cleanroom_algo.local.resources.store import Record, Store
from cleanroom_algo.local.resources.workspace import Workspace
from cleanroom_algo.local.service_model.shapes import CLEANROOMS, ML

Handler = Callable[["Call"], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class LocalTerms:
    """Properties of a created resource that callers inside the room can set, but requests of the API cannot.

    Attributes:
        identifier: its identifier; a new one if empty.
        location: what it refers to, on this machine or in S3: an algorithm's file or folder, a channel's objects, a
            table's files; "" if nothing.
        format: of a table's files, `csv` or `parquet`; if empty, their names decide.
        objects: the number of a channel's objects.
        bytes: of these objects together.
        inference_location: what an algorithm's inference image refers to, if it is a different one.
        resumes: key and version of the trained model from whose checkpoints training continues.
    """

    identifier: str = ""
    location: str = ""
    format: str = ""
    objects: int = 0
    bytes: int = 0
    inference_location: str = ""
    resumes: tuple[str, str | None] | None = None

    @property
    def kept(self) -> dict[str, str]:
        """The properties that a record stores without showing them."""
        found = {
            "location": self.location,
            "inference_location": self.inference_location,
            "format": self.format,
        }
        return {name: value for name, value in found.items() if value}


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an operation, already valid by the model.

    Attributes:
        workspace: of the room.
        operation: its name.
        params: as boto3 takes them.
        account: of the caller, twelve digits.
        region: of AWS, as the caller assumes it.
        service: of the operation, `cleanroomsml` or `cleanrooms`.
        terms: of callers inside the room.
    """

    workspace: Workspace
    operation: str
    params: Mapping[str, Any]
    account: str
    region: str
    service: str
    terms: LocalTerms

    @property
    def store(self) -> Store:
        """The records of the room."""
        return self.workspace.store

    @property
    def settings(self) -> RoomSettings:
        """The settings of the room."""
        return self.workspace.settings

    def new_identifier(self) -> str:
        """Return the identifier of what the call creates."""
        return self.terms.identifier or new_identifier()

    def new_arn(self, kind: str, membership: str = "") -> str:
        """Return the ARN of what the call creates."""
        return ml_arn(kind, self.region, self.account, membership, self.new_identifier())

    def given(self, *left_out: str) -> dict[str, Any]:
        """Return the parameters of a creation as members of a document, without those that have columns."""
        absent = {"membershipIdentifier", "name", *left_out}
        return {name: value for name, value in self.params.items() if name not in absent}

    def new_record(
        self,
        kind: str,
        membership: Record,
        parent: str,
        *,
        status: str = "",
        document: Mapping[str, Any],
        private: Mapping[str, Any],
    ) -> Record:
        """Return the record of what the call creates in a membership; it is not stored yet."""
        return Record(
            kind=kind,
            key=self.new_arn(kind, membership.key),
            account=self.account,
            membership=membership.key,
            collaboration=membership.collaboration,
            parent=parent,
            name=self.params["name"],
            status=status,
            document=document,
            private=private,
        )


class Operations:
    """The handlers of one service; used as a decorator.

    A handler takes a `Call` and returns the members of the output shape. It runs in a transaction of the store
    (read-only if the operation's method is GET), raises RequestError, and starts nothing itself: it queues jobs.
    """

    def __init__(self, service: str) -> None:
        self.service = service
        self._handlers: dict[str, Handler] = {}

    def __call__(self, name: str) -> Callable[[Handler], Handler]:
        """Register a handler for an operation. Its name is not checked, because loading the model takes time."""
        if name in self._handlers:
            raise ValueError(f"{name} of {self.service} has two handlers")

        def register(handler: Handler) -> Handler:
            self._handlers[name] = handler
            return handler

        return register

    def handler(self, name: str) -> Handler:
        """Return the handler of an operation.

        Raises:
            NotEmulatedError: CR-REQ-007, there is no handler.
        """
        if name not in self._handlers:
            expected, fix = _INSTEAD[self.service]
            raise NotEmulatedError(f"{name} of {self.service} is not emulated", expected=expected, fix=fix)
        return self._handlers[name]

    @property
    def emulated(self) -> tuple[str, ...]:
        """The operations that have a handler, sorted."""
        return tuple(sorted(self._handlers))


_INSTEAD: Mapping[str, tuple[str, str]] = {
    ML: (
        "an operation of custom models",
        "call AWS for it, or leave it out; `cleanroom-algo differences` lists what is missing",
    ),
    CLEANROOMS: (
        "an operation of collaborations, members, tables, rules, schemas, analysis templates or access budgets",
        "leave it out; `cleanroom-algo differences` lists what is missing",
    ),
}

ml_operation = Operations(ML)
"""Decorator for the operations of Clean Rooms ML."""

cleanrooms_operation = Operations(CLEANROOMS)
"""Decorator for the operations of Clean Rooms that come before machine learning."""

REGISTRIES: Mapping[str, Operations] = {ML: ml_operation, CLEANROOMS: cleanrooms_operation}
