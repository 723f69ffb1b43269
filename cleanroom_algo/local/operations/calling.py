"""Calls operations like boto3: parameters are validated by the model, and each call is a transaction of the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from cleanroom_algo.errors import UnknownOperationError
from cleanroom_algo.local.operations.registry import REGISTRIES, Call, LocalTerms
from cleanroom_algo.local.resources.workspace import Workspace
from cleanroom_algo.local.service_model.shapes import ML, is_read_only, operation_model, operation_names
from cleanroom_algo.local.service_model.validation import faults, invalid


class Caller:
    """Calls the operations of a room; its resources are created and changed in no other way.

    Args:
        workspace: of the room.
        changed: called after each transaction that may have queued a job.
    """

    def __init__(self, workspace: Workspace, changed: Callable[[], None]) -> None:
        self.workspace = workspace
        self._changed = changed

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make the calls inside one transaction of the store; jobs that they queue start after it. Can be nested."""
        with self.workspace.store.transaction() as is_outermost:
            yield
        if is_outermost:
            self._changed()

    def call(
        self,
        operation: str,
        params: Mapping[str, Any],
        account: str | None = None,
        *,
        service: str = ML,
        region: str | None = None,
        terms: LocalTerms | None = None,
    ) -> dict[str, Any]:
        """Call an operation, and return the members of its output.

        Args:
            operation: its name in the model, `CreateTrainedModel`.
            params: as boto3 takes them.
            account: of the caller, twelve digits; None: the room's default.
            service: `cleanroomsml` or `cleanrooms`.
            region: of AWS that the caller uses; None: that of the room.
            terms: additional properties of what is created, from callers inside the room.

        Raises:
            RequestError: CR-REQ-001 to CR-REQ-009, the errors of the operation.
        """
        if operation not in operation_names(service):
            raise UnknownOperationError(
                f"{service} has no operation {operation}", expected="a name of botocore's model", fix="check the name"
            )
        handler = REGISTRIES[service].handler(operation)
        model = operation_model(service, operation)
        if problems := faults(model.input_shape, params):
            raise invalid(operation, problems)
        machine = self.workspace.settings.machine
        call = Call(
            self.workspace,
            operation,
            params,
            account or machine.account,
            region or machine.region,
            service,
            terms or LocalTerms(),
        )
        if is_read_only(model):
            return dict(handler(call))
        with self.transaction():
            return dict(handler(call))
