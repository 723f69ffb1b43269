"""What is used of gunicorn beyond its documented interface is still there, and used in one module alone."""

from __future__ import annotations

import ast
import inspect
import socket
import threading
import tomllib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from gunicorn.arbiter import Arbiter
from gunicorn.http.body import Body, ChunkedReader, LengthReader
from gunicorn.http.message import Request
from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.gthread import TConn, ThreadWorker

import cleanroom_algo
from cleanroom_algo.serving.server import gunicorn_internals

ROOT = Path(__file__).parents[3]
DOCUMENTED = {"gunicorn.app.base", "gunicorn.glogging", "gunicorn.workers.base"}  # applications, loggers, workers


def test_the_installed_version_is_the_one_that_the_module_was_written_for() -> None:
    assert version("gunicorn").split(".")[0] == "27"
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert "gunicorn>=27,<28" in dependencies


def test_no_other_module_looks_into_gunicorn() -> None:
    found = {}
    for path in Path(cleanroom_algo.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            used = {name for name in names if name.split(".")[0] == "gunicorn"} - DOCUMENTED
            if used and path != Path(gunicorn_internals.__file__):
                found[path.name] = used
    assert found == {}


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        (ThreadWorker.init_process, ["self"]),
        (ThreadWorker.init_signals, ["self"]),
        (ThreadWorker.accept, ["self", "listener"]),
        (ThreadWorker.on_client_socket_readable, ["self", "conn", "client"]),
        (ThreadWorker.on_pending_socket_readable, ["self", "conn", "client"]),
        (ThreadWorker.murder_pending, ["self"]),
        (ThreadWorker.enqueue_req, ["self", "conn"]),
        (ThreadWorker.finish_request, ["self", "conn", "fs"]),
        (ThreadWorker.handle, ["self", "conn"]),
        (ThreadWorker.handle_request, ["self", "req", "conn"]),
        (ThreadWorker.handle_error, ["self", "req", "client", "addr", "exc"]),
        (TConn.__init__, ["self", "cfg", "sock", "client", "server"]),
        (TConn.init, ["self"]),
        (TConn.close, ["self", "graceful"]),
        (SocketUnreader.take_buffered, ["self"]),
        (SocketUnreader.unread, ["self", "data"]),
        (Body.__init__, ["self", "reader"]),
        (LengthReader.__init__, ["self", "unreader", "length"]),
        (ChunkedReader.__init__, ["self", "req", "unreader"]),
        (Request.should_close, ["self"]),
        (Request.force_close, ["self"]),
        (Arbiter.reap_workers, ["self"]),
        (Arbiter.spawn_worker, ["self"]),
        (Arbiter.handle_hup, ["self"]),
        (Arbiter.handle_term, ["self"]),
        (Arbiter.stop, ["self", "graceful"]),
    ],
    ids=lambda value: getattr(value, "__qualname__", ""),
)
def test_what_is_overridden_or_called_takes_what_it_took(method: Callable[..., Any], parameters: list[str]) -> None:
    assert list(inspect.signature(method).parameters) == parameters


def attributes(kind: type) -> set[str]:
    """Return the attributes that the methods of a class read or set on themselves."""
    tree = ast.parse(inspect.getsource(kind))
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
    }


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (ThreadWorker, {"poller", "keepalived_conns", "pending_conns", "nr_conns", "alive", "cfg"}),
        (TConn, {"sock", "client", "parser", "timeout", "data_ready"}),
        (SocketUnreader, {"sock"}),
        (Body, {"reader"}),
        (LengthReader, {"length"}),
        (Arbiter, {"WORKERS"}),
    ],
)
def test_what_is_read_and_set_has_the_names_it_had(kind: type, names: set[str]) -> None:
    assert names <= attributes(kind)


def read_on(timed: gunicorn_internals.TimedSocket) -> None:
    while timed.recv(10):
        pass


def test_reading_ends_at_its_deadline_however_little_comes_at_a_time() -> None:
    client, server = socket.socketpair()
    ended = threading.Event()

    def trickle() -> None:
        while not ended.wait(0.02):
            client.send(b"x")

    sender = threading.Thread(target=trickle)
    with client, server:
        sender.start()
        timed = gunicorn_internals.TimedSocket(server)
        timed.settimeout(0.3)
        try:
            with pytest.raises(TimeoutError):
                read_on(timed)
            timed.settimeout(None)
            assert timed.recv(10)
        finally:
            ended.set()
            sender.join()
