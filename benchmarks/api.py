"""The API: its start, a page of many models, requests each second over HTTP, and what it adds to a job."""

from __future__ import annotations

import http.client
import json
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import quote, urlsplit

from benchmarks.harness import Row, pairs
from cleanroom_algo.local.resources.arns import TRAINED_MODEL
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.room import Room
from cleanroom_algo.local.setup.binding import prepare_binding
from cleanroom_algo.local.setup.quick_requests import request_for
from cleanroom_algo.local.ui.page import FAST_POLL

NAME = "api"
CLIENTS = 4
START_SECONDS, OVERHEAD_SECONDS, GETS = 1.0, 1.5, 500
PAGE = 100
UP = [sys.executable, "-m", "cleanroom_algo.cli", "up", "--port", "0", "--json"]
TRAIN = "#!/usr/bin/env python3\nprint('started', flush=True)\n"
BARE = """
import sys
from gunicorn.app.base import BaseApplication

class Bare(BaseApplication):
    def load_config(self):
        settings = {"bind": "127.0.0.1:0", "worker_class": "gthread", "threads": 16, "timeout": 0, "keepalive": 75,
                    "control_socket_disable": True, "loglevel": "error", "post_worker_init": self.ready}
        for name, value in settings.items():
            self.cfg.set(name, value)

    def ready(self, worker):
        print(worker.sockets[0].getsockname()[1], flush=True)

    def load(self):
        body = b"x" * int(sys.argv[1])
        def answer(environ, start_response):
            start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
            return [body]
        return answer

size, sys.argv[1:] = sys.argv[1], []
sys.argv.append(size)
Bare().run()
"""


def run(small: bool) -> Iterator[Row]:
    """Measure a room of many models.

    Args:
        small: few models and requests.
    """
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        home.mkdir()
        (home / "settings.toml").write_text("[quotas]\nrequests_per_second = false\n", encoding="utf-8")
        with Room(home) as room:
            model = trained_model(room, Path(folder))
            yield _overhead(room, Path(folder), 1 if small else 7)
            fill(room, model, 200 if small else 10_000)
            yield _page(room, model, 1 if small else 15)
        starts = []
        for turn in range(1 if small else 5):
            with served([sys.executable, "-m", "cleanroom_algo.cli", "up", "--port", "0", "--json"], home) as (
                url,
                start,
            ):
                starts.append(start)
                if turn == 0:
                    yield from _gets(url, model, 100 if small else 4000)
        yield Row(NAME, "start of `up`", "s", median(starts), START_SECONDS, "a second", "limit", 1.0, True)


def trained_model(room: Room, folder: Path) -> Record:
    """Return a model that a small program, which starts at once, has trained."""
    algorithm, data = folder / "algorithm", folder / "data"
    algorithm.mkdir()
    data.mkdir()
    (data / "part-0.csv").write_text("x,y\n1,2\n", encoding="utf-8")
    (algorithm / "train").write_text(TRAIN, encoding="utf-8")
    (algorithm / "train").chmod(0o755)
    created = room.call("CreateTrainedModel", request(room, folder))
    return room.wait(created["trainedModelArn"], None)


def request(room: Room, folder: Path) -> dict[str, Any]:
    """Return the parameters of the small training job; what it names is in the room."""
    channels = {"train": folder / "data"}
    parameters = request_for(room.workspace.settings.machine, folder / "algorithm", channels)
    _, bind = prepare_binding(room.caller, parameters, algorithm=str(folder / "algorithm"), channels=channels)
    bind()
    return parameters


def fill(room: Room, model: Record, count: int) -> None:
    """Put copies of a model's record into the store."""
    with room.store.transaction():
        for number in range(count):
            key = f"{model.key.rpartition('/')[0]}/00000000-0000-4000-8000-{number:012d}"
            room.store.insert(replace(model, key=key, name=f"model-{number}", seq=0))


def _overhead(room: Room, folder: Path, repeats: int) -> Row:
    parameters = request(room, folder)
    program = folder / "algorithm" / "train"

    def ours() -> None:
        heard = threading.Event()
        created = room.call("CreateTrainedModel", parameters)
        room.supervisor.listen(created["trainedModelArn"], None, _Ear(heard))
        assert heard.wait(30)

    def bare() -> None:
        subprocess.run([sys.executable, program], check=True, stdout=subprocess.DEVNULL)

    added, own = [], []
    for _ in range(repeats):
        taken, alone = pairs(ours, bare, 1)
        added.append(taken - alone)
        own.append(alone)
        while room.store.jobs():
            room.supervisor.wait_for_change(0.1)
    what = f"request to first line, above the program's {median(own):.2f} s"
    return Row(NAME, what, "s", median(added), OVERHEAD_SECONDS, "1.5 s", "limit", 1.0, True)


