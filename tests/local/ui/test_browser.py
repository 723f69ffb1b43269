"""The page in a browser: what moves by itself, what a form does, and that nothing comes from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cleanroom_algo.local.room import Room
from tests.local.api.server import Up, up
from tests.local.support import AIRLINE, AIRLINE_ID, BUREAU, SETTINGS, RoomFixture

playwright = pytest.importorskip("playwright.sync_api")

CHROMIUM = Path("/usr/bin/chromium")
CANARY = "canary-of-a-row"
METRICS = f"""
print("{CANARY} <img src=http://127.0.0.1:1/x onerror=alert(1)>", flush=True)
print("training starts: epochs 900", flush=True)
for epoch in range(1, 900):
    print(f"[metric] epoch={{epoch}} epoch_train_loss={{1 / epoch}} validation_loss={{2 / epoch}}", flush=True)
    time.sleep(0.1)
"""
LOGS = [{"allowedAccountIds": [AIRLINE], "logType": "ALL", "filterPattern": "metric"}]

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="not installed: chromium")


@dataclass
class Tab:
    """A page of the browser.

    Attributes:
        page: of playwright.
        server: that it looks at.
        faults: what the console said, and requests to other hosts.
    """

    page: Any
    server: Up
    faults: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        self.page.goto(f"{self.server.url}{path}")

    def wait_for_points(self, more_than: int) -> int:
        """Return how many points the first curve has, when they are more than a number."""
        count = f"""() => {{
          const line = document.querySelector("#charts .scroll polyline");
          return line && line.points.numberOfItems > {more_than} ? line.points.numberOfItems : 0;
        }}"""
        return int(self.page.wait_for_function(count).json_value())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("page")
    with Room(folder / "home", SETTINGS) as room:
        desk = RoomFixture(room, folder, body=METRICS, privacy={"trainedModels": {"containerLogs": LOGS}})
        desk.configure(AIRLINE, AIRLINE_ID)
        desk.configure()
        request = desk.training(name="<b>growing</b>")
    with up(folder / "home") as running:
        running.client().create_trained_model(**request)
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    flags = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
    with (
        playwright.sync_playwright() as started,
        started.chromium.launch(executable_path=str(CHROMIUM), args=flags) as browser,
    ):
        yield browser


@pytest.fixture
def tab(chromium: Any, server: Up) -> Iterator[Tab]:
    page = chromium.new_page(viewport={"width": 360, "height": 800})
    tab = Tab(page, server)
    page.on("console", lambda message: tab.faults.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: tab.faults.append(str(error)))
    page.on("request", lambda sent: None if sent.url.startswith(server.url) else tab.faults.append(sent.url))
    yield tab
    page.close()
    assert tab.faults == []


def test_a_curve_grows_while_its_page_is_open_and_the_job_stops_on_request(tab: Tab) -> None:
    tab.open("/")
    tab.page.get_by_role("link", name="Training", exact=True).click()
    tab.page.get_by_role("link", name="<b>growing</b>").click()
    tab.wait_for_points(tab.wait_for_points(0))

    assert CANARY in tab.page.content()
    assert tab.page.locator("img").count() == 0
    tab.page.locator("#charts .scroll svg").first.hover()
    assert "epoch_train_loss" in tab.page.locator(".tip").inner_text()

    tab.page.get_by_role("button", name="Stop").click()
    tab.page.wait_for_selector("#state .status.inactive", timeout=60_000)


def test_a_wide_table_shows_that_it_goes_on(tab: Tab) -> None:
    tab.open("/ui/channels")
    table = tab.page.locator(".scroll")
    assert table.evaluate("each => each.scrollWidth > each.clientWidth")
    assert table.evaluate("each => getComputedStyle(each).backgroundAttachment") == "local, local, scroll, scroll"


def test_the_switch_of_members_hides_what_policies_hide(tab: Tab) -> None:
    tab.open("/ui/training")
    tab.page.get_by_role("link", name="<b>growing</b>").click()
    for account, seen in ((AIRLINE, "[metric] epoch=1"), (BUREAU, "no containerLogs policy names account")):
        tab.page.get_by_label("View as").select_option(account)
        tab.page.locator(".mask", has_text=account).wait_for()
        assert seen in tab.page.content()
        assert CANARY not in tab.page.content()


def test_the_content_of_a_channel_appears_and_its_objects_are_divided_anew(tab: Tab) -> None:
    tab.open("/ui/channels")
    tab.page.get_by_role("link", name="train", exact=True).click()
    tab.page.get_by_role("heading", name="First rows").wait_for()
    tab.page.get_by_label("Hosts", exact=True).select_option("3")
    tab.page.get_by_role("button", name="Show").click()
    tab.page.get_by_text("algo-3 would get no object").wait_for()

    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_view_is_wider_than_a_small_screen(tab: Tab, scheme: str) -> None:
    tab.page.emulate_media(color_scheme=scheme)
    tab.open("/ui/training")
    job = tab.page.get_by_role("link", name="<b>growing</b>").get_attribute("href")
    for path in ("/ui/room", "/ui/training", job, "/ui/models", job.replace("training", "models"), "/ui/codes"):
        tab.open(path)
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= 360, path
