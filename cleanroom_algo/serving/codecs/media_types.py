"""The content types of requests and answers, and how one is chosen."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header, parse_options_header

from cleanroom_algo.errors import ContentTypeError, NotAcceptableError


class MediaType(Enum):
    """The formats that the server reads and writes.

    Attributes:
        media_type: its name in answers.
        aliases: further names that clients use.
    """

    CSV = "text/csv", ("application/csv", "text/x-csv")
    JSON_LINES = (
        "application/jsonlines",
        ("application/x-jsonlines", "application/jsonl", "application/x-ndjson", "application/ndjson"),
    )
    JSON = "application/json", ()
    PARQUET = "application/vnd.apache.parquet", ("application/x-parquet", "application/parquet")
    NPY = "application/x-npy", ("application/npy",)
    ARROW = "application/vnd.apache.arrow.stream", ("application/x-arrow",)

    def __init__(self, media_type: str, aliases: tuple[str, ...]) -> None:
        self.media_type = media_type
        self.aliases = aliases

    @property
    def lines(self) -> bool:
        """Whether each line is a record, so that a body can be processed block by block."""
        return self in {MediaType.CSV, MediaType.JSON_LINES}

    @property
    def text(self) -> bool:
        """Whether a charset applies."""
        return self.lines or self is MediaType.JSON

    @property
    def content_type(self) -> str:
        """The Content-Type of answers: all text is UTF-8, which JSON need not declare (RFC 8259, section 8.1)."""
        return f"{self.media_type}; charset=utf-8" if self.media_type.startswith("text/") else self.media_type


MEDIA_TYPES = tuple(each.media_type for each in MediaType)

_BY_NAME = {name: each for each in MediaType for name in (each.media_type, *each.aliases)}


@dataclass(frozen=True, slots=True)
class ContentType:
    """The format of a request, and the charset of its text."""

    media_type: MediaType
    charset: str = "utf-8"


def request_type(header: str | None) -> ContentType:
    """Return the format in a Content-Type header.

    A request without one is read as CSV: the user guide of Clean Rooms ML does not say which Content-Type its jobs
    send, and the only channels that can be split by line are CSV.

    Raises:
        ContentTypeError: the type is not one of `MEDIA_TYPES`.
    """
    name, options = parse_options_header(header)
    if not name or name == "application/octet-stream":
        return ContentType(MediaType.CSV)
    kind = _BY_NAME.get(name.lower())
    if kind is None:
        raise ContentTypeError(
            "the Content-Type of the request is not supported",
            expected=f"one of {', '.join(MEDIA_TYPES)}",
            fix="send the records in one of these formats, such as text/csv",
        )
    return ContentType(kind, options.get("charset", "utf-8") if kind.text else "utf-8")


def response_format(header: str | None, request: MediaType) -> MediaType:
    """Return the format of the answer: the best one that an Accept header allows (RFC 9110, section 12.5.1).

    Between equal formats, that of the request is used, because a job that sends lines expects lines.

    Raises:
        NotAcceptableError: the header allows none of `MEDIA_TYPES`.
    """
    if not header or not header.strip():
        return request
    accepted = MIMEAccept([(_usual(name), quality) for name, quality in parse_accept_header(header, MIMEAccept)])
    offered = [request, *(kind for kind in MediaType if kind is not request)]
    chosen = accepted.best_match([kind.media_type for kind in offered])
    if chosen is None:
        raise NotAcceptableError(
            "the Accept header allows no content type that the server can write",
            expected=f"one of {', '.join(MEDIA_TYPES)}",
            fix="ask for one of them (outputConfiguration.accept of the inference job), or for */*",
        )
    return _BY_NAME[chosen]


def _usual(name: str) -> str:
    # Parameters such as charset or header=false do not restrict anything that the server could change.
    bare = name.partition(";")[0].strip().lower()
    return _BY_NAME[bare].media_type if bare in _BY_NAME else bare
