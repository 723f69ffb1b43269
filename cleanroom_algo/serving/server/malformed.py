"""What is no HTTP request, refused in the form of all refusals."""

from __future__ import annotations

import contextlib
import logging
import socket
from dataclasses import replace
from http import HTTPStatus
from typing import Final

from gunicorn.http import errors
from gunicorn.util import write_nonblock

from cleanroom_algo.errors import MalformedRequestError
from cleanroom_algo.serving.server.invocation import refusal

log = logging.getLogger("cleanroom_algo.serving")

_STATUSES: Final[dict[type[errors.ParseException], HTTPStatus]] = {
    errors.LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    errors.LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    errors.UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
    errors.ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
}


def refuse_malformed(client: socket.socket, fault: errors.ParseException) -> None:
    """Answer a client and log it, by the kind of fault alone.

    What follows a body that is longer than declared is read as the next request, so it may be rows: gunicorn itself
    quotes it in answer and log.

    Args:
        client: the connection; it is to be closed after this.
        fault: that gunicorn found.
    """
    error = MalformedRequestError(
        f"what came is not a request in HTTP/1.1 ({type(fault).__name__})",
        expected="one Content-Length that is true or chunks, a head of at most 64 fields of 8 kB, a path of 4 kB",
        fix="correct the client; after a body of another length than declared, its rest is taken for a request",
    )
    reply = replace(refusal(error), status=_STATUSES.get(type(fault), HTTPStatus.BAD_REQUEST))
    log.warning("answered %d\n%s", reply.status, error)
    with contextlib.suppress(OSError):
        write_nonblock(client, reply.message(last=True))
