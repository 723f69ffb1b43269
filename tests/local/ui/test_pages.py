"""The views, asked without a server: what they show, to whom, and that all of it is text."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tests.local.support import AIRLINE, BUREAU, STRANGER, RoomFixture

PAGES = ["/ui/room", "/ui/training", "/ui/models", "/ui/differences", "/ui/codes"]


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
    again = browser.get("/ui/room", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")

    desk.add_channel("more")

    assert browser.get("/ui/room", headers={"If-None-Match": first.headers["ETag"]}).status_code == 200


def test_a_channel_of_another_member_shows_no_query(desk: RoomFixture, browser: FlaskClient) -> None:
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
    assert 'id="CR-REQ-010"' in text(browser, "/ui/codes?q=foreign+page")
    assert 'value="&lt;b&gt;&#34;"' in text(browser, '/ui/codes?q=<b>"')
