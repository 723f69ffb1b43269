"""From the bytes of a request to the bytes of its answer."""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import IO, ParamSpec, TypeVar

import polars as pl

from cleanroom_algo.channels.formats.blocks import MAX_ROW_BYTES, cut_rows
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.contract.failure import is_library
from cleanroom_algo.contract.sizes import format_bytes
from cleanroom_algo.errors import (
    AnswerSpaceError,
    BodyTooLargeError,
    CleanroomError,
    PredictionFailedError,
    RowTooLongError,
)
from cleanroom_algo.serving.codecs.documents import decode_document
from cleanroom_algo.serving.codecs.encoding import encode_few, encode_lines, encode_whole
from cleanroom_algo.serving.codecs.lines import LineDecoder, Rows
from cleanroom_algo.serving.codecs.media_types import Format
from cleanroom_algo.serving.few_rows import FewRows
from cleanroom_algo.serving.predictor import Predictor, answer, answer_arrays, to_frame
from cleanroom_algo.serving.scoring.body import gather, joined

Given = ParamSpec("Given")
Output = TypeVar("Output")

RECORDS = f"records of at most {MAX_ROW_BYTES >> 20} MiB, in a body of lines of any length"
SPOOL_BYTES = 32 << 20  # of an answer that stay in memory; a longer one goes to a temporary file


@dataclass(slots=True)
class Tally:
    """What became of a request, for the log and the metrics.

    Attributes:
        rows: records.
        placeholders: those answered by a placeholder.
        nan: those whose prediction holds a NaN.
    """

    rows: int = 0
    placeholders: int = 0
    nan: int = 0


class Scorer:
    """Answers requests with one predictor.

    Args:
        predictor: loaded.
        schema: of the artifacts.
        placeholder: the text in place of a record that does not fit; None to refuse the request.
    """

    def __init__(self, predictor: Predictor, schema: Schema, *, placeholder: str | None = None) -> None:
        self.predictor = predictor
        self.schema = schema
        self.placeholder = placeholder
        self._few = FewRows.of(predictor, schema)

    def respond(
        self,
        chunks: Iterable[bytes],
        request: Format,
        response: Format,
        *,
        turn: Callable[[], AbstractContextManager[None]] = nullcontext,
        tally: Tally | None = None,
    ) -> IO[bytes]:
        """Return the answer to a body, positioned at its start: one prediction per record, in their order.

        A body of lines is read, answered and forgotten block by block. The answer is complete before its first byte is
        sent: a bad record at the end of the body must still be able to refuse the whole.

        Args:
            chunks: the body as plain UTF-8 bytes.
            request: its format.
            response: the format to write.
            turn: held while something is computed, not while the network is waited for.
            tally: counts what happened.

        Raises:
            BadRecordError: records do not fit the schema.
            BodyIncompleteError: the body does not arrive whole.
            BodyTooLargeError: a record of a body of lines is over 64 MiB.
            PredictionFailedError: the algorithm raised.
            PredictionShapeError: its predictions do not match the rows.
            AnswerSpaceError: the answer is long, and the disk has no room for it.
        """
        tally = Tally() if tally is None else tally
        spool: IO[bytes] = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115 (the response closes it)
        frames: list[pl.DataFrame] = []
        try:
            for decode in self._decoders(chunks, request):
                with turn():
                    rows = decode()
                    if rows is None:
                        break
                    predicted = self.predict(rows)
                    if response.value.lines:
                        self._append(spool, encode_lines(predicted, response, null=self.placeholder))
                    else:
                        frames.append(predicted)
                tally.rows += predicted.height
                tally.placeholders += len(rows.bad)
                tally.nan += nan_rows(predicted)
            if not response.value.lines:
                with turn():
                    spool.write(encode_whole(frames or [self.predict(Rows.none(self.schema))], response))
            spool.seek(0)
        except OSError as error:  # of the spool: what others raise has become an error of ours
            with suppress(OSError):
                spool.close()
            raise _not_kept(error) from None
        except RowTooLongError as error:
            spool.close()
            raise BodyTooLargeError(error.what, expected=RECORDS, fix=error.fix) from None
        except BaseException:
            spool.close()
            raise
        return spool

    def predict(self, rows: Rows) -> pl.DataFrame:
        """Return one prediction per record; null where a record does not fit.

        Raises:
            PredictionFailedError: the algorithm raised.
            PredictionShapeError: its predictions do not match the rows.
        """
        return rows.scatter(_of_the_algorithm(answer, self.predictor, rows.frame))

    def respond_to_few(self, body: bytes, tally: Tally) -> bytes | None:
        """Return the lines of CSV that `respond` would answer, in half the time; None where only `respond` can.

        Args:
            body: a few lines of CSV, each of them certainly a record.
            tally: counts what happened.

        Raises:
            PredictionFailedError: the algorithm raised.
            PredictionShapeError: its predictions do not match the rows.
        """
        arrays = self._few.arrays(body) if self._few else None
        if arrays is None:
            return None
        predicted = _of_the_algorithm(answer_arrays, self.predictor, arrays)
        lines = _of_the_algorithm(encode_few, predicted, arrays.rows)
        if lines is None:
            frame = _of_the_algorithm(to_frame, predicted, arrays.rows)
            lines = encode_lines(frame, Format.CSV, null=self.placeholder)
            tally.nan += nan_rows(frame)
        tally.rows += arrays.rows
        return lines

    def _decoders(self, chunks: Iterable[bytes], request: Format) -> Iterator[Callable[[], Rows | None]]:
        """Yield what decodes the next records, or None after the last: reading waits, decoding computes."""
        lenient = self.placeholder is not None
        if request.value.lines:
            lines = LineDecoder(request, self.schema, lenient=lenient)
            pieces = gather(chunks, end=b"\n")  # a last line without its end would be predicted by itself
            for block in cut_rows(pieces, source="body", rules=lines.rules):
                yield partial(lines.decode, block)
        elif whole := joined(chunks):
            yield from repeat(partial(next, decode_document(whole, request, self.schema, lenient=lenient), None))

    def _append(self, spool: IO[bytes], lines: bytes) -> None:
        if lines:
            if spool.tell():
                spool.write(b"\n")
            spool.write(lines)


