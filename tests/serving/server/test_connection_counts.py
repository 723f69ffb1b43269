"""Connections are shared out evenly among the processes of a server."""

from __future__ import annotations

import contextlib
import http.client
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from cleanroom_algo.serving.server.connection_counts import ConnectionCounts
from tests.serving.support import ALGORITHM, Container, RunningServer, Start, write_algorithm


def test_the_fewest_of_those_who_are_there() -> None:
    counts = ConnectionCounts(3)
    first, second = counts.claim(), counts.claim()
    assert first.fewest_elsewhere() is None
    second.publish(4)
    assert first.fewest_elsewhere() == 4
    assert second.fewest_elsewhere() is None
    third = counts.claim()
    third.publish(0)
    assert first.fewest_elsewhere() == 0
    counts.take_back(third)
    assert first.fewest_elsewhere() == 4
    assert counts.claim().number == third.number


def test_a_forked_process_is_seen_by_the_others() -> None:
    counts = ConnectionCounts(2)
    mine, its = counts.claim(), counts.claim()
    child = os.fork()
    if child == 0:
        its.publish(7)
        os._exit(0)
    os.waitpid(child, 0)
    assert mine.fewest_elsewhere() == 7


def test_connections_that_are_used_are_shared_out_evenly(container: Container, start_server: Start) -> None:
    server = start_server(container, CLEANROOM_ALGO_SERVE_WORKERS="2")
    with ExitStack() as stack:
        clients = [stack.enter_context(contextlib.closing(server.connect())) for _ in range(8)]
        deadline = time.monotonic() + 60
        while _connections(server) != [4, 4]:  # soon after the second process serves, too
            for client in clients:
                _ping(client)
            assert time.monotonic() < deadline


ONE_IS_LATE = ALGORITHM.replace(
    "        self.model.eval()",
    """        self.model.eval()

    def sample(self, rows):
        import pathlib, time
        folder = pathlib.Path(__file__).parent
        try:
            (folder / "first").touch(exist_ok=False)
            self.first = True
        except FileExistsError:
            pass
        while not getattr(self, "first", False) and not (folder / "go").exists():
            time.sleep(0.01)
        return super().sample(rows)""",
)


@pytest.mark.parametrize("rows", [1, 2000])
def test_connections_move_to_a_process_that_was_still_warming_up(
    container: Container, start_server: Start, tmp_path: Path, rows: int
) -> None:
    late = Container(container.root, write_algorithm(tmp_path, ONE_IS_LATE))
    server = start_server(late, CLEANROOM_ALGO_SERVE_WORKERS="2")
    body = b"AA,1.5,3\n" * rows
    with ExitStack() as stack:
        clients = [stack.enter_context(contextlib.closing(server.connect())) for _ in range(4)]
        assert len({_invoke(client, body) for client in clients}) == 1
        assert _connections(server) == [0, 4]
        (tmp_path / "go").touch()
        wanted = _invoke(clients[0], body)
        deadline = time.monotonic() + 60
        while _connections(server) != [2, 2]:
            assert {_invoke(client, body) for client in clients} == {wanted}
            assert time.monotonic() < deadline
        sockets = [client.sock for client in clients]
        for _ in range(100):  # and stay there
            assert {_invoke(client, body) for client in clients} == {wanted}
        assert [client.sock for client in clients] == sockets


def test_no_connection_is_left_to_a_process_that_is_no_more(container: Container, start_server: Start) -> None:
    server = start_server(container, CLEANROOM_ALGO_SERVE_WORKERS="2")
    killed = server.workers()[0]
    with _pinging(server), _pinging(server):
        psutil.Process(killed).kill()
        for _ in range(4):
            with _pinging(server):
                pass


def _invoke(client: http.client.HTTPConnection, body: bytes) -> bytes:
    client.request("POST", "/invocations", body, {"Content-Type": "text/csv"})
    response = client.getresponse()
    answer = response.read()
    assert response.status == 200, answer
    return answer


@contextmanager
def _pinging(server: RunningServer) -> Iterator[None]:
    with contextlib.closing(server.connect()) as connection:
        _ping(connection)
        yield


def _ping(client: http.client.HTTPConnection) -> None:
    client.request("GET", "/ping")
    assert client.getresponse().read() == b""


def _connections(server: RunningServer) -> list[int]:
    def of(worker: int) -> int:
        states = [c.status for c in psutil.Process(worker).net_connections("tcp") if c.laddr.port == server.port]
        return states.count(psutil.CONN_ESTABLISHED)

    return sorted(map(of, server.workers()))
