"""The Flask application: /ping, /invocations, /execution-parameters.

(SageMaker developer guide, "Use your own inference code with batch transform" and "... with hosting services".)
"""

from __future__ import annotations

import contextlib
import logging
import socket
import time

from flask import Flask, Response, jsonify, request
from werkzeug.wsgi import wrap_file

from cleanroom_algo.contract.exit_codes import ExitCode
from cleanroom_algo.errors import CleanroomError, MemoryExhaustedError, ServingError
from cleanroom_algo.serving.body import declared_length, decoded, discard, read_chunks
from cleanroom_algo.serving.formats import request_type, response_format
from cleanroom_algo.serving.metrics import exposition
from cleanroom_algo.serving.scoring import SPOOL_BYTES, Tally
from cleanroom_algo.serving.service import Service, describe
from cleanroom_algo.serving.sizing import MAX_BODY_BYTES

log = logging.getLogger("cleanroom_algo.serving")

READ_SECONDS = 60.0  # for each 256 kB of a body, so at least 4 kB/s: nginx gives up after 60 s of silence
DISCARD_SECONDS = 5.0  # for the rest of a refused body: many clients look at the answer only after they have sent all
RETRY_AFTER_SECONDS = 1  # a place in the queue is free as soon as any request is answered


def create_app(service: Service) -> Flask:
    """Return the application that answers from a service."""
    app = Flask("cleanroom_algo.serving", static_folder=None)

    @app.get("/ping")
    def ping() -> Response:
        """200 with an empty body if a prediction would work, else 503."""
        return Response(status=200 if service.is_healthy() else 503)

    @app.get("/execution-parameters")
    def parameters() -> Response:
        """What a batch transform job should send at once, unless its request says otherwise."""
        if service.parameters is None:
            return Response(status=503)
        return jsonify(service.parameters.to_dict())

    @app.post("/invocations")
    def invocations() -> Response:
        """One prediction per record of the body, in order."""
        start = time.perf_counter()
        tally = Tally()
        try:
            response = _invoke(service, tally)
        except MemoryError:
            response = _refuse(service, _memory_exhausted())
        except Exception as error:
            response = _refuse(service, error)
        seconds = time.perf_counter() - start
        service.metrics.observe(
            status=response.status_code, rows=tally.rows, placeholders=tally.placeholders, seconds=seconds
        )
        return response

    if service.environment.settings.serve_prometheus:

        @app.get("/metrics")
        def metrics() -> Response:
            """Counts and times of all processes, for Prometheus."""
            text, content_type = exposition()
            return Response(text, content_type=content_type)

    return app


def _invoke(service: Service, tally: Tally) -> Response:
    with service.admission.enter():
        environ = request.environ  # read directly: a header looked up in Flask's ways costs as much as a row's decoding
        asked = request_type(environ.get("CONTENT_TYPE"))
        given = response_format(environ.get("HTTP_ACCEPT"), asked.format)
        # Lines are forgotten as they are answered; other bodies are held, so their size and their sum are bounded.
        length = declared_length(environ)
        limit = None if asked.format.value.lines and length is None else MAX_BODY_BYTES
        encoding = environ.get("HTTP_CONTENT_ENCODING", "").strip().lower()
        unpacked_limit = None if asked.format.value.lines else MAX_BODY_BYTES
        connection = environ.get("gunicorn.socket")
        chunks = read_chunks(environ, limit=limit, guard=lambda: service.reading(connection, READ_SECONDS))
        plain = decoded(chunks, encoding=encoding, charset=asked.charset, limit=unpacked_limit)
        held = 0 if asked.format.value.lines else MAX_BODY_BYTES if length is None or encoding else length
        with service.admission.buffer(held):
            body = service.scorer.respond(
                plain, asked.format, given, limit=MAX_BODY_BYTES, turn=service.admission.predicting, tally=tally
            )
    size = body.seek(0, 2)
    body.seek(0)
    if size <= SPOOL_BYTES:
        with body:
            return Response(body.read(), mimetype=given.value.media_type)
    response = Response(wrap_file(request.environ, body), mimetype=given.value.media_type, direct_passthrough=True)
    response.content_length = size
    return response


def _refuse(service: Service, error: Exception) -> Response:
    if isinstance(error, ServingError):
        status = error.http_status
    else:
        caused_by_request = isinstance(error, CleanroomError) and error.exit_code is ExitCode.CONTRACT
        status = 400 if caused_by_request else 500
    if status == 500 or isinstance(error, MemoryExhaustedError):
        service.suspect = True
        log.debug("the traceback, with whatever rows it quotes", exc_info=error)
    log.warning("answered %d\n%s", status, describe(error))
    document = error.to_dict() if isinstance(error, CleanroomError) else {"title": type(error).__name__}
    _discard_body(service)
    response = jsonify(document)
    response.status_code = status
    if status == 503:
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def _discard_body(service: Service) -> None:
    connection = request.environ.get("gunicorn.socket")
    if not service.admission.discards.acquire(blocking=False):
        # As many slow bodies are being read away as may be: this client may lose its answer, others would lose /ping.
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RD)
        return
    try:
        discard(request.environ, guard=lambda: service.reading(connection, DISCARD_SECONDS))
    finally:
        service.admission.discards.release()


def _memory_exhausted() -> MemoryExhaustedError:
    return MemoryExhaustedError(
        "the memory of the container ran out while the request was answered",
        expected="requests that fit into it, beside the model and the other requests",
        fix="send smaller requests (containerExecutionParameters.maxPayloadInMB), or choose a larger instance type",
    )
