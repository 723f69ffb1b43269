"""An S3 service for tests (moto's), reached over HTTP by way of a gate that counts requests and can be told to fail."""

from __future__ import annotations

import http.client
import http.server
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from cleanroom_algo.local.objects import s3

BUCKET = "airline"
BUSY = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
DENIED = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


@dataclass
class Gate:
    """Stands before S3.

    Attributes:
        s3: a client that does not go through the gate.
        ranges: the ranges of objects that were asked for, by key.
        deny: whether to refuse whoever asks.
        busy: how many of the next requests to answer with 503.
        cut: how many of the next answers to break off in the middle.
    """

    s3: Any
    ranges: list[tuple[str, str]] = field(default_factory=list)
    deny: bool = False
    busy: int = 0
    cut: int = 0

    def put(self, objects: dict[str, bytes]) -> None:
        """Store objects."""
        for key, content in objects.items():
            self.s3.put_object(Bucket=BUCKET, Key=key, Body=content)

    def bytes_asked_for(self) -> int:
        """Return how many bytes of objects were asked for."""
        bounds = [each.removeprefix("bytes=").split("-") for _, each in self.ranges]
        return sum(int(last) - int(first) + 1 for first, last in bounds)


@pytest.fixture(scope="session")
def moto() -> Iterator[tuple[str, int]]:
    """Yield host and port of moto's S3."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield server.get_host_and_port()
    server.stop()


@pytest.fixture
def gate(moto: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """Yield a gate with an empty bucket behind it; boto3's own variables lead to it."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "CANARY-of-the-credentials")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "3")
    url = f"http://{moto[0]}:{moto[1]}"
    gate = Gate(boto3.client("s3", endpoint_url=url))
    gate.s3.create_bucket(Bucket=BUCKET)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(gate, moto))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    s3.client.cache_clear()
    yield gate
    s3.client.cache_clear()
    server.shutdown()
    thread.join()
    server.server_close()
    for page in gate.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for each in page.get("Contents", ()):
            gate.s3.delete_object(Bucket=BUCKET, Key=each["Key"])


def _handler(gate: Gate, moto: tuple[str, int]) -> Callable[..., http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (theirs)
            pass

        def do_GET(self) -> None:
            if "Range" in self.headers:
                gate.ranges.append((self.path.partition("/")[2], self.headers["Range"]))
            if gate.deny:
                self.answer(403, [("Content-Type", "application/xml")], DENIED)
                return
            if gate.busy:
                gate.busy -= 1
                self.answer(503, [("Content-Type", "application/xml")], BUSY)
                return
            behind = http.client.HTTPConnection(*moto)
            behind.request("GET", self.path, headers=dict(self.headers))
            answer = behind.getresponse()
            body = answer.read()
            behind.close()
            kept = [(name, value) for name, value in answer.getheaders() if name.lower() in KEPT]
            self.answer(answer.status, kept, body)

        def answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if gate.cut and "Range" in self.headers:
                gate.cut -= 1
                self.close_connection = True
                body = body[: len(body) // 2]
            self.wfile.write(body)

    return Handler


KEPT = {"etag", "content-type", "content-range", "last-modified", "accept-ranges"}
