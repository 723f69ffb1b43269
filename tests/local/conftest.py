"""Every answer that a test gets in process is held to the API's model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from cleanroom_algo.local.room import Room
from cleanroom_algo.local.service_model.shapes import ML, operation_model
from cleanroom_algo.local.service_model.validation import faults


@pytest.fixture(autouse=True)
def checked_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Room.call fail where its answer is none that boto3 could read."""
    call = Room.call

    def checked(
        room: Room, operation: str, params: Mapping[str, Any], account: str | None = None, *, service: str = ML
    ) -> dict[str, Any]:
        answer = call(room, operation, params, account, service=service)
        shape = operation_model(service, operation).output_shape
        assert (faults(shape, answer) if shape is not None else ()) == ()
        return answer

    monkeypatch.setattr(Room, "call", checked)
