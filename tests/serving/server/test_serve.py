from __future__ import annotations

import json
import socket

import polars as pl
import pytest

from cleanroom_algo.contract.environment import InferenceEnvironment
from cleanroom_algo.serving.artifacts import Artifacts
from cleanroom_algo.serving.codecs.encoding import encode_lines
from cleanroom_algo.serving.codecs.media_types import MediaType
from cleanroom_algo.serving.scoring.prediction import answer, load_predictor
from tests.serving.support import Container, RunningServer, table


def expected(container: Container, frame: pl.DataFrame) -> bytes:
    predictor = load_predictor(str(container.algorithm), Artifacts(container.root / "model"))
    return encode_lines(answer(predictor, frame), MediaType.CSV)


def test_ping_is_empty_and_200(server: RunningServer) -> None:
    status, body, _ = server.request("GET", "/ping")
    assert (status, body) == (200, b"")


def test_execution_parameters(server: RunningServer) -> None:
    status, body, _ = server.request("GET", "/execution-parameters")
    assert status == 200
    assert json.loads(body) == {"MaxConcurrentTransforms": 4, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 6}


def test_as_many_lines_out_as_in_bit_for_bit(server: RunningServer, container: Container) -> None:
    frame = table(1000)
    wanted = expected(container, frame)
    assert wanted.count(b"\n") == 999
    body = frame.write_csv(include_header=False).encode()
    assert server.invoke(body) == wanted
    assert server.invoke(body.removesuffix(b"\n")) == wanted
    assert server.invoke(frame.write_csv().encode()) == wanted
    assert server.invoke(body.replace(b"\n", b"\r\n")) == wanted
    assert InferenceEnvironment.read(container.environment()).batch is False


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "allowed"),
    [
        ("GET", "/predictions", 404, "CR-SRV-013", None),
        ("POST", "/", 404, "CR-SRV-013", None),
        ("GET", "/invocations", 405, "CR-SRV-014", {"POST", "OPTIONS"}),
        ("POST", "/ping", 405, "CR-SRV-014", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_other_requests_are_refused_in_our_form(
    server: RunningServer, method: str, path: str, status: int, code: str, allowed: set[str] | None
) -> None:
    given, body, headers = server.request(method, path, b"AA,1.5,3\n" if method == "POST" else None)
    assert given == status
    document = json.loads(body)
    assert document["code"] == code
    assert "POST /invocations" in document["expected"]
    assert (set(headers["allow"].split(", ")) if allowed else None) == allowed


def test_requests_that_arrive_in_one_piece_are_answered_in_turn(server: RunningServer) -> None:
    bodies = [b"AA,1.5,3\n", b"B6,,17\nDL,2,4\n", b"UA,7,1"]
    heads = [
        b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nContent-Length: %d\r\n" % len(body)
        for body in bodies
    ]
    with socket.create_connection(("127.0.0.1", server.port), 60) as connection:
        *first, last = zip(heads, bodies, strict=True)
        pieces = [head + b"\r\n" + body for head, body in first]
        connection.sendall(b"".join([*pieces, last[0], b"Connection: close\r\n\r\n", last[1]]))
        with connection.makefile("rb") as stream:
            answers = stream.read()
    assert answers.count(b"HTTP/1.1 200 OK") == 3
    assert [part.split(b"HTTP/1.1")[0] for part in answers.split(b"\r\n\r\n")[1:]] == list(map(server.invoke, bodies))
