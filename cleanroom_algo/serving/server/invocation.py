"""POST /invocations: processes a request."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from flask import Response
from werkzeug.http import parse_options_header
from werkzeug.wsgi import wrap_file

from cleanroom_algo.channels.hints import unknown_categories
from cleanroom_algo.contract.redaction import Redactor
from cleanroom_algo.contract.tracebacks import log_traceback
from cleanroom_algo.errors import CleanroomError, MemoryExhaustedError
from cleanroom_algo.serving.codecs.media_types import MediaType, request_type, response_format
from cleanroom_algo.serving.scoring.body import MAX_BODY_BYTES, declared_length, decoded, read_all, read_chunks
from cleanroom_algo.serving.scoring.scorer import SPOOL_BYTES, RequestStats
from cleanroom_algo.serving.scoring.script import TEXTS, InferenceScript
from cleanroom_algo.serving.server.refusal import refusal
from cleanroom_algo.serving.server.service import Service

log = logging.getLogger("cleanroom_algo.serving")


def invoke(service: Service, environ: dict[str, Any]) -> Response:
    """Return one prediction per record of a request's body, in order, or an error."""
    start = time.perf_counter()
    stats = RequestStats()
    try:
        response = _predict(service, environ, stats)
    except Exception as error:
        response = _refuse(service, error)
    if stats.nan and not service.metrics.nan:  # once per process; the last line of the log has the total
        log.warning("%d of %d predictions in this request are NaN, and are returned as NaN", stats.nan, stats.rows)
    if new := [name for name in stats.unknown if name not in service.unknown]:
        service.unknown.update(new)
        log.warning("%s", unknown_categories(new))
    service.metrics.observe(stats, status=response.status_code, seconds=time.perf_counter() - start)
    return response


def _predict(service: Service, environ: dict[str, Any], stats: RequestStats) -> Response:
    with service.admission.enter():
        if isinstance(service.scorer, InferenceScript):
            return _by_script(service, service.scorer, environ)
        asked = request_type(environ.get("CONTENT_TYPE"))
        given = response_format(environ.get("HTTP_ACCEPT"), asked.media_type)
        lines = asked.media_type.lines
        # Lines are released after they are answered; other bodies are kept, so their size and their sum are limited.
        with _body(service, environ, asked.charset, text=asked.media_type.text, held=not lines) as plain:
            turn = service.admission.predicting
            answer = service.scorer.respond(plain, asked.media_type, given, turn=turn, stats=stats)
    size = answer.seek(0, 2)
    answer.seek(0)
    if size <= SPOOL_BYTES:
        with answer:
            return Response(answer.read(), content_type=given.content_type)
    response = Response(wrap_file(environ, answer), content_type=given.content_type, direct_passthrough=True)
    response.content_length = size
    return response


def _by_script(service: Service, script: InferenceScript, environ: dict[str, Any]) -> Response:
    """Return the answer of a script, which reads and writes its formats itself."""
    name, options = parse_options_header(environ.get("CONTENT_TYPE"))
    kind = name.lower() or MediaType.CSV.media_type  # the same default as for a Predictor
    text = kind in TEXTS
    accept = environ.get("HTTP_ACCEPT", "").strip()
    if accept in {"", "*/*"}:
        accept = service.environment.default_accept
    charset = options.get("charset", "utf-8") if text else "utf-8"
    with _body(service, environ, charset, text=text, held=True) as plain:
        whole = read_all(plain)
        with service.admission.predicting():
            answer, content_type = script.respond(whole, kind, accept)
    return Response(answer, content_type=content_type)


@contextmanager
def _body(
    service: Service, environ: dict[str, Any], charset: str, *, text: bool, held: bool
) -> Iterator[Iterator[bytes]]:
    """Yield the chunks of a body as plain UTF-8 bytes; a body that is kept as a whole reserves its memory."""
    encoding = environ.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    length = declared_length(environ)
    chunks = read_chunks(environ, limit=MAX_BODY_BYTES if held or length is not None else None)
    limit = MAX_BODY_BYTES if held else None
    plain = decoded(chunks, encoding=encoding, charset=charset, limit=limit, text=text)
    size = (MAX_BODY_BYTES if length is None or encoding else length) if held else 0
    with service.admission.buffer(size):
        yield plain


def _refuse(service: Service, raised: Exception) -> Response:
    error = _memory_exhausted() if isinstance(raised, MemoryError) else raised
    response = refusal(error)
    if response.status_code == HTTPStatus.INTERNAL_SERVER_ERROR or isinstance(error, MemoryExhaustedError):
        service.suspect = True
        log_traceback(raised)
    # The message of any other exception may quote a row.
    told = str(error) if isinstance(error, CleanroomError) else Redactor().class_of(error)
    log.warning("answered %d\n%s", response.status_code, told)
    return response


def _memory_exhausted() -> MemoryExhaustedError:
    return MemoryExhaustedError(
        "the container ran out of memory while it answered the request",
        expected="requests that fit in memory next to the model and the other requests",
        fix="send smaller requests (containerExecutionParameters.maxPayloadInMB), or choose a larger instance type",
    )
