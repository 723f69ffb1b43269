"""The answer to a request that is refused."""

from __future__ import annotations

import json
from http import HTTPStatus

from flask import Response

from cleanroom_algo.contract.redaction import Redactor
from cleanroom_algo.errors import CleanroomError, ServingError
from cleanroom_algo.errors.exit_codes import ExitCode

RETRY_AFTER_SECONDS = 1  # a place in the queue is free as soon as a request is answered


def refusal(error: Exception) -> Response:
    """Return the answer for an error; of other packages' errors only the type, because their text may quote a row."""
    document = error.to_dict() if isinstance(error, CleanroomError) else {"title": Redactor().class_of(error)}
    response = Response(json.dumps(document) + "\n", _status_of(error), content_type="application/json")
    if response.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def _status_of(error: Exception) -> HTTPStatus:
    if isinstance(error, ServingError):
        return HTTPStatus(error.http_status)
    caused_by_request = isinstance(error, CleanroomError) and error.exit_code is ExitCode.CONTRACT
    return HTTPStatus.BAD_REQUEST if caused_by_request else HTTPStatus.INTERNAL_SERVER_ERROR
