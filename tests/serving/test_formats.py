from __future__ import annotations

import pytest

from cleanroom_algo.errors import ContentTypeError, NotAcceptableError
from cleanroom_algo.serving.codecs.media_types import MEDIA_TYPES, Format, request_type, response_format


@pytest.mark.parametrize(
    ("header", "kind", "charset"),
    [
        (None, Format.CSV, "utf-8"),
        ("", Format.CSV, "utf-8"),
        ("application/octet-stream", Format.CSV, "utf-8"),
        ("text/csv", Format.CSV, "utf-8"),
        ("Text/CSV; charset=ISO-8859-1; header=present", Format.CSV, "ISO-8859-1"),
        ("application/jsonlines", Format.JSON_LINES, "utf-8"),
        ("application/x-ndjson", Format.JSON_LINES, "utf-8"),
        ("application/json", Format.JSON, "utf-8"),
        ("application/x-npy; charset=latin-1", Format.NPY, "utf-8"),
        ("application/x-parquet", Format.PARQUET, "utf-8"),
        ("application/vnd.apache.arrow.stream", Format.ARROW, "utf-8"),
    ],
)
def test_content_types(header: str | None, kind: Format, charset: str) -> None:
    found = request_type(header)
    assert (found.format, found.charset) == (kind, charset)


def test_another_content_type_is_refused_with_the_list() -> None:
    with pytest.raises(ContentTypeError) as caught:
        request_type("application/x-python-pickle")
    assert all(name in caught.value.expected for name in MEDIA_TYPES)


@pytest.mark.parametrize(
    ("accept", "request_format", "chosen"),
    [
        (None, Format.CSV, Format.CSV),
        (" ", Format.JSON_LINES, Format.JSON_LINES),
        ("*/*", Format.PARQUET, Format.PARQUET),
        ("text/*", Format.JSON, Format.CSV),
        ("application/json", Format.CSV, Format.JSON),
        ("application/json;q=0.5, text/csv;q=0.9", Format.JSON, Format.CSV),
        ("application/json;q=0.5, */*;q=0.1", Format.CSV, Format.JSON),
        ("text/csv;q=0, */*", Format.JSON, Format.JSON),
        ("text/csv;q=0, */*", Format.CSV, Format.JSON_LINES),
        ("application/csv;q=0, */*", Format.CSV, Format.JSON_LINES),
        ("application/*", Format.CSV, Format.JSON_LINES),
        ("text/csv;header=false", Format.JSON, Format.CSV),
        ("application/x-ndjson", Format.CSV, Format.JSON_LINES),
        ("image/png, application/x-npy", Format.CSV, Format.NPY),
        ("TEXT/CSV", Format.JSON, Format.CSV),
    ],
)
def test_accept(accept: str | None, request_format: Format, chosen: Format) -> None:
    assert response_format(accept, request_format) is chosen


@pytest.mark.parametrize("accept", ["image/png", "text/html, application/pdf;q=0.3", "text/csv;q=0", ";;;,"])
def test_nothing_acceptable_is_refused_with_the_list(accept: str) -> None:
    with pytest.raises(NotAcceptableError) as caught:
        response_format(accept, Format.CSV)
    assert all(name in caught.value.expected for name in MEDIA_TYPES)