class _Ear:
    def __init__(self, heard: threading.Event) -> None:
        self._heard = heard

    def line(self, *_line: str) -> None:
        self._heard.set()

    def progress(self, progress: object) -> None:
        pass


def _page(room: Room, model: Record, repeats: int) -> Row:
    connection = sqlite3.connect(room.store.path)
    query = (  # the latest version of each model, the latest model first
        "SELECT * FROM (SELECT seq AS place, kind AS of_kind, key AS of_key FROM records AS own"
        " WHERE kind = ? AND membership = ?"
        " AND seq = (SELECT min(r.seq) FROM records AS r WHERE r.kind = own.kind AND r.key = own.key)"
        " ORDER BY seq DESC LIMIT ?"
        ") JOIN records ON seq = (SELECT max(r.seq) FROM records AS r WHERE r.kind = of_kind AND r.key = of_key)"
        " ORDER BY place DESC"
    )

    def ours() -> None:
        found = room.call("ListTrainedModels", {"membershipIdentifier": model.membership, "maxResults": PAGE})
        assert len(found["trainedModels"]) == PAGE

    def raw() -> None:
        assert len(connection.execute(query, (TRAINED_MODEL, model.membership, PAGE + 1)).fetchall()) == PAGE + 1

    taken, least = pairs(_often(ours), _often(raw), repeats)
    connection.close()
    what = f"a page of {PAGE} among {room.store.count(TRAINED_MODEL):,} models"
    return Row(NAME, what, "ms", taken * 100, least * 100, "SQLite's own query", "limit", 1 / 3, True)


def _often(work: Callable[[], None]) -> Callable[[], None]:
    def ten_times() -> None:
        for _ in range(10):
            work()

    return ten_times


def _gets(url: str, model: Record, count: int) -> Iterator[Row]:
    path = f"/memberships/{model.membership}/trained-models/{quote(model.key, safe='')}"
    rate, size = _rate(url, path, count)
    with served([sys.executable, "-c", BARE, str(size)]) as (bare, _start):
        limit, _ = _rate(bare, "/", count)
    what = f"Get over HTTP, {CLIENTS} clients"
    yield Row(NAME, what, "1/s", rate, min(limit, GETS), f"the lesser of {GETS} and gunicorn's own rate", "limit", 1.0)
    yield Row(NAME, what, "1/s", rate, limit, "gunicorn answering a constant", "limit", 0.1)
    with open_page(url):
        watched, _ = _rate(url, path, count)
    yield Row(NAME, f"{what}, with an open page", "1/s", watched, rate, "the same without a page", "limit", 0.9)


@contextmanager
def open_page(url: str) -> Iterator[None]:
    """Ask for the list of trainings as often as an open page of a running job does, until the block ends."""
    over = threading.Event()

    def look() -> None:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        tag = ""
        while not over.wait(FAST_POLL / 1000):
            connection.request("GET", "/ui/training", headers={"If-None-Match": tag})
            answer = connection.getresponse()
            answer.read()
            tag = answer.headers["ETag"]
        connection.close()

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _rate(url: str, path: str, count: int) -> tuple[float, int]:
    """Return requests a second over connections that stay open, and the size of an answer in bytes."""
    sizes: list[int] = []

    def client() -> None:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        for _ in range(count // CLIENTS):
            connection.request("GET", path)
            answer = connection.getresponse()
            sizes.append(len(answer.read()))
            assert answer.status == 200
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sizes) == count // CLIENTS * CLIENTS
    return len(sizes) / (time.perf_counter() - start), sizes[0]


@contextmanager
def served(command: list[str], home: Path | None = None) -> Iterator[tuple[str, float]]:
    """Run a server until the block ends; yield its URL and the seconds until it accepted requests.

    Args:
        command: prints its port alone, or JSON with its `endpoint`.
        home: state folder.
    """
    words = [*command, *(["--home", str(home)] if home else [])]
    start = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        text = process.stdout.readline()
        while text.startswith("{") and not text.endswith("}\n"):
            text += process.stdout.readline()
        taken = time.perf_counter() - start
        yield (json.loads(text)["endpoint"] if text.startswith("{") else f"http://127.0.0.1:{int(text)}"), taken
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()
