"""Connections are shared out evenly among the processes of a server."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psutil

from cleanroom_algo.serving.shares import Shares
from tests.serving.support import Container, RunningServer, Start


def test_the_fewest_of_those_who_are_there() -> None:
    shares = Shares(3)
    first, second = shares.claim(), shares.claim()
    assert first.fewest_elsewhere() is None
    second.publish(4)
    assert first.fewest_elsewhere() == 4
    assert second.fewest_elsewhere() is None
    third = shares.claim()
    third.publish(0)
    assert first.fewest_elsewhere() == 0
    shares.take_back(third)
    assert first.fewest_elsewhere() == 4
    assert shares.claim().place == third.place


def test_a_forked_process_is_seen_by_the_others() -> None:
    shares = Shares(2)
    mine, its = shares.claim(), shares.claim()
    child = os.fork()
    if child == 0:
        its.publish(7)
        os._exit(0)
    os.waitpid(child, 0)
    assert mine.fewest_elsewhere() == 7


def test_connections_that_stay_are_shared_out_evenly(container: Container, start_server: Start) -> None:
    server = start_server(container, CLEANROOM_ALGO_SERVE_WORKERS="2")
    with ExitStack() as stack:
        fewer, more = 0, 0
        deadline = time.monotonic() + 60
        while not fewer and time.monotonic() < deadline:  # until the second process serves, too
            time.sleep(0.02)
            stack.enter_context(_pinging(server))
            fewer, more = _connections(server)
        for _ in range(more - fewer + 4):
            stack.enter_context(_pinging(server))
        assert _connections(server) == [more + 2, more + 2]


def test_no_connection_is_left_to_a_process_that_is_no_more(container: Container, start_server: Start) -> None:
    server = start_server(container, CLEANROOM_ALGO_SERVE_WORKERS="2")
    killed = server.workers()[0]
    with _pinging(server), _pinging(server):
        psutil.Process(killed).kill()
        for _ in range(4):
            with _pinging(server):
                pass


@contextmanager
def _pinging(server: RunningServer) -> Iterator[None]:
    with contextlib.closing(server.connect()) as connection:
        connection.request("GET", "/ping")
        assert connection.getresponse().read() == b""
        yield


def _connections(server: RunningServer) -> list[int]:
    def of(worker: int) -> int:
        states = [c.status for c in psutil.Process(worker).net_connections("tcp") if c.laddr.port == server.port]
        return states.count(psutil.CONN_ESTABLISHED)

    return sorted(map(of, server.workers()))
