"""CR-REQ: API requests."""

from __future__ import annotations

from typing import ClassVar

from cleanroom_algo.errors.base import CleanroomError
from cleanroom_algo.errors.exit_codes import ExitCode


class RequestError(CleanroomError):
    """Requests of the Clean Rooms ML API.

    Attributes:
        modelled: the exception of botocore's model that a boto3 client receives.
        http_status: of the response.
    """

    exit_code = ExitCode.CONTRACT
    modelled: ClassVar[str] = "ValidationException"
    http_status: ClassVar[int] = 400


class InvalidRequestError(RequestError):
    """The request breaks the API's model, or a rule that the documentation states beside it.

    Every fault is listed with its JSON path. boto3 itself checks only required members, types and minimum lengths; the
    service, and this room, check maxima, patterns, enums and unknown members as well. boto3 clients get a
    ValidationException (HTTP 400).
    """

    code = "CR-REQ-001"
    title = "request not valid"


class ConflictError(RequestError):
    """The request contradicts the state of a resource: it exists already, is still in use, or is not in a state for it.

    boto3 clients get a ConflictException (HTTP 409).
    """

    code = "CR-REQ-002"
    title = "conflict with the state of a resource"
    modelled = "ConflictException"
    http_status = 409


class ResourceNotFoundError(RequestError):
    """The request names a resource that the room does not have, or that lies outside the named membership.

    boto3 clients get a ResourceNotFoundException (HTTP 404).
    """

    code = "CR-REQ-003"
    title = "resource not found"
    modelled = "ResourceNotFoundException"
    http_status = 404


class AccessDeniedError(RequestError):
    """The calling account may not do this: the membership is another's, or the member lacks the ability.

    If the access key ID has twelve digits, it is the account; otherwise the room's default account is used. boto3
    clients get an AccessDeniedException (HTTP 403).
    """

    code = "CR-REQ-004"
    title = "access denied"
    modelled = "AccessDeniedException"
    http_status = 403


class QuotaExceededError(RequestError):
    """A quota of the service would be exceeded (Clean Rooms user guide, "Quotas for AWS Clean Rooms ML").

    Quotas are on by default, because a new account meets them with its first calls. Change them in settings.toml,
    table `[quotas]`. boto3 clients get a ServiceQuotaExceededException (HTTP 402) with quotaName and quotaValue.
    """

    code = "CR-REQ-005"
    title = "quota exceeded"
    modelled = "ServiceQuotaExceededException"
    http_status = 402
    quota_name: str = ""
    quota_value: float = 0.0


class ThrottledError(RequestError):
    """Requests come faster than the service's rate for this operation.

    The server limits each account and operation to the documented rate. In settings.toml, table `[quotas]`, `rates`
    changes the limits and `requests_per_second = false` turns them off. Commands that need no server are not limited.
    boto3 clients get a ThrottlingException (HTTP 429) and retry.
    """

    code = "CR-REQ-006"
    title = "too many requests"
    modelled = "ThrottlingException"
    http_status = 429


class NotEmulatedError(RequestError):
    """The request is valid, but the local clean room does not emulate it.

    Nothing in a request is silently ignored. `cleanroom-algo differences` lists what is not emulated. boto3 clients
    get an error named NotEmulatedException (HTTP 501), which the service's model does not have.
    """

    code = "CR-REQ-007"
    title = "not emulated"
    exit_code = ExitCode.NOT_EMULATED
    modelled = "NotEmulatedException"
    http_status = 501


class UnknownOperationError(RequestError):
    """No operation of the API has this method and path, or this name."""

    code = "CR-REQ-008"
    title = "no such operation"
    modelled = "UnknownOperationException"
    http_status = 404


class ForeignRequestError(RequestError):
    """A web page from another site sent the request, or it was sent to a name that this server does not have.

    Any web page open in a browser on this machine can send requests to local servers, and this server runs code. It
    therefore checks the headers Host, Origin and Sec-Fetch-Site. To call the server by another name, such as
    host.docker.internal, start it with `cleanroom-algo up --allow-host NAME`. boto3 clients get an
    AccessDeniedException (HTTP 403).
    """

    code = "CR-REQ-010"
    title = "request of a foreign web page"
    modelled = "AccessDeniedException"
    http_status = 403


class ServiceFailureError(RequestError):
    """The local clean room failed to answer; this is a bug in cleanroom-algo. The server's log has the traceback.

    boto3 clients get an InternalServiceException (HTTP 500).
    """

    code = "CR-REQ-009"
    title = "the local clean room failed"
    exit_code = ExitCode.INTERNAL
    modelled = "InternalServiceException"
    http_status = 500
