"""Takes the picture of the page in README.md: `python -m docs.screenshot`, after `make demo`.

It trains the demo's model once more, for more epochs, and opens the page of this training in the system's Chromium.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from playwright.sync_api import sync_playwright

ROOT: Final = Path(__file__).parents[1]
DEMO: Final = ROOT / ".demo"
PICTURE: Final = ROOT / "docs" / "images" / "page.png"
MOST_BYTES: Final = 150_000  # each clone of the repository has it
CHROMIUM: Final = "/usr/bin/chromium"
COMMAND: Final = (sys.executable, "-m", "cleanroom_algo.cli")
HOME: Final = ("--home", str(DEMO / "room"))
SIZE: Final = {"width": 1280, "height": 622}  # the first row of charts
EPOCHS: Final = "8"


def main() -> None:
    """Train, look, and write the picture."""
    train()
    with served() as url:
        take(url)
    size = PICTURE.stat().st_size
    print(f"written: {PICTURE.relative_to(ROOT)}, {size:,} bytes")
    if size > MOST_BYTES:
        sys.exit(f"the picture is larger than {MOST_BYTES:,} bytes: choose a smaller SIZE")


def train() -> None:
    """Train as the demo does, for more epochs, whose curves show more."""
    request = json.loads((ROOT / "examples" / "flight_delay" / "request.json").read_text(encoding="utf-8"))
    request["hyperparameters"]["epochs"] = EPOCHS
    path = DEMO / "screenshot.json"
    path.write_text(json.dumps(request), encoding="utf-8")
    subprocess.run([*COMMAND, "train", "--request", str(path), "--quiet", *HOME], cwd=ROOT, check=True)


def take(url: str) -> None:
    """Write the picture of the latest training."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport=SIZE, color_scheme="light")  # type: ignore[arg-type]
        page.goto(f"{url}/ui/training")
        page.click("#jobs tbody th a")  # the latest comes first
        page.wait_for_selector("#charts svg")
        page.screenshot(path=PICTURE)
        browser.close()


@contextmanager
def served() -> Iterator[str]:
    """Serve the room of the demo on a free port, and yield the address."""
    command = [*COMMAND, "up", "--port", "0", "--json", *HOME]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["endpoint"]
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
