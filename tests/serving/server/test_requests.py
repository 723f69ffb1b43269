"""Requests that break off, are too large, or are none."""

from __future__ import annotations

import contextlib
import json
import socket

import pytest

from tests.serving.support import (
    GOOD,
    RunningServer,
    dial,
    head,
    read_answer,
    table,
)

# --- bodies that are not whole ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [0, 1, 9, 14])
def test_a_body_shorter_than_declared_is_refused(server: RunningServer, sent: int) -> None:
    with dial(server) as connection:
        connection.sendall(head(18) + (GOOD * 2)[:sent])
        connection.shutdown(socket.SHUT_WR)
        status, body = read_answer(connection)
    assert status == 400
    assert json.loads(body)["code"] == "CR-SRV-002"


@pytest.mark.parametrize(
    "broken",
    [
        b"9\r\n" + GOOD,
        b"9\r\n" + GOOD + b"\r\n",
        b"zz\r\n",
        b"-9\r\n" + GOOD,
        b"9\n" + GOOD + b"\n0\n\n",
        b"9\r\n" + GOOD + b"0\r\n\r\n",
        b"9\r\n" + GOOD + b"\r\n0\r\n",
    ],
)
def test_a_chunked_body_that_breaks_off_is_refused(server: RunningServer, broken: bytes) -> None:
    with dial(server) as connection:
        connection.sendall(head(None) + broken)
        connection.shutdown(socket.SHUT_WR)
        status, body = read_answer(connection)
    assert status == 400
    assert json.loads(body)["code"] == "CR-SRV-002"


def test_a_chunked_body_in_odd_pieces(server: RunningServer) -> None:
    body = table(50).write_csv().encode()
    wanted = server.invoke(body)
    with dial(server) as connection:
        connection.sendall(head(None))
        for start in range(0, len(body), 7):
            piece = body[start : start + 7]
            connection.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        assert read_answer(connection) == (200, wanted)


def test_a_chunked_body_far_over_the_limit_of_others(server: RunningServer) -> None:
    rows = table(20_000).write_csv(include_header=False).encode()
    times = (120 << 20) // len(rows) + 1
    with dial(server) as connection:
        connection.sendall(head(None))
        for _ in range(times):
            connection.sendall(f"{len(rows):x}\r\n".encode() + rows + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        status, answer = read_answer(connection)
    assert status == 200
    assert answer.count(b"\n") + 1 == times * 20_000


def test_a_declared_length_over_the_limit_is_refused_before_it_is_read(server: RunningServer) -> None:
    with dial(server) as connection:
        connection.sendall(head(101 << 20))
        connection.shutdown(socket.SHUT_WR)
        status, body = read_answer(connection)
    assert status == 413
    assert json.loads(body)["code"] == "CR-SRV-001"


def test_a_record_over_its_limit_is_told_by_that_limit(server: RunningServer) -> None:
    with dial(server) as connection:
        connection.sendall(head(None))
        piece = b"x" * (1 << 20)
        with contextlib.suppress(OSError):
            for _ in range(66):
                connection.sendall(b"100000\r\n" + piece + b"\r\n")
            connection.sendall(b"0\r\n\r\n")
        status, body = read_answer(connection)
    assert (status, json.loads(body)["code"]) == (413, "CR-SRV-001")
    assert "64 MiB" in json.loads(body)["expected"]


def test_a_refused_client_that_sends_all_first_gets_its_answer(server: RunningServer) -> None:
    status, body, _ = server.request("POST", "/invocations", bytes(110 << 20), Content_Type="text/csv")
    assert status == 413, body


def test_a_body_without_lines_is_bounded_when_chunked(server: RunningServer) -> None:
    extra = "Accept: text/csv\r\n"
    with dial(server) as connection:
        connection.sendall(head(None, extra).replace(b"text/csv\r\nT", b"application/json\r\nT"))
        piece = b" " * (1 << 20)
        with contextlib.suppress(OSError):
            for _ in range(102):
                connection.sendall(b"100000\r\n" + piece + b"\r\n")
            connection.sendall(b"0\r\n\r\n")
        assert read_answer(connection)[0] == 413


def test_expect_continue(server: RunningServer) -> None:
    with dial(server) as connection:
        connection.sendall(head(len(GOOD), "Expect: 100-continue\r\n"))
        assert connection.recv(100).startswith(b"HTTP/1.1 100")
        connection.sendall(GOOD)
        assert read_answer(connection)[0] == 200


# --- what is not a request --------------------------------------------------------------------------------------------


def read_whole(server: RunningServer, sent: bytes) -> bytes:
    with dial(server) as connection, connection.makefile("rb") as stream:
        connection.sendall(sent)
        return stream.read()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"SECRET\r\n\r\n", 400),
        (b"GET /ping HTTP/1.1\nHost: SECRET\n\n", 400),
        (b"GET /ping HTTP/1.1\r\nHost: SECRET\nX: y\r\n\r\n", 400),
        (b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\nSECRET\n\n", 400),
        (head(9) + GOOD + b"SECRET,1.5,3\r\n\r\n", 400),
        (b"POST /invocations HTTP/1.1\r\nContent-Length: SECRET\r\n\r\n", 400),
        (b"POST /invocations HTTP/1.1\r\nContent-Length: 9\r\nContent-Length: 8\r\n\r\n" + GOOD, 400),
        (b"POST /invocations HTTP/1.1\r\nTransfer-Encoding: SECRET\r\n\r\n", 501),
        (b"POST /invocations HTTP/1.1\r\nExpect: SECRET\r\n\r\n", 417),
        (b"GET /ping?" + b"SECRET" * 1000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET /ping HTTP/1.1\r\nX: " + b"SECRET" * 2000 + b"\r\n\r\n", 431),
    ],
)
def test_what_is_no_request_is_refused_in_our_form_and_quoted_nowhere(
    server: RunningServer, sent: bytes, status: int
) -> None:
    answer = read_whole(server, sent)
    answered, _, body = answer.rpartition(b"\r\n\r\n")
    assert b"HTTP/1.1 %d " % status in answered
    assert json.loads(body)["code"] == "CR-SRV-015"
    assert b"SECRET" not in answer
    assert "SECRET" not in server.log.read_text()


def test_further_headers_change_nothing(server: RunningServer) -> None:
    assert server.request("GET", "/ping", SCRIPT_NAME="/ping", X_Forwarded_Proto="https")[0] == 200
    sent = b"GET /ping HTTP/1.1\r\nSCRIPT_NAME: /ping\r\nPATH_INFO: /x\r\nConnection: close\r\n\r\n"
    assert read_whole(server, sent).startswith(b"HTTP/1.1 200 ")
