"""The default input and output of scripts: arrays of numbers, as in the SageMaker inference toolkit.

Three things differ from the toolkit, where it would be silently wrong or unsafe: CSV always has the axes (row, field),
even if it has one row or one field; a text among its numbers is an error, not NaN, and a header is skipped; npy is
never unpickled.
"""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cleanroom_algo.errors import BadRecordError, ContentTypeError, NotAcceptableError, PredictionShapeError
from cleanroom_algo.serving.codecs.media_types import MediaType

ARRAY_TYPES = (MediaType.CSV, MediaType.JSON, MediaType.NPY)
_NAMES = ", ".join(kind.media_type for kind in ARRAY_TYPES)


def decode_array(body: str | bytes, content_type: str) -> NDArray[Any]:
    """Return the array in a body.

    Args:
        body: str for text, bytes for npy.
        content_type: without parameters.

    Raises:
        ContentTypeError: CR-SRV-003, it is of another type. BadRecordError: CR-SRV-005, it does not have the format.
    """
    try:
        if content_type == MediaType.CSV.media_type and isinstance(body, str):
            return _numbers(body)
        if content_type == MediaType.JSON.media_type:
            return np.array(json.loads(body))
        if content_type == MediaType.NPY.media_type and isinstance(body, bytes):
            array: NDArray[Any] = np.load(io.BytesIO(body), allow_pickle=False)
            return array
    except (ValueError, EOFError):
        raise BadRecordError(
            f"the body cannot be read as numbers in {content_type}",
            expected="numbers, and rows of one length; in CSV also a header and empty fields",
            fix="correct the records, or define input_fn in the script",
        ) from None
    raise ContentTypeError(
        "the Content-Type of the request is not supported by the default input_fn",
        expected=f"one of {_NAMES}",
        fix="send the records in one of these formats, or define input_fn in the script",
    )


def encode_array(values: Any, accept: str) -> tuple[bytes, str]:
    """Return predictions in the first format of an Accept header that can hold them, and its name.

    Args:
        values: an array or something similar to one.
        accept: media types, separated by commas.

    Raises:
        NotAcceptableError: CR-SRV-004, the header names no such format.
        PredictionShapeError: CR-SRV-007, the values are not an array.
    """
    wanted = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    kind = next((kind for name in wanted for kind in ARRAY_TYPES if name == kind.media_type), None)
    if kind is None:
        raise NotAcceptableError(
            "the Accept header names no content type that the default output_fn can write",
            expected=f"one of {_NAMES}",
            fix="ask for one of them (outputConfiguration.accept of the inference job), or define output_fn",
        )
    try:
        return _encode(values, kind), kind.media_type
    except (TypeError, ValueError):
        raise PredictionShapeError(
            f"the default output_fn cannot write what predict_fn returned as {kind.media_type}",
            expected="an array, or lists of numbers",
            fix="return an array from predict_fn, or define output_fn in the script",
        ) from None


def _encode(values: Any, kind: MediaType) -> bytes:
    if kind is MediaType.JSON:
        return json.dumps(values, default=lambda each: np.asarray(each).tolist()).encode()
    out = io.BytesIO()
    if kind is MediaType.NPY:
        np.save(out, np.asarray(values), allow_pickle=False)
        return out.getvalue()
    np.savetxt(out, np.atleast_1d(np.asarray(values)), delimiter=",", fmt="%s")
    return out.getvalue().removesuffix(b"\n")  # a job adds the last line break


def _numbers(text: str) -> NDArray[np.float64]:
    """Return CSV as numbers, axes (row, field); empty fields are NaN, and a first line without a number is a header."""
    first, _, rest = text.partition("\n")
    names = next(csv.reader([first]), [])
    if not any(map(_is_number, names)) and any(map(str.strip, names)):
        text = rest
    if not text.strip():
        return np.empty((0, len(names)))
    try:
        return _loaded(text)
    except ValueError:
        return _loaded(text, converters=lambda field: float(field) if field.strip() else math.nan)  # slower


def _loaded(text: str, **options: Any) -> NDArray[np.float64]:
    return np.loadtxt(io.StringIO(text), delimiter=",", quotechar='"', comments=None, ndmin=2, **options)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
