"""Reading a body of known length from a real socket: whole, cut short, or too slow."""

from __future__ import annotations

import io
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleanroom_algo.errors import BodyIncompleteError, BodyTimeoutError
from cleanroom_algo.serving.scoring.body import read_chunks
from cleanroom_algo.serving.server import sized_body
from cleanroom_algo.serving.server.sized_body import SizedBody

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

SECONDS = 0.3


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Yield a client and the server's end, which waits a moment where it would wait a minute."""
    monkeypatch.setattr(sized_body, "READ_SECONDS", SECONDS)
    monkeypatch.setattr(sized_body, "READ_BYTES", 1000)
    client, server = socket.socketpair()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, int(SECONDS * 1e6)))
    with client, server:
        yield client, server


def body_of(server: socket.socket, length: int, begun: bytes = b"") -> bytes:
    stream = io.BufferedReader(SizedBody(server, begun, length))
    return b"".join(read_chunks({"wsgi.input": stream, "CONTENT_LENGTH": str(length)}, limit=None))


@given(body=st.binary(min_size=1, max_size=40_000), begun=st.floats(0, 1), further=st.binary(max_size=20))
def test_it_is_all_of_it_and_nothing_of_what_follows(body: bytes, begun: float, further: bytes) -> None:
    cut = int(begun * len(body))
    client, server = socket.socketpair()
    with client, server:
        client.sendall(body[cut:] + further)
        assert body_of(server, len(body), body[:cut]) == body
        server.setblocking(False)
        rest = b""
        with suppress(BlockingIOError):
            rest = server.recv(100)
        assert rest == further


@pytest.mark.parametrize("sent", [b"", b"x" * 999])
def test_a_client_that_stalls_is_too_slow(pair: tuple[socket.socket, socket.socket], sent: bytes) -> None:
    client, server = pair
    client.sendall(sent)
    with pytest.raises(BodyTimeoutError):
        body_of(server, 5000)


def test_a_client_that_is_slow_but_sends_enough_is_waited_for(pair: tuple[socket.socket, socket.socket]) -> None:
    client, server = pair
    parts = [bytes([number]) * 2000 for number in range(3)]
    returned = threading.Semaphore(0)

    class Told(SizedBody):
        def readinto(self, buffer: WriteableBuffer, /) -> int:
            count = super().readinto(buffer)
            returned.release()
            return count

    def send() -> None:
        for part in parts:
            client.sendall(part)
            returned.acquire()  # the read has waited for more in vain

    sender = threading.Thread(target=send)
    sender.start()
    stream = io.BufferedReader(Told(server, b"", 6000))
    assert list(read_chunks({"wsgi.input": stream, "CONTENT_LENGTH": "6000"}, limit=None)) == [b"".join(parts)]
    sender.join()


@pytest.mark.parametrize("sent", [b"", b"x" * 4999])
def test_a_client_that_ends_leaves_it_incomplete(pair: tuple[socket.socket, socket.socket], sent: bytes) -> None:
    client, server = pair
    client.sendall(sent)
    client.shutdown(socket.SHUT_WR)
    with pytest.raises(BodyIncompleteError, match=f"{len(sent)} of 5000 bytes"):
        body_of(server, 5000)
