"""A room of two parties for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cleanroom_algo.local.room import Room
from tests.local.support import (
    SETTINGS,
    RoomFixture,
)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[RoomFixture]:
    with Room(tmp_path / "home", SETTINGS) as room:
        yield RoomFixture(room, tmp_path)
