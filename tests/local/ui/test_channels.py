"""Channels: what they hold, for the author's machine alone, by a bounded part, and again when they change."""

from __future__ import annotations

import os

import pytest
from flask.testing import FlaskClient

from cleanroom_algo.contract.sizes import GB
from cleanroom_algo.local.summaries.inspection import counted_rows
from cleanroom_algo.local.ui import background
from tests.local.support import AIRLINE, BUREAU, RoomFixture
from tests.local.ui.support import settled

CANARY = "canary-4711"
ROWS = "carrier,miles,late\n" + "".join(f"{CANARY},{100 + n}.5,{n % 2}\n" for n in range(40)) + "AA,,1\n"


@pytest.fixture
def place(desk: RoomFixture) -> int:
    """Return the place of a channel of one object with a header."""
    folder = desk.folder / "data-train"
    for path in folder.iterdir():
        path.unlink()
    (folder / "part-0.csv").write_text(ROWS)
    (channel,) = desk.room.store.find("ml-input-channel")
    return channel.seq


def test_lists_count_the_rows_of_files(desk: RoomFixture, browser: FlaskClient) -> None:
    (channel,) = desk.room.store.find("ml-input-channel")
    size = sum(path.stat().st_size for path in (desk.folder / "data-train").iterdir())
    desk.room.store.update(channel, document={"sizeInGb": size / GB})

    for page in ("/ui/channels", "/ui/room"):
        settled(browser, page, '<td class="number">8</td>')
        assert '<td class="number">8</td>' not in browser.get(f"{page}?as={AIRLINE}").text

    (desk.folder / "data-train/part-0.csv").write_text("1,2\n")
    changed = desk.room.store.update(channel, document={"numberOfFiles": 2.0})
    assert counted_rows(desk.room.workspace, changed) is None


def test_columns_say_what_they_hold(browser: FlaskClient, place: int) -> None:
    page = settled(browser, f"/ui/channels/{place}")

    assert 'title="canary-4711"' in page
    assert "98%" in page
    assert "<title>100 to 102: 2</title>" in page
    assert "1 nulls (2.4%)" in page
    assert "<td>139.5</td>" not in page  # it is not among the first rows
    assert "<td>100.5</td>" in page
    assert "target=&#34;late&#34;" in page
    assert "A sample" not in page


@pytest.mark.parametrize("account", [AIRLINE, BUREAU])
def test_a_member_sees_neither_rows_nor_statistics(browser: FlaskClient, place: int, account: str) -> None:
    settled(browser, f"/ui/channels/{place}")  # the whole room has them already

    page = settled(browser, f"/ui/channels/{place}?as={account}")

    assert "no member sees rows of an ML input channel" in page
    assert not [word for word in (CANARY, "carrier", "miles", "100.5", "part-0", "distinct", "41") if word in page]


def test_hosts_get_objects_as_a_job_would(desk: RoomFixture, browser: FlaskClient, place: int) -> None:
    for number in range(1, 20):
        (desk.folder / "data-train" / f"part-{number:02}.csv").write_text(ROWS)

    page = settled(browser, f"/ui/channels/{place}?hosts=3&distribution=ShardedByS3Key")
    assert page.count('<td class="number">7</td>') == 2
    assert page.count('<td class="number">6</td>') == 1
    assert "410 rows out of 10 of 20 objects" in page
    assert page.count('<td class="number">20</td>') == 0

    page = settled(browser, f"/ui/channels/{place}?hosts=3&distribution=FullyReplicated")
    assert page.count('<td class="number">20</td>') == 3


def test_a_host_without_objects_is_named(browser: FlaskClient, place: int) -> None:
    page = settled(browser, f"/ui/channels/{place}?hosts=2")

    assert "algo-2 would get no object" in page


def test_what_has_changed_is_read_again(
    desk: RoomFixture, browser: FlaskClient, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "FRESH_SECONDS", 0.0)
    assert "operator" not in settled(browser, f"/ui/channels/{place}", "carrier")
    path = desk.folder / "data-train" / "part-0.csv"
    path.write_text(ROWS.replace("carrier", "operator"))
    os.utime(path, (1, 1))

    assert "carrier" not in settled(browser, f"/ui/channels/{place}", "operator")


def test_rows_that_cannot_be_read_are_explained(desk: RoomFixture, browser: FlaskClient, place: int) -> None:
    (desk.folder / "data-train" / "part-0.csv").write_text("a,b\n1,2\n1,2,3\n")

    page = settled(browser, f"/ui/channels/{place}")

    assert "The rows cannot be read" in page
    assert "CR-" in page
    assert "algo-1" in page
