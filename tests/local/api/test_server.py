"""What clients do to the server that boto3 would not: half requests, pages of elsewhere, and words, not text."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from tests.local.api.server import Up, up
from tests.local.support import ROLE

PATH = "/configured-model-algorithms"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with up(tmp_path_factory.mktemp("home"), "--allow-host", "Room.Example") as running:
        yield running


def opened(server: Up) -> socket.socket:
    address = urlsplit(server.url)
    assert address.hostname is not None
    return socket.create_connection((address.hostname, address.port or 80), timeout=60)


def request(server: Up, method: str = "GET", body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    connection = HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    try:
        connection.request(method, PATH, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def names(server: Up) -> list[str]:
    listed = server.client().list_configured_model_algorithms()["configuredModelAlgorithms"]
    return [each["name"] for each in listed]


def algorithm(name: str) -> bytes:
    container = {"imageUri": "x"}
    return json.dumps({"name": name, "roleArn": ROLE, "trainingContainerConfig": container}).encode()


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:8780"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "localhost@evil.example"},
        {"Host": "[::1"},
        {"Host": "0.0.0.0"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "http://127.0.0.1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Host": "evil.example", "Origin": "http://evil.example", "Sec_Fetch_Site": "same-origin"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_pages_of_elsewhere_are_refused(server: Up, method: str, headers: dict[str, str]) -> None:
    status, text = request(server, method, algorithm("foreign"), Content_Type="text/plain", **headers)

    assert status == 403
    assert b"CR-REQ-010" in text
    assert "foreign" not in names(server)


def test_names_of_the_server_are_accepted(server: Up) -> None:
    port = urlsplit(server.url).port
    for host in (f"127.0.0.1:{port}", "LOCALHOST", f"[::1]:{port}", "room.example:443"):
        assert request(server, Host=host)[0] == 200
        assert request(server, Host=host, Origin=f"http://{host}", Sec_Fetch_Site="same-origin")[0] == 200


def test_half_requests_do_not_stop_the_server(server: Up) -> None:
    """Sixteen threads answer; sixty-four clients that wait in the head, in the body or in a chunk hold none of them."""
    starts = [
        b"POST /configured-model-algorithms HTTP/1.1\r\nHost: localhost\r\n",
        b"POST /configured-model-algorithms HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
        b"POST /configured-model-algorithms HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{",
        b"",
    ]
    waiting = [opened(server) for _ in range(64)]
    try:
        for index, each in enumerate(waiting):
            each.sendall(starts[index % len(starts)])
        assert request(server)[0] == 200
    finally:
        for each in waiting:
            each.close()


def test_a_body_that_ends_too_soon_is_not_executed(server: Up) -> None:
    body = algorithm("cut short")
    with opened(server) as client:
        head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body) + 1}\r\n\r\n"
        client.sendall(head.encode() + body)
        client.shutdown(socket.SHUT_WR)
        assert b"200 OK" not in client.recv(1000)

    assert "cut short" not in names(server)


@pytest.mark.parametrize("chunks", [b"zz\r\n{}\r\n0\r\n\r\n", b"2\r\n{}zz0\r\n\r\n", b"-2\r\n{}\r\n0\r\n\r\n"])
def test_malformed_chunks_are_bad_requests(server: Up, chunks: bytes) -> None:
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    with opened(server) as client:
        client.sendall(head + chunks)
        assert client.recv(1000).startswith(b"HTTP/1.1 400 ")


def test_a_body_in_chunks_is_read(server: Up) -> None:
    body = algorithm("in chunks")
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    with opened(server) as client:
        client.sendall(head + b"1\r\n{\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body) - 1, body[1:]))
        assert client.recv(1000).startswith(b"HTTP/1.1 200 ")

    assert "in chunks" in names(server)


@pytest.mark.parametrize("text", ["\ud800", "a\udfff", "\0"])
def test_what_is_no_text_is_refused_wherever_it_stands(server: Up, text: str) -> None:
    asked = json.loads(algorithm("name"))
    asked["trainingContainerConfig"]["arguments"] = ["--a", text]
    asked["tags"] = {text: "x", "y": text}

    status, answer = request(server, "POST", json.dumps({**asked, "description": text}).encode())

    assert status == 400
    for path in ("description", "trainingContainerConfig.arguments[1]", "tags.y"):
        assert f"{path}: must not contain NUL".encode() in answer
    assert b"the name of entry 1 must not contain NUL" in answer


def test_errors_of_another_host_are_modelled(server: Up) -> None:
    client = server.client()
    client.meta.events.register(
        "before-send.*", lambda request, **_: request.headers.__setitem__("Origin", "http://evil.example")
    )

    with pytest.raises(ClientError) as caught:
        client.list_configured_model_algorithms()

    assert caught.value.response["Error"]["Code"] == "AccessDeniedException"
