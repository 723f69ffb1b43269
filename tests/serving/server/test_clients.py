"""Clients that are slow, go away, or are many."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest

from tests.serving.support import (
    GOOD,
    RunningServer,
    dial,
    head,
    table,
)


def test_idle_and_half_open_clients_do_not_keep_ping_waiting(server: RunningServer) -> None:
    with contextlib.ExitStack() as stack:
        for number in range(120):
            connection = stack.enter_context(dial(server))
            if number % 2:
                connection.sendall(b"POST /invocations HTTP/1.1\r\nHost:")
        start = time.monotonic()
        assert server.request("GET", "/ping")[0] == 200
        assert time.monotonic() - start < 2


def test_slow_bodies_over_the_queue_do_not_keep_ping_waiting(slow: RunningServer) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(30):  # three are held, the others refused while their bodies are on the way
            stack.enter_context(dial(slow)).sendall(head(1000) + GOOD)
        for _ in range(10):
            start = time.monotonic()
            assert slow.request("GET", "/ping")[0] == 200
            assert time.monotonic() - start < 2
    assert slow.stop() == 0


@pytest.mark.parametrize("sent", [b"GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"no request\r\n\r\n"])
def test_clients_that_do_not_close_keep_nobody_waiting(slow: RunningServer, sent: bytes) -> None:
    with contextlib.ExitStack() as stack:
        # Were each waited for in turn, for gunicorn's 2 s, an answer would take longer than a client waits here.
        clients = [stack.enter_context(dial(slow)) for _ in range(80)]
        for client in clients:
            client.sendall(sent)
        for client in clients:
            answer = client.makefile("rb").read()  # to the end, which the server has said
            assert answer.startswith(b"HTTP/1.1 ")
        assert slow.request("GET", "/ping")[0] == 200
    assert slow.stop() == 0


def test_a_refused_body_does_not_cost_the_connection_of_another_request(slow: RunningServer) -> None:
    with dial(slow) as connection, connection.makefile("rb") as stream:
        connection.sendall(head(5 << 20).replace(b"text/csv", b"image/png") + GOOD)
        answer = stream.read()
    assert b"HTTP/1.1 415 " in answer
    assert b"Connection: close" in answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert slow.stop() == 0


def test_a_client_that_goes_away_leaves_nothing(slow: RunningServer) -> None:
    for _ in range(3):
        with dial(slow) as connection:
            connection.sendall(head(1000) + GOOD)
        with dial(slow) as connection:
            connection.sendall(head(len(GOOD)) + GOOD.replace(b"3", b"77"))
    # All places become free again: as many requests at once as there are places succeed.
    while {status for status, _ in _at_once(slow, [GOOD] * 3)} != {200}:
        time.sleep(0.1)
    assert slow.stop() == 0


def test_a_client_that_does_not_read_keeps_nobody_waiting_and_loses_nothing(slow: RunningServer) -> None:
    lines = table(120).write_csv(include_header=False).encode()
    request = head(len(lines), "Accept: application/jsonlines\r\n") + lines
    wanted, wanted_elsewhere = slow.invoke(lines, Accept="application/jsonlines"), slow.invoke(GOOD)
    whole = 0
    with _dial_narrow(slow) as lazy, contextlib.closing(slow.connect()) as other:
        while _sends_at_once(lazy, request):  # until nothing more fits on the way to the server and back
            whole += 1
            start = time.monotonic()
            other.request("POST", "/invocations", GOOD, {"Content-Type": "text/csv"})
            assert other.getresponse().read() == wanted_elsewhere
            assert time.monotonic() - start < 10
        lazy.settimeout(60)
        answers = b""
        while answers.count(wanted) < whole:
            answers += lazy.recv(1 << 20)
        assert answers.count(b"HTTP/1.1 ") == answers.count(b"HTTP/1.1 200 OK") == whole
    assert slow.stop() == 0


def _dial_narrow(server: RunningServer) -> socket.socket:
    """Connect in such a way that little fits on the way."""
    connection = socket.socket()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    for buffer in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        connection.setsockopt(socket.SOL_SOCKET, buffer, 4096)
    connection.connect(("127.0.0.1", server.port))
    connection.setblocking(False)
    return connection


def _sends_at_once(connection: socket.socket, message: bytes) -> bool:
    try:
        return connection.send(message) == len(message)
    except BlockingIOError:
        return False


def test_many_tiny_requests_on_few_connections(server: RunningServer) -> None:
    lines = table(1200).write_csv(include_header=False).encode().splitlines(keepends=True)
    wanted = server.invoke(b"".join(lines)).split(b"\n")
    answers: dict[int, bytes] = {}

    def send(first: int) -> None:
        with contextlib.closing(server.connect()) as connection:
            for number in range(first, len(lines), 8):
                connection.request("POST", "/invocations", lines[number], {"Content-Type": "text/csv"})
                answers[number] = connection.getresponse().read()

    threads = [threading.Thread(target=send, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answers[number] for number in range(len(lines))] == wanted  # each its own, bit for bit


def _at_once(server: RunningServer, bodies: list[bytes]) -> list[tuple[int, dict[str, str]]]:
    answers: list[tuple[int, dict[str, str]]] = []

    def send(body: bytes) -> None:
        status, _, headers = server.request("POST", "/invocations", body, Content_Type="text/csv")
        answers.append((status, headers))

    threads = [threading.Thread(target=send, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_a_full_queue_answers_503_and_says_when_to_come_again(slow: RunningServer) -> None:
    answers = _at_once(slow, [GOOD.replace(b"3", b"77")] * 12)
    statuses = sorted(status for status, _ in answers)
    assert set(statuses) == {200, 503}
    assert all(headers["retry-after"].isdigit() for status, headers in answers if status == 503)
    assert slow.request("GET", "/ping")[0] == 200
    assert slow.stop() == 0
