"""A client that costs little beside the servers it measures: ready-made requests, answers that are only counted."""

from __future__ import annotations

import re
import selectors
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
TIMEOUT_SECONDS = 120


def request_bytes(path: str, body: bytes, content_type: str) -> bytes:
    """Return a whole request."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "Accept: */*", "", ""]).encode() + body


@dataclass
class Connection:
    """One connection that a server may close after any answer."""

    port: int
    socket: socket.socket = field(init=False)
    received: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        self.open()

    def open(self) -> None:
        """Connect."""
        self.socket = socket.create_connection(("127.0.0.1", self.port), TIMEOUT_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, request: bytes) -> None:
        """Send a request."""
        self.received.clear()
        self.socket.sendall(request)

    def receive(self) -> bool:
        """Take what has arrived; return whether the answer is whole.

        Raises:
            RuntimeError: the answer is not a 200, or breaks off.
        """
        piece = self.socket.recv(1 << 20)
        self.received += piece
        end = self.received.find(b"\r\n\r\n")
        if end < 0 and piece:
            return False
        if not self.received.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200")):
            raise RuntimeError(f"answered {bytes(self.received[:300])!r}")
        head = bytes(self.received[:end])
        length = _LENGTH.search(head)
        if length is None:
            return self.received.endswith(b"\r\n0\r\n\r\n") or not piece
        if len(self.received) < end + 4 + int(length[1]):
            if not piece:
                raise RuntimeError("the answer breaks off")
            return False
        if _CLOSE.search(head):
            self.socket.close()
            self.open()
        return True


def send_large(port: int, request: bytes, count: int, concurrency: int) -> None:
    """Send a request `count` times over some connections, a thread for each: sending is most of the work.

    A connection that is free takes the next one, as in a job. With a share for each, most of what was measured of the
    last requests was one process that had nothing left to do.
    """
    left = iter(range(count))

    def run(connection: Connection) -> None:
        for _ in left:
            connection.send(request)
            while not connection.receive():
                pass
        connection.socket.close()

    with ThreadPoolExecutor(concurrency) as pool:
        list(pool.map(run, [Connection(port) for _ in range(concurrency)]))


def send_small(port: int, request: bytes, count: int, concurrency: int) -> None:
    """Send a request `count` times over some connections, from one thread: more of them would wait for each other."""
    left, under_way = count, 0
    with selectors.DefaultSelector() as selector:
        for connection in [Connection(port) for _ in range(min(concurrency, count))]:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            connection.send(request)
            left, under_way = left - 1, under_way + 1
        while under_way:
            for key, _ in selector.select(TIMEOUT_SECONDS):
                connection, before = key.data, key.fileobj
                if not connection.receive():
                    continue
                if connection.socket is not before:  # a new connection, or its number used again
                    selector.unregister(before)
                    selector.register(connection.socket, selectors.EVENT_READ, connection)
                if left:
                    connection.send(request)
                    left -= 1
                else:
                    under_way -= 1
                    selector.unregister(connection.socket)
                    connection.socket.close()
