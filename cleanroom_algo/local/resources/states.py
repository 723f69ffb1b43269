"""The state machines of models, channels and jobs, as tables; the states are those of botocore's model.

That a cancelled or deleted resource ends INACTIVE is an interpretation: the model has neither CANCELLED nor DELETED.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cleanroom_algo.errors import ConflictError
from cleanroom_algo.local.resources.arns import EXPORT_JOB, INFERENCE_JOB, INPUT_CHANNEL, TRAINED_MODEL
from cleanroom_algo.local.resources.store import Record, Store

PENDING: Final = "CREATE_PENDING"
IN_PROGRESS: Final = "CREATE_IN_PROGRESS"
FAILED: Final = "CREATE_FAILED"
ACTIVE: Final = "ACTIVE"
INACTIVE: Final = "INACTIVE"
UNDER_WAY: Final = (PENDING, IN_PROGRESS)
STOPPING: Final = ("CANCEL_PENDING", "CANCEL_IN_PROGRESS")
COUNTED: Final = (*UNDER_WAY, *STOPPING)
"""The states that count as pending or running."""

ENDED: Final = (ACTIVE, INACTIVE, FAILED, "CANCEL_FAILED", "DELETE_FAILED")
"""The final states."""

_CREATION: Final = {
    PENDING: (IN_PROGRESS, FAILED),
    IN_PROGRESS: (ACTIVE, FAILED),
    ACTIVE: (),
    FAILED: (),
}
_CANCELLING: Final = {
    "CANCEL_PENDING": ("CANCEL_IN_PROGRESS", "CANCEL_FAILED"),
    "CANCEL_IN_PROGRESS": (INACTIVE, "CANCEL_FAILED"),
    "CANCEL_FAILED": ("CANCEL_PENDING",),
    INACTIVE: (),
}
_DELETING: Final = {
    "DELETE_PENDING": ("DELETE_IN_PROGRESS", "DELETE_FAILED"),
    "DELETE_IN_PROGRESS": (INACTIVE, "DELETE_FAILED"),
    "DELETE_FAILED": ("DELETE_PENDING",),
    INACTIVE: (),
}


def _machine(*parts: Mapping[str, tuple[str, ...]], **more: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    table: dict[str, tuple[str, ...]] = {}
    for part in (*parts, more):
        for state, following in part.items():
            table[state] = (*table.get(state, ()), *following)
    return table


TRANSITIONS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    TRAINED_MODEL: _machine(
        _CREATION,
        _CANCELLING,
        _DELETING,
        CREATE_PENDING=("CANCEL_PENDING",),
        CREATE_IN_PROGRESS=("CANCEL_PENDING",),
        ACTIVE=("DELETE_PENDING",),
        CREATE_FAILED=("DELETE_PENDING",),
        CANCEL_FAILED=("DELETE_PENDING",),
    ),
    INPUT_CHANNEL: _machine(_CREATION, _DELETING, ACTIVE=("DELETE_PENDING",), CREATE_FAILED=("DELETE_PENDING",)),
    INFERENCE_JOB: _machine(
        _CREATION, _CANCELLING, CREATE_PENDING=("CANCEL_PENDING",), CREATE_IN_PROGRESS=("CANCEL_PENDING",)
    ),
    EXPORT_JOB: _machine(_CREATION),
}


def may_become(record: Record, status: str) -> bool:
    """Whether the state machine of a record's kind allows this transition."""
    return status in TRANSITIONS[record.kind][record.status]


def move(store: Store, record: Record, status: str, code: str = "", message: str = "") -> Record:
    """Change a record to its next state, starting from its current state in the store.

    Args:
        store: of the room.
        record: any earlier version of it.
        status: the next state.
        code: `statusDetails.statusCode`, for programs; none if empty.
        message: `statusDetails.message`.

    Raises:
        ConflictError: CR-REQ-002, the state machine does not allow this transition.
    """
    with store.transaction():
        now = store.get(record.kind, record.key, record.version)
        if now is None or not may_become(now, status):
            was = "gone" if now is None else now.status
            wanted = [state for state, following in TRANSITIONS[record.kind].items() if status in following]
            raise ConflictError(
                f"the {record.kind.replace('-', ' ')} is {was} and cannot become {status}",
                expected=f"a status of {' or '.join(wanted)}",
                fix="wait, and check its status first",
            )
        details = {"statusCode": code, "message": message} if code or message else None
        return store.update(now, status=status, document={"statusDetails": details} if details else None)