def _of_the_algorithm(function: Callable[Given, Output], *given: Given.args, **named: Given.kwargs) -> Output:
    """Return what comes of an algorithm's code or values; what they raise becomes an error of ours."""
    try:
        return function(*given, **named)
    except (CleanroomError, MemoryError):
        raise
    except BaseException as error:  # SystemExit, KeyboardInterrupt, a panic in Rust: each would end the process
        if "can't allocate memory" in str(error):  # torch's words
            raise MemoryError from error
        raise prediction_failed(error) from error


def nan_rows(predicted: pl.DataFrame) -> int:
    """Return how many rows hold a NaN."""
    floats = [series for series in predicted if series.dtype.is_float()]
    if all((total := series.sum()) == total for series in floats):  # a NaN makes the sum one: cheaper than a mask
        return 0
    return int(pl.DataFrame([series.is_nan().fill_null(value=False) for series in floats]).max_horizontal().sum())


def prediction_failed(error: BaseException) -> PredictionFailedError:
    """Return the error for an exception of the algorithm's own code: its type and place, without its message."""
    return PredictionFailedError(
        f"the algorithm raised {type(error).__name__} at {place_of(error)}",
        expected="a prediction for every row that fits the schema",
        fix="run the algorithm on local data, where CLEANROOM_ALGO_LOG_LEVEL=DEBUG shows the whole traceback",
    )


def _not_kept(error: OSError) -> AnswerSpaceError:
    return AnswerSpaceError(
        f"an answer over {format_bytes(SPOOL_BYTES)} cannot be kept in a temporary file: {error.strerror}",
        expected="room in the folder for temporary files (TMPDIR, or /tmp) for all answers that are in work",
        fix="send smaller requests (containerExecutionParameters.maxPayloadInMB), or make room",
    )


def place_of(error: BaseException) -> str:
    """Return where an exception was raised, in the algorithm's own code if it went through that."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not is_library(frame.filename)] or frames
    return f"{Path(own[-1].filename).name}:{own[-1].lineno} in {own[-1].name}" if own else "an unknown place"
