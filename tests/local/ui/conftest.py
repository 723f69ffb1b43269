"""A room of two parties, and a client of its page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from cleanroom_algo.local.room import Room
from cleanroom_algo.local.ui.app import create_app
from tests.local.support import SETTINGS, RoomFixture

LOGS = [
    {"allowedAccountIds": ["111122223333"], "logType": "ALL", "filterPattern": "epoch"},
    {"allowedAccountIds": ["444455556666"], "logType": "ERROR_SUMMARY"},
]


@pytest.fixture
def privacy() -> dict[str, Any]:
    return {"trainedModels": {"containerLogs": LOGS}}


@pytest.fixture
def desk(tmp_path: Path, privacy: dict[str, Any]) -> Iterator[RoomFixture]:
    with Room(tmp_path / "home", SETTINGS) as room:
        yield RoomFixture(room, tmp_path, privacy=privacy)


@pytest.fixture
def browser(desk: RoomFixture) -> FlaskClient:
    return create_app(desk.room.caller).test_client()
