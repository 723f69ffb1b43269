"""POST /invocations: from a WSGI request to the reply."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from gunicorn import SERVER
from werkzeug.wsgi import wrap_file

from cleanroom_algo.errors import CleanroomError, MemoryExhaustedError, OverloadedError, ServingError
from cleanroom_algo.errors.exit_codes import ExitCode
from cleanroom_algo.serving.codecs.media_types import Format, request_type, response_format
from cleanroom_algo.serving.merging import MERGE_BYTES, Small
from cleanroom_algo.serving.scoring.body import READ_SECONDS, declared_length, decoded, discard, read_chunks
from cleanroom_algo.serving.scoring.scorer import SPOOL_BYTES, Tally
from cleanroom_algo.serving.server.service import Service, describe
from cleanroom_algo.serving.server.sizing import MAX_BODY_BYTES

if TYPE_CHECKING:
    from cleanroom_algo.serving.heads import KnownRequest

log = logging.getLogger("cleanroom_algo.serving")

DISCARD_SECONDS = 5.0  # for the rest of a refused body: many clients look at the answer only after they have sent all
RETRY_AFTER_SECONDS = 1  # a place in the queue is free as soon as any request is answered


@dataclass(frozen=True, slots=True)
class Reply:
    """What a request is answered with.

    Attributes:
        status: of HTTP.
        headers: their names and values; the Content-Length is always among them.
        body: the bytes, in pieces.
    """

    status: HTTPStatus
    headers: list[tuple[str, str]]
    body: Iterable[bytes]

    @classmethod
    def of(cls, status: HTTPStatus, content_type: str, body: bytes, *further: tuple[str, str]) -> Reply:
        """Return a reply whose body is at hand."""
        return cls(status, [("Content-Type", content_type), ("Content-Length", str(len(body))), *further], (body,))

    def send(self, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Send it as a WSGI application does."""
        start_response(f"{self.status.value} {self.status.phrase}", self.headers)
        return self.body

    def message(self, *, last: bool) -> bytes:
        """Return it as it is sent, in one piece: its head by itself would wake the client twice.

        Args:
            last: whether the connection ends after it.
        """
        lines = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            f"Server: {SERVER}",
            f"Date: {_date(int(time.time()))}",
            f"Connection: {'close' if last else 'keep-alive'}",
            *(f"{name}: {value}" for name, value in self.headers),
            "",
            "",
        ]
        return b"".join(["\r\n".join(lines).encode("latin-1"), *self.body])


def invoke(service: Service, environ: dict[str, Any]) -> Reply:
    """Return one prediction per record of a request's body, in order; or what is wrong with it."""
    start = time.perf_counter()
    tally = Tally()
    try:
        reply = _predict(service, environ, tally)
    except Exception as error:
        reply = _refuse(service, environ, error)
    _observe(service, reply, tally, time.perf_counter() - start)
    return reply


def invoke_together(service: Service, requests: Sequence[KnownRequest]) -> list[Reply]:
    """Return the replies to small requests that have come at once, to each what `invoke` would reply.

    Args:
        service: answers.
        requests: that may be answered together.
    """
    start = time.perf_counter()
    small = [Small(request.body, cast("Format", request.head.lines)) for request in requests]
    try:
        with service.admission.enter(len(small)):
            service.merger.answer(small)
    except OverloadedError as error:
        for each in small:
            each.answer = error
    seconds = time.perf_counter() - start
    replies = []
    for request, each in zip(requests, small, strict=True):
        try:
            reply = _lines(each)
        except Exception as error:
            reply = _refuse(service, request.environ(io.BytesIO(request.body)), error)
        _observe(service, reply, each.tally, seconds)
        replies.append(reply)
    return replies


def _observe(service: Service, reply: Reply, tally: Tally, seconds: float) -> None:
    if tally.nan and not service.metrics.nan:  # once in a process; its last line says how many there were
        log.warning("predictions are NaN, and are answered as such: %d of %d in this request", tally.nan, tally.rows)
    service.metrics.observe(tally, status=reply.status.value, seconds=seconds)


