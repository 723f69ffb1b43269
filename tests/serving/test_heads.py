"""Heads that have come before: they are answered as the first time, and nothing else is taken for one."""

from __future__ import annotations

import http.client
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import BinaryIO

import pytest
from gunicorn.config import Config
from gunicorn.http.parser import RequestParser
from hypothesis import given
from hypothesis import strategies as st

from cleanroom_algo.serving.heads import Heads
from cleanroom_algo.serving.server.invocation import Reply
from cleanroom_algo.serving.server.sizing import WHOLE_BYTES
from tests.serving.support import Container, RunningServer, Start

LINE = b"POST /invocations HTTP/1.1\r\n"
USUAL = b"Host: x\r\nContent-Type: text/csv\r\nAccept: */*\r\nContent-Length: %d\r\n"
GOOD = b"AA,1.5,3\n"
BAD = b"AA,xxx,3\n"
WITH_BODY = [status for status in HTTPStatus if status >= 200 and status not in {204, 205, 304}]


def whole(body: bytes, further: bytes = b"") -> bytes:
    return LINE + USUAL % len(body) + further + b"\r\n" + body


def heads_after(*requests: bytes) -> Heads:
    """Return what has seen these requests, each parsed by gunicorn."""
    heads = Heads()
    for received in requests:
        heads.remember(received, next(RequestParser(Config(), iter([received]), ("127.0.0.1", 1))))
    return heads


def test_a_head_is_known_once_it_was_parsed() -> None:
    assert Heads().find(whole(GOOD)) is None
    found = heads_after(whole(GOOD)).find(whole(BAD))
    assert found is not None
    assert found.body == BAD
    assert found.is_whole
    assert found.environ("stream", other=1) == {
        "HTTP_HOST": "x",
        "CONTENT_TYPE": "text/csv",
        "HTTP_ACCEPT": "*/*",
        "CONTENT_LENGTH": str(len(GOOD)),
        "wsgi.input": "stream",
        "other": 1,
    }


@given(st.binary(max_size=300), st.integers(0, 300), st.sampled_from([b"Content-Length: ", b"content-length:"]))
def test_heads_that_differ_in_the_length_of_their_bodies_are_one(body: bytes, cut: int, name: bytes) -> None:
    def with_name(request: bytes) -> bytes:
        return request.replace(b"Content-Length: ", name)

    arrived = with_name(whole(body))[: len(with_name(whole(body))) - min(cut, len(body))]
    found = heads_after(with_name(whole(GOOD))).find(arrived)
    assert found is not None
    assert found.length == len(body)
    assert body.startswith(found.body)
    assert found.is_whole == (not min(cut, len(body)))
    assert found.environ(None)["CONTENT_LENGTH"] == str(len(body))


@pytest.mark.parametrize(
    "received",
    [
        whole(GOOD) + b"P",
        LINE + USUAL % (WHOLE_BYTES + 1) + b"\r\n",
        whole(GOOD) * 2,
        whole(GOOD).replace(b"text/csv", b"text/CSV"),
        whole(GOOD)[:-12],
        b"",
    ],
    ids=["followed", "too long", "twice", "another head", "head cut short", "nothing"],
)
def test_only_a_request_with_the_very_head_is_found(received: bytes) -> None:
    assert heads_after(whole(GOOD)).find(received) is None


@pytest.mark.parametrize(
    "received",
    [
        whole(GOOD, b"Connection: close\r\n"),
        whole(GOOD, b"Expect: 100-continue\r\n"),
        whole(GOOD, b"Accept: text/csv\r\n"),
        whole(GOOD, b"X: " + b"x" * 5000 + b"\r\n"),
        whole(GOOD).replace(b"HTTP/1.1", b"HTTP/1.0"),
        whole(GOOD).replace(b"/invocations", b"/ping"),
        whole(GOOD).replace(b"POST", b"PUT"),
        LINE + b"Transfer-Encoding: chunked\r\n\r\n9\r\n" + GOOD + b"\r\n0\r\n\r\n",
    ],
    ids=["close", "expect", "repeated header", "long", "HTTP/1.0", "another path", "PUT", "chunked"],
)
def test_a_head_that_asks_for_more_is_not_remembered(received: bytes) -> None:
    assert heads_after(received).find(received) is None


def test_so_many_heads_as_there_may_be_take_bounded_memory() -> None:
    requests = [whole(GOOD, b"X-Number: %d\r\n" % number) for number in range(1000)]
    heads = heads_after(*requests)
    known = [request for request in requests if heads.find(request)]
    assert requests[-1] in known
    assert len(known) <= 256


