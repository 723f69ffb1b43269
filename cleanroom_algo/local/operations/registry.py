"""Which function answers which operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cleanroom_algo.errors import NotEmulatedError
from cleanroom_algo.local.service_model.shapes import CLEANROOMS, ML, operation_names

if TYPE_CHECKING:
    from cleanroom_algo.local.room import Room

Handler = Callable[["Call"], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an operation, already valid by the model.

    Attributes:
        room: the clean room.
        operation: its name.
        params: as boto3 takes them.
        account: who calls, twelve digits.
        service: that has the operation, `cleanroomsml` or `cleanrooms`.
    """

    room: Room
    operation: str
    params: Mapping[str, Any]
    account: str
    service: str = ML


class Operations:
    """The handlers of one service; used as a decorator.

    A handler gets a `Call` and returns the members of the output shape. It runs in a transaction of the store (one
    that only reads if the operation's method is GET), raises RequestError, and starts nothing itself: it queues jobs.
    """

    def __init__(self, service: str) -> None:
        self.service = service
        self._handlers: dict[str, Handler] = {}

    def __call__(self, name: str) -> Callable[[Handler], Handler]:
        """Register a handler for an operation of the model."""
        if name not in operation_names(self.service) or name in self._handlers:
            raise ValueError(f"{self.service} has no free operation {name}")

        def register(handler: Handler) -> Handler:
            self._handlers[name] = handler
            return handler

        return register

    def handler(self, name: str) -> Handler:
        """Return the handler of an operation.

        Raises:
            NotEmulatedError: CR-REQ-007, it has none.
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
        "an operation that makes a collaboration, its members and their tables, or shows them",
        "leave it out; `cleanroom-algo differences` lists what is missing",
    ),
}

ml_operation = Operations(ML)
"""Decorator for the operations of Clean Rooms ML."""

cleanrooms_operation = Operations(CLEANROOMS)
"""Decorator for the operations of Clean Rooms that come before machine learning."""

REGISTRIES: Mapping[str, Operations] = {ML: ml_operation, CLEANROOMS: cleanrooms_operation}
