"""Every answer that a test gets in process is held to the API's model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from cleanroom_algo.local.operations.calling import Caller
from cleanroom_algo.local.service_model.shapes import ML, operation_model
from cleanroom_algo.local.service_model.validation import faults

_TOO_LONG = ("configuredTableAssociation.arn", "configuredTableAssociationArn")
"""These have 100 characters at most by the model, whose pattern asks for two UUIDs and more."""


@pytest.fixture(autouse=True)
def checked_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Caller.call fail where its answer is none that boto3 could read."""
    call = Caller.call

    def checked(
        caller: Caller,
        operation: str,
        params: Mapping[str, Any],
        account: str | None = None,
        *,
        service: str = ML,
        **own: Any,
    ) -> dict[str, Any]:
        answer = call(caller, operation, params, account, service=service, **own)
        shape = operation_model(service, operation).output_shape
        problems = faults(shape, answer) if shape is not None else ()
        assert [each for each in problems if not each.path.endswith(_TOO_LONG)] == []
        return answer

    monkeypatch.setattr(Caller, "call", checked)