@given(st.binary(max_size=200), st.sampled_from(WITH_BODY), st.booleans())
def test_an_answer_is_a_message_of_http(body: bytes, status: HTTPStatus, last: bool) -> None:
    sender, receiver = socket.socketpair()
    with sender, receiver:
        sender.sendall(Reply.of(status, "text/csv", body, ("Retry-After", "1")).message(last=last))
        sender.shutdown(socket.SHUT_WR)
        response = http.client.HTTPResponse(receiver, method="POST")
        response.begin()
        assert response.status == status
        assert response.read() == body
        assert response.will_close is last
        assert response.getheader("Retry-After") == "1"


@contextmanager
def dialled(server: RunningServer) -> Iterator[tuple[socket.socket, BinaryIO]]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection.makefile("rb") as stream:
            yield connection, stream


def answer(stream: BinaryIO) -> bytes:
    """Return the next answer on a connection, without the time."""
    lines = list(iter(stream.readline, b"\r\n"))
    length = next(int(line[15:]) for line in lines if line.lower().startswith(b"content-length:"))
    return re.sub(rb"Date: [^\r]*", b"", b"".join(lines)) + b"\r\n" + stream.read(length)


@pytest.mark.parametrize("body", [GOOD, BAD, b"carrier,distance,hour\n" + GOOD * 3])
def test_a_known_head_is_answered_as_a_new_one(server: RunningServer, body: bytes) -> None:
    request = whole(body, b"X-Of: " + body[:2] + b"\r\n")
    answered = []
    for _ in range(3):  # on whichever process
        with dialled(server) as (connection, stream):
            for _ in range(4):
                connection.sendall(request)
                answered.append(answer(stream))
    assert len(set(answered)) == 1


@pytest.mark.parametrize("cut", [5, len(whole(GOOD)) - len(GOOD), len(whole(GOOD)) - 3])
def test_a_known_head_in_pieces_and_before_another(server: RunningServer, cut: int) -> None:
    request = whole(GOOD)
    with dialled(server) as (connection, stream):
        connection.sendall(request)
        first = answer(stream)
        connection.sendall(request[:cut])
        connection.sendall(request[cut:] + request)
        assert [answer(stream), answer(stream)] == [first, first]
        connection.sendall(request)
        assert answer(stream) == first


@pytest.mark.parametrize("rows", [1, 30, 3000, 30_000])
def test_a_known_head_and_a_body_that_is_still_on_its_way(server: RunningServer, rows: int) -> None:
    request = whole(GOOD * rows)
    wanted = server.invoke(GOOD * rows)
    with dialled(server) as (connection, stream):
        connection.sendall(whole(GOOD))
        answer(stream)
        for cut in (len(whole(b"")) + 5, len(request) // 2, len(request)):
            connection.sendall(request[:cut])
            connection.sendall(request[cut:])
            assert answer(stream).endswith(b"\r\n\r\n" + wanted)
        connection.sendall(request[:-1])
        connection.shutdown(socket.SHUT_WR)
        refused = answer(stream)
        assert f"{len(GOOD) * rows - 1} of {len(GOOD) * rows} bytes arrived".encode() in refused
        assert b"Connection: close\r\n" in refused
        assert stream.read() == b""


def test_a_known_head_whose_body_is_refused_unread(server: RunningServer) -> None:
    request = whole(GOOD * 30_000).replace(b"text/csv", b"text/html")
    with dialled(server) as (connection, stream):
        for _ in range(4):
            connection.sendall(request)
            assert answer(stream).startswith(b"HTTP/1.1 415 ")
        connection.sendall(whole(GOOD))
        assert answer(stream).startswith(b"HTTP/1.1 200 ")


def test_a_server_that_ends_says_so_to_those_it_knows(container: Container, start_server: Start) -> None:
    server = start_server(container, CLEANROOM_ALGO_SERVE_WORKERS="1")
    with dialled(server) as (connection, stream):
        for _ in range(2):
            connection.sendall(whole(GOOD))
            assert b"Connection: keep-alive\r\n" in answer(stream)
        server.process.terminate()
        last = b""
        while b"Connection: close\r\n" not in last:
            connection.sendall(whole(GOOD))
            last = answer(stream)
        assert stream.read() == b""
    assert server.process.wait(30) == 0
