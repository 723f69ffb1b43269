"""Objects in S3 as plain values, and the operations on them: list, read a range, explain errors.

boto3 finds credentials, region and endpoint in its environment variables, files and roles.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from cleanroom_algo.errors import CleanroomError, ObjectLostError, ObjectStoreError

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

SCHEME: Final = "s3://"
CONNECTIONS: Final = 32
"""Concurrent requests of one process: S3 answers each one with 50 to 90 MB/s."""
_PAUSES = (0.0, 1.0, 3.0, 8.0)  # seconds before a range is requested again; boto3 itself gives up within one second
_PATIENCE_SECONDS = 120.0  # after this time there are no retries, even if each answer takes as long as its timeout
_CONNECT_SECONDS = 10
_READ_SECONDS = 30
_DENIED = frozenset({"AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"})
_GONE = frozenset({"NoSuchKey", "404"})
_CHANGED = frozenset({"PreconditionFailed", "412", "InvalidRange", "416"})
_SERVICE_FAILED = 500  # and above, such as 503 SlowDown: the user's settings are not the cause


@dataclass(frozen=True, slots=True)
class S3Prefix:
    """The location of a channel: an object, or all objects below a prefix."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, uri: str) -> Self:
        """Return the prefix in an s3:// URI.

        Raises:
            ObjectStoreError: CR-ROM-004, it is not an s3:// URI.
        """
        return cls(*split_uri(uri))

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.key}"


@dataclass(frozen=True, slots=True)
class S3Object:
    """One object as it was listed.

    Attributes:
        bucket: its bucket.
        key: in the bucket.
        etag: of the listed content; other content is not read.
        endpoint: the URL of the service; None: as boto3 finds it.
        modified: seconds since 1970.
    """

    bucket: str
    key: str
    etag: str
    endpoint: str | None = None
    modified: float = 0.0

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.key}"


def split_uri(uri: str) -> tuple[str, str]:
    """Return bucket and key of an s3:// URI.

    Raises:
        ObjectStoreError: CR-ROM-004, it is not an s3:// URI.
    """
    bucket, _, key = uri.removeprefix(SCHEME).partition("/")
    if not uri.startswith(SCHEME) or not bucket:
        raise ObjectStoreError(
            f"{uri} is not an s3:// URI",
            expected="an s3:// URI with an accessible bucket",
            fix="write s3://BUCKET/PREFIX",
        )
    return bucket, key


@functools.cache
def client(endpoint: str | None, region: str | None = None) -> Any:
    """Return the client of this process for an endpoint and a region; several threads may use it.

    Raises:
        ObjectStoreError: CR-ROM-004, boto3 cannot create one with its configuration.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    config = Config(max_pool_connections=CONNECTIONS, connect_timeout=_CONNECT_SECONDS, read_timeout=_READ_SECONDS)
    try:
        return boto3.session.Session().client("s3", endpoint_url=endpoint, region_name=region, config=config)
    except (BotoCoreError, ValueError) as error:  # botocore raises ValueError for an invalid URL
        raise explained(error, "S3") from error


def list_objects(prefix: S3Prefix, endpoint: str | None) -> Iterator[tuple[S3Object, int]]:
    """Yield the objects whose keys begin with a prefix, and their sizes in bytes, in the order of their keys.

    Raises:
        ObjectStoreError: CR-ROM-004, they cannot be listed.
    """
    with telling(str(prefix)):
        pages = client(endpoint).get_paginator("list_objects_v2").paginate(Bucket=prefix.bucket, Prefix=prefix.key)
        for page in pages:
            for each in page.get("Contents", ()):
                modified = each["LastModified"].timestamp()
                yield S3Object(prefix.bucket, each["Key"], each["ETag"], endpoint, modified), each["Size"]


def get_range(place: S3Object, start: int, end: int) -> bytes:
    """Return the bytes of an object from `start` to `end`, only from the listed content.

    Raises:
        ObjectLostError: CR-ROM-008, the object was deleted or replaced.
        ObjectStoreError: CR-ROM-004, S3 refuses, or does not answer.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    give_up_at = time.monotonic() + _PATIENCE_SECONDS
    for pause in (*_PAUSES, None):
        try:
            data = _got(place, start, end)
        except (BotoCoreError, ClientError) as error:
            if pause is None or not _may_pass(error) or time.monotonic() > give_up_at:
                raise explained(error, str(place)) from error
        else:
            if len(data) == end - start:
                return data
        time.sleep(pause or 0.0)
    raise _lost(f"{place} has fewer bytes than when it was listed")


def _got(place: S3Object, start: int, end: int) -> bytes:
    where = {"Bucket": place.bucket, "Key": place.key, "IfMatch": place.etag, "Range": f"bytes={start}-{end - 1}"}
    with contextlib.closing(client(place.endpoint).get_object(**where)["Body"]) as body:
        data: bytes = body.read()
        return data


def _may_pass(error: Exception) -> bool:
    """Whether a retry may succeed: a job of hours should survive some seconds without S3."""
    from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError

    if isinstance(error, ClientError):
        return _status(error) >= _SERVICE_FAILED
    return isinstance(error, (HTTPClientError, IncompleteReadError))


@contextlib.contextmanager
def telling(what: str) -> Iterator[None]:
    """Convert errors of S3 or boto3 to this package's errors.

    Args:
        what: its URI.

    Raises:
        CleanroomError: CR-ROM-004 or CR-ROM-008.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (Boto3Error, BotoCoreError, ClientError) as error:
        raise explained(error, what) from error


def explained(error: Exception, what: str) -> CleanroomError:
    """Return this package's error for an error of S3 or boto3.

    Args:
        error: of boto3 or botocore.
        what: the requested URI.
    """
    from botocore.exceptions import ClientError, HTTPClientError, NoCredentialsError
    from botocore.exceptions import ConnectionError as UnreachableError

    code = error.response.get("Error", {}).get("Code", "") if isinstance(error, ClientError) else ""
    if code in _GONE:
        return _lost(f"{what} no longer exists")
    if code in _CHANGED:
        return _lost(f"{what} has changed since the job was planned")
    expected, fix = "a bucket that you may use", "check the bucket, the endpoint and the credentials"
    if code == "NoSuchBucket":
        fix = "correct the name of the bucket; `aws s3 ls` shows yours"
    elif code in _DENIED:
        fix = "give your user or role s3:ListBucket, s3:GetObject and s3:PutObject there, or choose another AWS_PROFILE"
    elif isinstance(error, NoCredentialsError):
        fix = "give boto3 credentials: `aws configure`, or AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    elif isinstance(error, (UnreachableError, HTTPClientError)):
        expected, fix = (
            "an S3 service that answers",
            "check the network, the region and AWS_ENDPOINT_URL; then try again",
        )
    elif isinstance(error, ClientError) and _status(error) >= _SERVICE_FAILED:
        expected, fix = (
            "a working S3 service: it accepted the request and then failed",
            "try again later; AWS_RETRY_MODE=standard and a larger AWS_MAX_ATTEMPTS bridge longer failures",
        )
    return ObjectStoreError(f"{what}: {error}", expected=expected, fix=fix)


def _status(error: ClientError) -> int:
    """Return the HTTP status of an error; 0 if there was no answer."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _lost(what: str) -> ObjectLostError:
    return ObjectLostError(
        what,
        expected="objects that do not change until the job has ended",
        fix="start the job again when no program writes to this location",
    )
