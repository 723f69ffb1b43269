from __future__ import annotations

import pytest

from cleanroom_algo.errors import ContentTypeError, NotAcceptableError
from cleanroom_algo.serving.codecs.media_types import MEDIA_TYPES, MediaType, request_type, response_format


@pytest.mark.parametrize(
    ("header", "kind", "charset"),
    [
        (None, MediaType.CSV, "utf-8"),
        ("", MediaType.CSV, "utf-8"),
        ("application/octet-stream", MediaType.CSV, "utf-8"),
        ("text/csv", MediaType.CSV, "utf-8"),
        ("Text/CSV; charset=ISO-8859-1; header=present", MediaType.CSV, "ISO-8859-1"),
        ("application/jsonlines", MediaType.JSON_LINES, "utf-8"),
        ("application/x-ndjson", MediaType.JSON_LINES, "utf-8"),
        ("application/json", MediaType.JSON, "utf-8"),
        ("application/x-npy; charset=latin-1", MediaType.NPY, "utf-8"),
        ("application/x-parquet", MediaType.PARQUET, "utf-8"),
        ("application/vnd.apache.arrow.stream", MediaType.ARROW, "utf-8"),
    ],
)
def test_content_types(header: str | None, kind: MediaType, charset: str) -> None:
    found = request_type(header)
    assert (found.media_type, found.charset) == (kind, charset)


def test_another_content_type_is_refused_with_the_list() -> None:
    with pytest.raises(ContentTypeError) as caught:
        request_type("application/x-python-pickle")
    assert all(name in caught.value.expected for name in MEDIA_TYPES)


@pytest.mark.parametrize(
    ("accept", "request_format", "chosen"),
    [
        (None, MediaType.CSV, MediaType.CSV),
        (" ", MediaType.JSON_LINES, MediaType.JSON_LINES),
        ("*/*", MediaType.PARQUET, MediaType.PARQUET),
        ("text/*", MediaType.JSON, MediaType.CSV),
        ("application/json", MediaType.CSV, MediaType.JSON),
        ("application/json;q=0.5, text/csv;q=0.9", MediaType.JSON, MediaType.CSV),
        ("application/json;q=0.5, */*;q=0.1", MediaType.CSV, MediaType.JSON),
        ("text/csv;q=0, */*", MediaType.JSON, MediaType.JSON),
        ("text/csv;q=0, */*", MediaType.CSV, MediaType.JSON_LINES),
        ("application/csv;q=0, */*", MediaType.CSV, MediaType.JSON_LINES),
        ("application/*", MediaType.CSV, MediaType.JSON_LINES),
        ("text/csv;header=false", MediaType.JSON, MediaType.CSV),
        ("application/x-ndjson", MediaType.CSV, MediaType.JSON_LINES),
        ("image/png, application/x-npy", MediaType.CSV, MediaType.NPY),
        ("TEXT/CSV", MediaType.JSON, MediaType.CSV),
    ],
)
def test_accept(accept: str | None, request_format: MediaType, chosen: MediaType) -> None:
    assert response_format(accept, request_format) is chosen


@pytest.mark.parametrize("accept", ["image/png", "text/html, application/pdf;q=0.3", "text/csv;q=0", ";;;,"])
def test_nothing_acceptable_is_refused_with_the_list(accept: str) -> None:
    with pytest.raises(NotAcceptableError) as caught:
        response_format(accept, MediaType.CSV)
    assert all(name in caught.value.expected for name in MEDIA_TYPES)