def refusal(error: Exception) -> Reply:
    """Return the reply that tells an error: all of ours; of another only its type, as its message may quote a row."""
    document = error.to_dict() if isinstance(error, CleanroomError) else {"title": type(error).__name__}
    status = _status_of(error)
    retry = [("Retry-After", str(RETRY_AFTER_SECONDS))] if status is HTTPStatus.SERVICE_UNAVAILABLE else []
    return Reply.of(status, "application/json", json.dumps(document).encode() + b"\n", *retry)


def _predict(service: Service, environ: dict[str, Any], tally: Tally) -> Reply:
    with service.admission.enter():
        asked = request_type(environ.get("CONTENT_TYPE"))
        given = response_format(environ.get("HTTP_ACCEPT"), asked.format)
        # Lines are forgotten as they are answered; other bodies are held, so their size and their sum are bounded.
        length = declared_length(environ)
        limit = None if asked.format.value.lines and length is None else MAX_BODY_BYTES
        encoding = environ.get("HTTP_CONTENT_ENCODING", "").strip().lower()
        unpacked_limit = None if asked.format.value.lines else MAX_BODY_BYTES
        connection = environ.get("gunicorn.socket")
        chunks = read_chunks(environ, limit=limit, guard=lambda: service.reading(connection, READ_SECONDS))
        plain = decoded(
            chunks, encoding=encoding, charset=asked.charset, limit=unpacked_limit, text=asked.format.value.text
        )
        if asked.format is Format.CSV and given.value.lines and not encoding and 0 < (length or 0) <= MERGE_BYTES:
            small = Small(b"".join(plain), given, tally)
            service.merger.answer([small])
            return _lines(small)
        held = 0 if asked.format.value.lines else MAX_BODY_BYTES if length is None or encoding else length
        with service.admission.buffer(held):
            body = service.scorer.respond(plain, asked.format, given, turn=service.admission.predicting, tally=tally)
    size = body.seek(0, 2)
    body.seek(0)
    if size <= SPOOL_BYTES:
        with body:
            return Reply.of(HTTPStatus.OK, given.value.content_type, body.read())
    headers = [("Content-Type", given.value.content_type), ("Content-Length", str(size))]
    return Reply(HTTPStatus.OK, headers, wrap_file(environ, body))


def _lines(answered: Small) -> Reply:
    if isinstance(answered.answer, Exception):
        raise answered.answer
    assert answered.answer is not None
    return Reply.of(HTTPStatus.OK, answered.response.value.content_type, answered.answer)


def _refuse(service: Service, environ: dict[str, Any], error: Exception) -> Reply:
    if isinstance(error, MemoryError):
        error = _memory_exhausted()
    reply = refusal(error)
    if reply.status is HTTPStatus.INTERNAL_SERVER_ERROR or isinstance(error, MemoryExhaustedError):
        service.suspect = True
        log.debug("the traceback, with whatever rows it quotes", exc_info=error)
    log.warning("answered %d\n%s", reply.status, describe(error))
    _discard_body(service, environ)
    return reply


@lru_cache(maxsize=1)
def _date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)


def _status_of(error: Exception) -> HTTPStatus:
    if isinstance(error, ServingError):
        return HTTPStatus(error.http_status)
    caused_by_request = isinstance(error, CleanroomError) and error.exit_code is ExitCode.CONTRACT
    return HTTPStatus.BAD_REQUEST if caused_by_request else HTTPStatus.INTERNAL_SERVER_ERROR


def _discard_body(service: Service, environ: dict[str, Any]) -> None:
    connection = environ.get("gunicorn.socket")
    if not service.admission.discards.acquire(blocking=False):
        # As many slow bodies are being read away as may be: this client may lose its answer, others would lose /ping.
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RD)
        return
    try:
        discard(environ, guard=lambda: service.reading(connection, DISCARD_SECONDS))
    finally:
        service.admission.discards.release()


def _memory_exhausted() -> MemoryExhaustedError:
    return MemoryExhaustedError(
        "the memory of the container ran out while the request was answered",
        expected="requests that fit into it, beside the model and the other requests",
        fix="send smaller requests (containerExecutionParameters.maxPayloadInMB), or choose a larger instance type",
    )
