"""The server at which ranks and launchers meet, over real sockets."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest

from cleanroom_algo.data import exchange
from cleanroom_algo.data.exchange import Exchange, connect
from cleanroom_algo.errors import RankLostError, RendezvousError
from cleanroom_algo.training.process.exchange_server import Cause, ExchangeServer
from cleanroom_algo.training.process.host_link import HostLink

RANKS = 3


class Host:
    """A launcher, and whether it was told to act."""

    def __init__(self, server: ExchangeServer, name: str) -> None:
        self.told = threading.Event()
        self.link = HostLink(("127.0.0.1", server.port), host=name, first_host="algo-1", act=self.told.set)


@pytest.fixture
def server() -> Iterator[ExchangeServer]:
    server = ExchangeServer("127.0.0.1", 0, ranks=RANKS)
    server.start()
    yield server
    server.close(failed=True)  # waits until all hosts have left


@pytest.fixture
def host(server: ExchangeServer) -> Iterator[Callable[[str], Host]]:
    with contextlib.ExitStack() as left:

        def start(name: str) -> Host:
            host = Host(server, name)
            left.callback(host.link.leave)
            return host

        yield start


def rank(server: ExchangeServer, number: int) -> Exchange:
    return Exchange(("127.0.0.1", server.port), number)


def test_every_rank_gets_the_values_of_all_in_their_order(server: ExchangeServer) -> None:
    large = np.arange(300_000)

    def work(number: int) -> list[list[tuple[int, int, int]]]:
        with closing(rank(server, number)) as own:
            turns = [own.gather((number, turn, large[: number * 100_000]), RANKS) for turn in range(50)]
        return [[(sender, turn, len(array)) for sender, turn, array in values] for values in turns]

    with ThreadPoolExecutor(RANKS) as pool:
        for turns in pool.map(work, range(RANKS)):
            for turn, values in enumerate(turns):
                assert values == [(number, turn, number * 100_000) for number in range(RANKS)]


@pytest.mark.parametrize(("turns", "error"), [(0, RendezvousError), (1, RankLostError)])
def test_a_rank_that_is_gone_ends_the_wait_of_the_others(
    server: ExchangeServer, turns: int, error: type[Exception]
) -> None:
    ranks = [rank(server, number) for number in range(RANKS)]
    with ThreadPoolExecutor(RANKS) as pool, contextlib.ExitStack() as closed:
        for each in ranks:
            closed.callback(each.close)
        for _ in range(turns):
            list(pool.map(lambda each: each.gather(0, RANKS), ranks))
        waiting = [pool.submit(each.gather, 0, RANKS) for each in ranks[:-1]]
        ranks[-1].close()
        for future in waiting:
            with pytest.raises(error):
                future.result(30)


def test_a_rank_that_never_comes_ends_the_wait_of_the_others(
    server: ExchangeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cleanroom_algo.training.process.exchange_server.MEETING_SECONDS", 0.2)
    with closing(rank(server, 0)) as own, pytest.raises(RendezvousError, match="not every host"):
        own.gather(0, RANKS)


def test_a_server_that_never_comes_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "MEETING_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(RendezvousError, match=f"127.0.0.1:{port}"):
        connect(("127.0.0.1", port), {"rank": 0})


def test_the_first_cause_is_the_cause_of_all_hosts(host: Callable[[str], Host]) -> None:
    first, second = host("algo-1"), host("algo-2")
    assert first.link.publish(Cause("the first", 4)) == Cause("the first", 4)
    assert second.told.wait(30)
    assert second.link.publish(Cause("the second", 5)) == Cause("the first", 4)
    late = host("algo-3")
    assert late.link.cause(30) == Cause("the first", 4)


def test_a_host_that_is_gone_without_a_word_is_a_cause(server: ExchangeServer, host: Callable[[str], Host]) -> None:
    first = host("algo-1")
    connect(("127.0.0.1", server.port), {"host": "algo-2"}).close()
    cause = first.link.cause(30)
    assert cause is not None
    assert "algo-2 was lost" in cause.text


def test_hosts_that_have_left_are_no_cause(server: ExchangeServer, host: Callable[[str], Host]) -> None:
    hosts = [host("algo-1"), host("algo-2")]
    with socket.create_connection(("127.0.0.1", server.port)) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
    hosts[0].link.leave()
    assert hosts[1].link.cause(0.2) is None
    server.close(failed=False)
    assert hosts[1].link.cause(0.2) is None
    assert not any(each.told.is_set() for each in hosts)


def test_the_end_of_the_first_host_is_a_cause_where_it_did_not_leave() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        told = threading.Event()
        link = HostLink(listening.getsockname(), host="algo-2", first_host="algo-1", act=told.set)
        connection, _ = listening.accept()
        connection.close()
        assert told.wait(30)
        cause = link.cause(0)
        link.leave()
    assert cause is not None
    assert "algo-1 was lost" in cause.text
