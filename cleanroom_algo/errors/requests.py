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
    """The request does not match the model of the API, or breaks a documented rule that is not in the model.

    Every error is listed with its JSON path. boto3 itself checks only required members, types and minimum lengths. The
    service and the local clean room also check maximum values, patterns, enumerations and unknown members. boto3
    clients get a ValidationException (HTTP 400).
    """

    code = "CR-REQ-001"
    title = "request not valid"


class ConflictError(RequestError):
    """The request conflicts with the state of a resource.

    The resource already exists, is still in use, or has a status that does not allow the operation. boto3 clients get a
    ConflictException (HTTP 409).
    """

    code = "CR-REQ-002"
    title = "conflict with the state of a resource"
    modelled = "ConflictException"
    http_status = 409


class ResourceNotFoundError(RequestError):
    """The request names a resource that does not exist, or that is outside the named membership.

    boto3 clients get a ResourceNotFoundException (HTTP 404).
    """

    code = "CR-REQ-003"
    title = "resource not found"
    modelled = "ResourceNotFoundException"
    http_status = 404


class AccessDeniedError(RequestError):
    """The calling account is not allowed to do this.

    The membership belongs to another account, or the member does not have the required ability. If the access key ID
    has twelve digits, it is the account. Otherwise, the default account of the local clean room is used. boto3 clients
    get an AccessDeniedException (HTTP 403).
    """

    code = "CR-REQ-004"
    title = "access denied"
    modelled = "AccessDeniedException"
    http_status = 403


class QuotaExceededError(RequestError):
    """The request would exceed a quota (Clean Rooms user guide, "Quotas for AWS Clean Rooms ML").

    Quotas are enforced by default, because a new AWS account reaches them with its first requests. Change them in
    settings.toml, table `[quotas]`. boto3 clients get a ServiceQuotaExceededException (HTTP 402) with quotaName and
    quotaValue.
    """

    code = "CR-REQ-005"
    title = "quota exceeded"
    modelled = "ServiceQuotaExceededException"
    http_status = 402
    quota_name: str = ""
    quota_value: float = 0.0


class ThrottledError(RequestError):
    """Requests arrive faster than the rate that the service allows for this operation.

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
    """The API has no operation with this name, or with this method and path."""

    code = "CR-REQ-008"
    title = "no such operation"
    modelled = "UnknownOperationException"
    http_status = 404


class ForeignRequestError(RequestError):
    """A web page from another site sent the request, or the request names a host that this server does not have.

    Every web page that is open in a browser on this machine can send requests to local servers, and this server runs
    code. Therefore, it checks the headers Host, Origin and Sec-Fetch-Site. To call the server by another name, such as
    host.docker.internal, start it with `cleanroom-algo up --allow-host NAME`. boto3 clients get an
    AccessDeniedException (HTTP 403).
    """

    code = "CR-REQ-010"
    title = "request from another web site"
    modelled = "AccessDeniedException"
    http_status = 403


class ServiceFailureError(RequestError):
    """The local clean room failed to answer. This is a bug in cleanroom-algo.

    The log of the server has the traceback. boto3 clients get an InternalServiceException (HTTP 500).
    """

    code = "CR-REQ-009"
    title = "the local clean room failed"
    exit_code = ExitCode.INTERNAL
    modelled = "InternalServiceException"
    http_status = 500
