"""Cuts objects into the requests of a batch transform job, and assembles the answers."""

from __future__ import annotations

from collections.abc import Iterator

from cleanroom_algo.channels.formats.gzip import GZIP_MAGIC
from cleanroom_algo.channels.formats.parquet.footer import MAGIC as PARQUET_MAGIC
from cleanroom_algo.contract.sizes import format_bytes
from cleanroom_algo.errors import InferenceInputError
from cleanroom_algo.local.objects.reference import ObjectRef
from cleanroom_algo.local.plans.inference_plan import HeaderMode
from cleanroom_algo.local.query.spark import MAX_RECORDS


def split_lines(
    reference: ObjectRef, *, max_bytes: int, has_header: bool = False, header: HeaderMode = "first-chunk"
) -> Iterator[bytes]:
    """Yield the requests of one object, each with as many whole lines as fit (SplitType Line, strategy MultiRecord).

    A line break inside a quoted field also ends a line: the platform does not support quoted line breaks (SageMaker
    developer guide, "Batch transform").

    Args:
        reference: of the object.
        max_bytes: of one request, at least 1.
        has_header: whether the object's first line is a header.
        header: which requests contain the header, if there is one.

    Raises:
        InferenceInputError: a record is larger than the maximum of a request.
    """
    with reference.open() as file:
        head = file.readline() if has_header else b""
        repeated = _ended(head) if header == "every" else b""
        pending = head if header == "first-chunk" else b""
        room = max_bytes - len(repeated)
        buffer = bytearray(max(room, 0) + 1)  # one byte more than fits shows if there is more
        view = memoryview(buffer)
        number = 0
        ended = False
        while not ended:
            held = len(pending)
            if held > room:
                raise _record_too_large(reference.key, number, max_bytes)
            buffer[:held] = pending
            held += file.readinto(view[held:])
            ended = held < len(buffer)
            end = held if ended else buffer.rfind(b"\n", 0, room) + 1
            if end:
                number += 1
                yield b"".join([repeated, view[:end]])  # only one copy
                pending = bytes(view[end:held])
            elif not ended:
                raise _record_too_large(reference.key, number, max_bytes)
        if number == 0 and repeated:
            yield repeated


def refuse_large(reference: ObjectRef, max_bytes: int) -> None:
    """Check that an object fits into one request.

    Raises:
        InferenceInputError: it is larger.
    """
    if reference.size > max_bytes:
        raise InferenceInputError(
            f"{reference.key} has {format_bytes(reference.size)}, and is sent as one request",
            expected=f"objects of at most {format_bytes(max_bytes)} (maxPayloadInMB)",
            fix=f"create the channel with a smaller {MAX_RECORDS}, or a higher maxPayloadInMB (at most 100)",
        )


def require_lines(reference: ObjectRef) -> None:
    """Check that an object has lines, by its first bytes.

    Raises:
        InferenceInputError: it is Parquet, or gzipped.
    """
    beginning = _beginning(reference)
    if beginning.startswith(GZIP_MAGIC):
        raise InferenceInputError(
            f"{reference.key} is gzipped",
            expected="plain CSV, because inference jobs split objects by line and do not unpack them",
            fix="unpack the object with gunzip before you put it into the channel",
        )
    if beginning == PARQUET_MAGIC:
        raise InferenceInputError(
            f"{reference.key} is a Parquet file",
            expected="an input channel in CSV, because inference jobs split objects by line and Parquet has no lines",
            fix="create the channel for inference with resultFormat CSV; AWS does not document inference on Parquet "
            '(inference_on_parquet = "whole-objects" in settings.toml sends each object as one request)',
        )


def assemble(answer: bytes) -> bytes:
    """Return an answer in the form in which it is added to the output of its object (AssembleWith Line)."""
    return answer + b"\n" if answer else b""


def _beginning(reference: ObjectRef) -> bytes:
    """Return enough first bytes to recognize formats without lines."""
    with reference.open() as file:
        return file.read(len(PARQUET_MAGIC))


def _ended(line: bytes) -> bytes:
    return line if not line or line.endswith(b"\n") else line + b"\n"


def _record_too_large(name: str, number: int, max_bytes: int) -> InferenceInputError:
    return InferenceInputError(
        f"a record of {name}, after request {number}, is larger than the maximum size of a request",
        expected=f"records of at most {format_bytes(max_bytes)} (maxPayloadInMB)",
        fix="increase containerExecutionParameters.maxPayloadInMB (at most 100), or remove columns from the query",
    )
