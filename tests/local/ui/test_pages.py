"""The views, asked without a server: what they show, to whom, and that all of it is text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.test import Client

from cleanroom_algo.local.api.application import Application
from cleanroom_algo.local.ui.app import create_app
from cleanroom_algo.local.ui.page import FAST_POLL
from tests.local.support import AIRLINE, BUREAU, STRANGER, RoomFixture

PAGES = ["/ui/room", "/ui/channels", "/ui/inference", "/ui/training", "/ui/models", "/ui/differences", "/ui/codes"]


def text(browser: FlaskClient, path: str, status: int = 200) -> str:
    answer = browser.get(path)
    assert answer.status_code == status, answer.text
    return answer.text


@pytest.mark.parametrize("account", ["", AIRLINE, BUREAU])
@pytest.mark.parametrize("path", PAGES)
def test_every_page_loads_from_its_own_address_alone(browser: FlaskClient, path: str, account: str) -> None:
    answer = browser.get(path, query_string={"as": account})

    assert answer.status_code == 200
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'self';")
    assert "http://" not in answer.text
    assert "https://" not in answer.text
    assert not [word for word in ("style=", "onclick", "<script>", "<style") if word in answer.text]


def test_an_unchanged_page_is_not_sent_again(desk: RoomFixture, browser: FlaskClient) -> None:
    first = browser.get("/ui/room")
    while f'data-poll="{FAST_POLL}"' in first.text:  # rows are still being counted
        first = browser.get("/ui/room")
    again = browser.get("/ui/room", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")

    desk.add_channel("more")

    assert browser.get("/ui/room", headers={"If-None-Match": first.headers["ETag"]}).status_code == 200


def test_a_channel_of_another_member_shows_no_query(desk: RoomFixture, browser: FlaskClient) -> None:
    (channel,) = desk.room.store.find("ml-input-channel")
    assert str(desk.folder) in text(browser, "/ui/room"), "a channel over files shows where they lie"
    desk.room.store.update(channel, private={"location": None})

    assert "SELECT 1 AS x" in text(browser, "/ui/room")
    assert "SELECT 1 AS x" in text(browser, f"/ui/room?as={AIRLINE}")
    assert "SELECT 1 AS x" not in text(browser, f"/ui/room?as={BUREAU}")
    assert str(desk.folder) not in text(browser, f"/ui/room?as={BUREAU}")


def test_links_keep_the_member_who_looks(browser: FlaskClient) -> None:
    assert f'href="/ui/differences?as={BUREAU}"' in text(browser, f"/ui/room?as={BUREAU}")


def test_who_is_no_member_sees_nothing(browser: FlaskClient) -> None:
    assert "SELECT" not in text(browser, f"/ui/room?as={STRANGER}", 404)
    assert "<script>" not in text(browser, "/ui/room?as=<script>", 404)


def test_search_looks_for_all_words(browser: FlaskClient) -> None:
    assert "noise" in text(browser, "/ui/differences?q=NOISE+metrics").casefold()
    assert 'id="CR-REQ-010"' in text(browser, "/ui/codes?q=request+cr-req-010")
    assert 'value="&lt;b&gt;&#34;"' in text(browser, '/ui/codes?q=<b>"')


@pytest.mark.parametrize("block", [0, 1], ids=["light", "dark"])
def test_text_has_the_contrast_that_wcag_asks_for(block: int) -> None:
    sheet = (Path(create_app.__code__.co_filename).parent / "static" / "page.css").read_text()
    colors = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", re.findall(r":root \{(.*?)\}", sheet, re.DOTALL)[block]))
    texts = {"ink": 4.5, "muted": 4.5, "accent": 4.5, "bad": 4.5, "good": 4.5}
    lines = {f"s{number}": 3.0 for number in range(1, 7)}
    pairs = [(name, ground, least) for ground in ("ground", "surface") for name, least in (texts | lines).items()]
    pairs += [(name, f"{name}-soft", 4.5) for name in ("good", "bad", "busy", "accent")]
    pairs += [("mask-ink", "mask", 4.5), ("muted", "code", 4.5), ("ink", "bad-soft", 4.5)]

    poor = [pair for pair in pairs if _contrast(colors[pair[0]], colors[pair[1]]) < pair[2]]

    assert poor == []


def _contrast(first: str, second: str) -> float:
    def luminance(color: str) -> float:
        parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_pages_of_elsewhere_get_nothing_and_looking_takes_no_request_from_a_quota(desk: RoomFixture) -> None:
    api = Application(desk.room.caller, make_pages=create_app)
    client = Client(api)
    assert client.get("/ui/room", headers={"Host": "evil.example"}).status_code == 403
    assert client.get("/ui/room", headers={"Host": "localhost", "Origin": "https://evil.example"}).status_code == 403
    assert client.post("/ui/training/1/stop", headers={"Host": "localhost", "Origin": "null"}).status_code == 403
    assert client.get("/", headers={"Host": "localhost"}).headers["Location"] == "/ui/room"

    statuses = [client.get("/ui/codes", headers={"Host": "localhost"}).status_code for _ in range(60)]
    assert set(statuses) == {200}
    assert client.get("/configured-model-algorithms", headers={"Host": "localhost"}).status_code == 200
    assert client.get("/uix", headers={"Host": "localhost"}).status_code == 404
