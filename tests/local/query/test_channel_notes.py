"""What an author is told of a channel's files."""

from __future__ import annotations

from pathlib import Path

import pytest

from cleanroom_algo.local.room import Room
from tests.cli.support import run
from tests.local.support import SETTINGS, RoomFixture


@pytest.mark.process
def test_a_channel_shows_its_dialect_and_what_to_look_out_for(tmp_path: Path) -> None:
    with Room(tmp_path / "home", SETTINGS) as room:
        desk = RoomFixture(room, tmp_path)
        for name, sql in (("plain", "SELECT 'a' AS x"), ("doubtful", "SELECT 'C:\\\\temp' AS x, 1 AS y")):
            created = desk.call("CreateMLInputChannel", **desk.query(name, {"queryString": sql}))
            assert room.wait(created["mlInputChannelArn"], timeout=60).status == "ACTIVE"

    plain, doubtful = (
        run("show", name, "--json", "--home", str(tmp_path / "home")).json for name in ("plain", "doubtful")
    )

    assert (plain["dialect"], plain["warnings"]) == ("rfc4180", [])
    assert doubtful["warnings"][0].startswith("x: some values contain a quote, a backslash, a line break, or white")
