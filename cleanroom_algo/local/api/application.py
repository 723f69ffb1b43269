"""The API over HTTP, as a WSGI application: route, parse, call, serialize. It contains no logic of resources.

The access key ID in the SigV4 credential scope identifies the caller: twelve digits are the account, any other ID means
the room's default account. So the members of a collaboration are boto3 clients with
`aws_access_key_id="111122223333"` and any secret. Signatures are not checked, because only this machine can connect.
"""

from __future__ import annotations

import json
import logging
import re
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from cleanroom_algo.errors import InvalidRequestError, QuotaExceededError, RequestError, ServiceFailureError
from cleanroom_algo.local.api.browsers import LOCAL_HOSTS, check_sender
from cleanroom_algo.local.api.routing import find_operation, parse_params, serialize
from cleanroom_algo.local.api.throttle import Throttle
from cleanroom_algo.local.operations.calling import Caller
from cleanroom_algo.local.operations.registry import REGISTRIES
from cleanroom_algo.local.service_model.shapes import CLEANROOMS, ML

log = logging.getLogger("cleanroom_algo.local")

MAX_BODY_BYTES: Final = 8_000_000  # the largest member of any request, a query, has 500,000 characters
_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/[^/]*/([^/]*)/([^/]+)/aws4_request")
_REGION = re.compile("[a-z]{2,}(-[a-z]+)+-[0-9]+")
_SERVICES: Final = {"cleanrooms-ml": (ML,), "cleanrooms": (CLEANROOMS,)}
_STATUS_LINES: Final = {
    200: "200 OK",
    204: "204 No Content",
    400: "400 Bad Request",
    402: "402 Payment Required",
    403: "403 Forbidden",
    404: "404 Not Found",
    409: "409 Conflict",
    429: "429 Too Many Requests",
    500: "500 Internal Server Error",
    501: "501 Not Implemented",
}

StartResponse = Callable[[str, list[tuple[str, str]]], Any]
Pages = Callable[[Any, Any], Iterable[bytes]]  # WSGI's types differ between frameworks


class Application:
    """Answers requests for a room.

    Args:
        caller: of the room's operations.
        hosts: names of the server, in addition to those of this machine.
        make_pages: creates the application for browsers, at `/` and below `/ui`, when a browser first requests a page;
            None: there are no pages. Pages have no quota of requests.
    """

    def __init__(
        self, caller: Caller, hosts: Collection[str] = (), make_pages: Callable[[Caller], Pages] | None = None
    ) -> None:
        self.caller = caller
        self._make_pages = make_pages
        self._hosts = LOCAL_HOSTS | {host.lower() for host in hosts}
        quotas = caller.workspace.settings.quotas
        self._throttle = Throttle(quotas.rates) if quotas.enabled and quotas.requests_per_second else None

    def __call__(self, environ: Mapping[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one WSGI request."""
        headers = [("Content-Type", "application/json"), ("x-amzn-RequestId", str(uuid.uuid4()))]
        try:
            if self._make_pages is not None and re.fullmatch("/|/ui(/.*)?", environ.get("PATH_INFO", ""), re.DOTALL):
                check_sender(environ, self._hosts)
                return self._pages(environ, start_response)
            status, body = self._answer(environ)
        except RequestError as error:
            status, body = error.http_status, error_body(error)
            headers.append(("x-amzn-ErrorType", error.modelled))
        except Exception as error:
            log.exception("%s %s", environ.get("REQUEST_METHOD"), environ.get("PATH_INFO"))
            status, body = 500, error_body(_defect(error))
            headers.append(("x-amzn-ErrorType", ServiceFailureError.modelled))
        headers.append(("Content-Length", str(len(body))))
        start_response(_STATUS_LINES[status], headers)
        return [body]

    @cached_property
    def _pages(self) -> Pages:
        assert self._make_pages is not None
        return self._make_pages(self.caller)

    def _answer(self, environ: Mapping[str, Any]) -> tuple[int, bytes]:
        check_sender(environ, self._hosts)
        raw_path, _, query = raw_uri(environ).partition("?")
        sender = sender_of(environ.get("HTTP_AUTHORIZATION", ""))
        service, operation, path = find_operation(sender.services, environ["REQUEST_METHOD"], raw_path)
        REGISTRIES[service].handler(operation.name)  # "not emulated" is reported before faults of the request
        if self._throttle is not None and service == ML:
            self._throttle.take(sender.account or self.caller.workspace.settings.machine.account, operation.name)
        params = parse_params(operation, path, query, _body(environ))
        result = self.caller.call(operation.name, params, sender.account, service=service, region=sender.region)
        status: int = operation.http.get("responseCode", 200)
        return status, b"" if status == HTTPStatus.NO_CONTENT else serialize(operation, result)


def raw_uri(environ: Mapping[str, Any]) -> str:
    """Return path and query as they arrived, percent-encoded; waitress keeps them in REQUEST_URI."""
    raw: str = environ.get("REQUEST_URI") or ""
    if not raw:
        raw = quote(environ.get("PATH_INFO", "/")) + (f"?{query}" if (query := environ.get("QUERY_STRING")) else "")
    return re.sub(r"^https?://[^/]*", "", raw)


@dataclass(frozen=True, slots=True)
class Sender:
    """The sender of a request, by the credential scope of its signature.

    Attributes:
        account: twelve digits; None: the default account.
        region: of AWS; None: that of the room.
        services: for which the request may be.
    """

    account: str | None = None
    region: str | None = None
    services: Sequence[str] = (ML, CLEANROOMS)


def sender_of(authorization: str) -> Sender:
    """Return the sender of a request."""
    match = _CREDENTIAL.search(authorization)
    if match is None:
        return Sender()
    key, region, service = match.groups()
    account = key if re.fullmatch("[0-9]{12}", key) else None
    return Sender(account, region if _REGION.fullmatch(region) else None, _SERVICES.get(service, (ML, CLEANROOMS)))


def error_body(error: RequestError) -> bytes:
    """Return the body for an error: its `message` contains the complete error, on one line for boto3's ClientError."""
    faults = "; ".join(str(problem) for problem in error.problems)
    message = (
        f"{error.code} {error.what}{f' ({faults})' if faults else ''}. Expected: {error.expected}. Fix: {error.fix}"
    )
    document: dict[str, Any] = {"__type": error.modelled, "message": message}
    if isinstance(error, QuotaExceededError):
        document |= {"quotaName": error.quota_name, "quotaValue": error.quota_value}
    return json.dumps(document).encode()


def _body(environ: Mapping[str, Any]) -> bytes:
    body: bytes = environ["wsgi.input"].read()  # complete: a request that breaks off is never passed on
    if len(body) > MAX_BODY_BYTES:
        raise InvalidRequestError(
            f"the body has more than {MAX_BODY_BYTES} bytes", expected="a smaller request", fix="shorten the query"
        )
    return body


def _defect(error: Exception) -> ServiceFailureError:
    return ServiceFailureError(
        f"{type(error).__name__} inside the local clean room",
        expected="an answer to every request",
        fix="see the traceback in the server's log, and please report it",
    )
