"""From the bytes of a request to the bytes of its answer."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import repeat
from typing import IO

import polars as pl

from cleanroom_algo.channels.features import Features
from cleanroom_algo.channels.formats.blocks import MAX_ROW_BYTES, cut_rows
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.contract.redaction import Redactor
from cleanroom_algo.contract.sizes import format_bytes
from cleanroom_algo.errors import AnswerSpaceError, BodyTooLargeError, ModelFilesError, RowTooLongError, SchemaError
from cleanroom_algo.serving.codecs.documents import decode_document
from cleanroom_algo.serving.codecs.encoding import encode_lines, encode_whole
from cleanroom_algo.serving.codecs.lines import LineDecoder, Rows
from cleanroom_algo.serving.codecs.media_types import MediaType
from cleanroom_algo.serving.predictor import Predictor
from cleanroom_algo.serving.scoring.body import gather, read_all
from cleanroom_algo.serving.scoring.prediction import answer_or_refuse

RECORDS = f"records of at most {MAX_ROW_BYTES >> 20} MiB, in a body of lines of any length"
SPOOL_BYTES = 32 << 20  # of an answer that are kept in memory; a longer answer goes to a temporary file


@dataclass(slots=True)
class RequestStats:
    """The results of a request, for the log and the metrics.

    Attributes:
        rows: records.
        placeholders: records that were answered by a placeholder.
        nan: records whose prediction contains a NaN.
        unknown: columns whose categories are all unknown in the first records.
    """

    rows: int = 0
    placeholders: int = 0
    nan: int = 0
    unknown: list[str] = field(default_factory=list)


class Scorer:
    """Answers requests with one predictor.

    Args:
        predictor: loaded.
        schema: of the artifacts.
        placeholder: the text in place of a record that does not fit; None to refuse the request.
        redact: describes the algorithm's exceptions.
    """

    def __init__(
        self, predictor: Predictor, schema: Schema, *, placeholder: str | None = None, redact: Redactor | None = None
    ) -> None:
        self.predictor = predictor
        self.schema = schema
        self.placeholder = placeholder
        self.redact = redact or Redactor()

    def respond(
        self,
        chunks: Iterable[bytes],
        request: MediaType,
        response: MediaType,
        *,
        turn: Callable[[], AbstractContextManager[None]] = nullcontext,
        stats: RequestStats | None = None,
    ) -> IO[bytes]:
        """Return the answer to a body, positioned at its start: one prediction per record, in their order.

        A body of lines is read, answered and released block by block. The answer is complete before its first byte is
        sent, because a bad record at the end of the body must refuse the complete request.

        Args:
            chunks: the body as plain UTF-8 bytes.
            request: its format.
            response: the format to write.
            turn: held while something is computed, not while waiting for the network.
            stats: counts what happened.

        Raises:
            BadRecordError: records do not fit the schema.
            BodyIncompleteError: the body does not arrive completely.
            BodyTooLargeError: a record of a body of lines is larger than 64 MiB.
            PredictionFailedError: the algorithm raised.
            PredictionShapeError: its predictions do not match the rows.
            AnswerSpaceError: the answer is long and does not fit on the disk.
        """
        stats = RequestStats() if stats is None else stats
        spool: IO[bytes] = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115 (the response closes it)
        frames: list[pl.DataFrame] = []
        try:
            for decode in self._decoders(chunks, request):
                with turn():
                    rows = decode()
                    if rows is None:
                        break
                    if not stats.rows and self._features is not None:
                        stats.unknown = self._features.unknown_columns(rows.frame)
                    predicted = self.predict(rows)
                    if response.lines:
                        self._append(spool, encode_lines(predicted, response, null=self.placeholder))
                    else:
                        frames.append(predicted)
                stats.rows += predicted.height
                stats.placeholders += len(rows.bad)
                stats.nan += nan_rows(predicted)
            if not response.lines:
                with turn():
                    spool.write(encode_whole(frames or [self.predict(Rows.none(self.schema))], response))
            spool.seek(0)
        except OSError as error:  # of the temporary file: other errors have already been converted
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
        """Return one prediction per record; null for a record that does not fit.

        Raises:
            PredictionFailedError: the algorithm raised.
            PredictionShapeError: its predictions do not match the rows.
        """
        return rows.scatter(answer_or_refuse(self.predictor, rows.frame, self.redact))

    @cached_property
    def _features(self) -> Features | None:
        """The features, or None: other programs may write no such file, or another one of this name."""
        try:
            return self.predictor.artifacts.features
        except (ModelFilesError, SchemaError):
            return None

    def _decoders(self, chunks: Iterable[bytes], request: MediaType) -> Iterator[Callable[[], Rows | None]]:
        """Yield functions that decode the next records, or None after the last: reading waits, decoding computes."""
        lenient = self.placeholder is not None
        if request.lines:
            lines = LineDecoder(request, self.schema, lenient=lenient)
            pieces = gather(chunks, end=b"\n")  # a last line without its line break would be predicted separately
            for block in cut_rows(pieces, source="body", rules=lines.rules):
                yield partial(lines.decode, block)
        elif whole := read_all(chunks):
            yield from repeat(partial(next, decode_document(whole, request, self.schema, lenient=lenient), None))

    def _append(self, spool: IO[bytes], lines: bytes) -> None:
        if lines:
            if spool.tell():
                spool.write(b"\n")
            spool.write(lines)


def nan_rows(predicted: pl.DataFrame) -> int:
    """Return how many rows contain a NaN."""
    floats = [series for series in predicted if series.dtype.is_float()]
    if all((total := series.sum()) == total for series in floats):  # a NaN makes the sum NaN: faster than a mask
        return 0
    return int(pl.DataFrame([series.is_nan().fill_null(value=False) for series in floats]).max_horizontal().sum())


def _not_kept(error: OSError) -> AnswerSpaceError:
    return AnswerSpaceError(
        f"an answer over {format_bytes(SPOOL_BYTES)} cannot be kept in a temporary file: {error.strerror}",
        expected="room in the folder for temporary files (TMPDIR, or /tmp) for all answers in progress",
        fix="send smaller requests (containerExecutionParameters.maxPayloadInMB), or free disk space",
    )
