"""The state folder: who may look into it, what an older version left in it, and records that cannot be read."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

import pytest

from cleanroom_algo.errors import RoomStateError
from cleanroom_algo.local.resources.store import Record, Store
from cleanroom_algo.local.room import Room
from tests.cli.support import run
from tests.local.support import AIRLINE_ID, SETTINGS, RoomFixture


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_nobody_else_can_look_into_a_room(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    with Room(home, SETTINGS):
        assert mode(home) == 0o700
        assert {mode(each) for each in home.iterdir() if each.is_dir()} == {0o700}


def test_a_folder_with_other_things_in_it_keeps_its_mode_and_hides_the_rooms_own(tmp_path: Path) -> None:
    home = tmp_path / "project"
    home.mkdir(mode=0o755)
    (home / "algorithm.py").touch()
    with Room(home, SETTINGS):
        assert mode(home) == 0o755
        assert mode(home / "channels") == 0o700
        assert mode(home / "room.sqlite") == 0o600


@pytest.mark.parametrize(("version", "said"), [(0, "an earlier version"), (99, "a later version")])
def test_records_of_another_version_are_refused_with_the_command_that_clears_them(
    tmp_path: Path, version: int, said: str
) -> None:
    home = tmp_path / "home"
    Store(home / "room.sqlite").close()
    with sqlite3.connect(home / "room.sqlite") as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    connection.close()

    with pytest.raises(RoomStateError, match=said) as caught:
        Room(home, SETTINGS)

    assert f"cleanroom-algo clean --home {home}" in caught.value.fix
    assert run("clean", "--home", home, "--yes").status == 0
    with Room(home, SETTINGS):
        pass


@pytest.mark.parametrize("document", ["{", "[]", '{"name": "\\ud800"}'])
def test_a_record_that_cannot_be_read_is_set_aside_and_named(
    tmp_path: Path, document: str, caplog: pytest.LogCaptureFixture
) -> None:
    home = tmp_path / "home"
    with Room(home, SETTINGS) as room:
        desk = RoomFixture(room, tmp_path)
        good, bad = desk.add_model(1), desk.add_model(2)
    with sqlite3.connect(home / "room.sqlite") as connection:
        connection.execute("UPDATE records SET document = ? WHERE key = ?", (document, bad.key))
    connection.close()

    with caplog.at_level(logging.ERROR), Room(home, SETTINGS) as room:
        shown = room.call("ListTrainedModels", {"membershipIdentifier": AIRLINE_ID})

    assert bad.key in caplog.text
    assert [each["trainedModelArn"] for each in shown["trainedModels"]] == [good.key]


def test_a_pair_of_surrogates_is_readable(tmp_path: Path) -> None:
    with Store(tmp_path / "room.sqlite") as store:
        store.insert(Record(kind="k", key="1", document={"name": "\U0001f600"}))

        assert store.set_aside_unreadable() == []
