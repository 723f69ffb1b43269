"""One container's share of an inference job: from its objects to requests, and from answers to outputs, in order."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from cleanroom_algo.errors import (
    CleanroomError,
    InferenceInputError,
    InferenceRequestError,
    InferenceRowsLostError,
    RoomError,
)
from cleanroom_algo.local.jobs.inference.answers import Answer, count_lines, count_predictions, count_records
from cleanroom_algo.local.jobs.inference.client import Client
from cleanroom_algo.local.jobs.inference.header import is_predictor, order_fault
from cleanroom_algo.local.jobs.inference.split import assemble, split_lines
from cleanroom_algo.local.plans.inference_plan import InferencePlan, Transfer
from cleanroom_algo.local.plans.run_files import OUTPUT_SUFFIX
from cleanroom_algo.local.policies.caps import output_too_large

if TYPE_CHECKING:
    from cleanroom_algo.local.objects.reference import ObjectRef

STREAM_BYTES = 1 << 18  # of one piece of an object that is sent chunked


@dataclass(frozen=True, slots=True)
class InferenceProgress:
    """The progress of an inference job.

    Attributes:
        bytes_done: of the input that is answered.
        bytes_total: of the input.
        records: the number of answered records.
        seconds: since the first request.
    """

    bytes_done: int
    bytes_total: int
    records: int
    seconds: float

    @property
    def records_per_second(self) -> float:
        """The mean rate since the first request."""
        return self.records / self.seconds if self.seconds else 0.0

    @property
    def seconds_left(self) -> float | None:
        """The remaining time at the mean rate; None before the rate is known."""
        if not self.bytes_done:
            return None
        return self.seconds * (self.bytes_total - self.bytes_done) / self.bytes_done

    def __str__(self) -> str:
        share = f"{self.bytes_done / self.bytes_total:.0%}" if self.bytes_total else "100%"
        rate = f"{self.records_per_second:,.0f} rows/s"
        left = "" if self.seconds_left is None else f", about {self.seconds_left:.0f} s left"
        return f"{share}  {self.records:,} rows  {rate}{left}"


@dataclass
class TransferProgress:
    """The progress of all instances of a job together.

    Attributes:
        bytes_total: of the input.
        max_output_bytes: maximum size of the outputs.
        report: called after every answer.
    """

    bytes_total: int
    max_output_bytes: int | None
    report: Callable[[InferenceProgress], None]
    records: int = 0
    output_bytes: int = 0
    bytes_done: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._started: float | None = None

    def begin(self) -> None:
        """Start the clock at the first request of any instance."""
        with self._lock:
            self._started = self._started or time.monotonic()

    def add(self, *, input_bytes: int, output_bytes: int, records: int) -> None:
        """Count an answer.

        Raises:
            InferenceOutputTooLargeError: all outputs together exceed the maximum size.
        """
        with self._lock:
            self.bytes_done += input_bytes
            self.output_bytes += output_bytes
            self.records += records
            seconds = time.monotonic() - (self._started or time.monotonic())
            progress = InferenceProgress(
                min(self.bytes_done, self.bytes_total), self.bytes_total, self.records, seconds
            )
        if self.max_output_bytes is not None and self.output_bytes > self.max_output_bytes:
            raise output_too_large(self.output_bytes, self.max_output_bytes)
        self.report(progress)

    def forget(self, *, output_bytes: int, records: int) -> None:
        """Subtract what was counted for an object that finally has no output."""
        with self._lock:
            self.output_bytes -= output_bytes
            self.records -= records


@dataclass
class _Open:
    """An object whose requests are in progress."""

    reference: ObjectRef
    draft: Path
    file: IO[bytes]
    failure: CleanroomError | None = None
    records: int = 0


@dataclass
class _Request:
    """The content of one request.

    Attributes:
        payload: bytes, or pieces of them for a chunked body.
        size: in bytes.
        header: whether the first line is a header.
        lines: the number of lines that are not empty; None before a chunked body is sent, and if they are not counted.
    """

    payload: bytes | Iterable[bytes]
    size: int
    header: bool
    lines: int | None = None


@dataclass(frozen=True)
class _Sent:
    owner: _Open
    first: int  # number of its first record in the object, from 1
    request: _Request
    answer: Future[Answer]


class Transform:
    """Sends one instance's objects to its container.

    Several requests are in flight at the same time, also of different objects. Answers are processed in order, so no
    more of them are kept than there are requests in flight.

    Args:
        plan: of the job.
        transfer: how much to send at the same time.
        client: of the container.
        progress: of the job.
        outputs: the folder for the outputs.
        warn: called with the kind, by which warnings are counted, and the text of what the platform would not notice.
        stopped: set when the job ends early.
    """

    def __init__(
        self,
        plan: InferencePlan,
        transfer: Transfer,
        client: Client,
        progress: TransferProgress,
        outputs: Path,
        warn: Callable[[str, str], None],
        stopped: threading.Event,
    ) -> None:
        self.plan = plan
        self.transfer = transfer
        self.client = client
        self.progress = progress
        self.outputs = outputs
        self.warn = warn
        self.stopped = stopped
        self._unfinished: list[_Open] = []

    def run(self, objects: Iterable[ObjectRef]) -> list[tuple[ObjectRef, CleanroomError]]:
        """Process objects; return those that failed and have no output.

        Raises:
            InferenceOutputTooLargeError: all outputs together exceed the maximum size.
        """
        failed: list[tuple[ObjectRef, CleanroomError]] = []
        window: deque[_Sent | _Open] = deque()
        self.progress.begin()
        try:
            with ThreadPoolExecutor(self.transfer.concurrency, thread_name_prefix="transform") as pool:
                try:
                    for sent in self._send(objects, pool):
                        window.append(sent)
                        # One more than are in flight, so that a thread that has finished finds its next request.
                        while len(window) > self.transfer.concurrency + 1:
                            self._take(window.popleft(), failed)
                    while window:
                        self._take(window.popleft(), failed)
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    self.client.cancel()
                    raise
        finally:
            self.client.close()
            for opened in self._unfinished:
                opened.file.close()
                opened.draft.unlink(missing_ok=True)
        return failed

    def _send(self, objects: Iterable[ObjectRef], pool: ThreadPoolExecutor) -> Iterator[_Sent | _Open]:
        """Yield each request when it is sent, and after the requests of an object the object."""
        for reference in objects:
            target = self.outputs / (reference.key + OUTPUT_SUFFIX)
            target.parent.mkdir(parents=True, exist_ok=True)
            draft = target.with_name(f".{target.name}.part")
            opened = _Open(reference, draft, draft.open("wb"))
            self._unfinished.append(opened)
            first = 1
            try:
                for request in self._requests(reference):
                    if opened.failure is not None or self.stopped.is_set():
                        break  # no output of this object will be kept
                    yield _Sent(opened, first, request, pool.submit(self.client.invoke, request.payload))
                    first += (request.lines or 0) - request.header
            except (InferenceInputError, RoomError, OSError) as error:
                opened.failure = opened.failure or _as_input_error(error, reference)
            yield opened

    def _requests(self, reference: ObjectRef) -> Iterator[_Request]:
        if self.transfer.payload_bytes == 0:
            if reference.size:
                yield self._streamed(reference)
            return
        payloads = split_lines(
            reference,
            max_bytes=self.transfer.payload_bytes,
            has_header=self.plan.has_header,
            header=self.plan.header,
        )
        carrying = {"none": 0, "first-chunk": 1, "every": math.inf}[self.plan.header]  # requests with the header
        for number, payload in enumerate(payloads):
            if number == carrying:
                self._check_order(reference)
            yield _Request(payload, len(payload), self.plan.has_header and number < carrying, count_lines(payload))

    def _check_order(self, reference: ObjectRef) -> None:
        """Check that the rows of an object can be read without its header.

        Raises:
            InferenceInputError: a Predictor would read them wrongly.
        """
        fault = None if self.plan.schema is None else order_fault(reference, self.plan.schema)
        if fault is None:
            return
        if is_predictor(self.plan.source, self.plan.environment):
            raise fault
        self.warn("order", f"{fault.what}, unless the server reads them in its own way")

    def _streamed(self, reference: ObjectRef) -> _Request:
        """Return a request with a whole object, whose lines are counted while they are sent."""
        request = _Request((), reference.size, header=self.plan.has_header and not self.plan.whole_objects)

        def pieces() -> Iterator[bytes]:
            lines, rest = 0, b""
            with reference.open() as file:
                while piece := file.read(STREAM_BYTES):
                    whole, end, rest = (rest + piece).rpartition(b"\n")
                    lines += count_lines(whole + end)
                    yield piece
            if not self.plan.whole_objects:
                request.lines = lines + count_lines(rest)

        request.payload = pieces()
        return request

    def _take(self, taken: _Sent | _Open, failed: list[tuple[ObjectRef, CleanroomError]]) -> None:
        if isinstance(taken, _Open):
            self._finish(taken, failed)
            return
        owner = taken.owner
        try:
            answer = taken.answer.result()
            predictions = self._count(taken, answer)
        except InferenceRequestError as error:
            what = f"{_place(taken)}: {error.what}"
            owner.failure = owner.failure or InferenceRequestError(what, expected=error.expected, fix=error.fix)
            return
        except InferenceRowsLostError as error:
            owner.failure = owner.failure or error
            return
        if owner.failure is not None:
            return
        written = owner.file.write(assemble(answer.body))
        owner.records += predictions
        self.progress.add(input_bytes=taken.request.size, output_bytes=written, records=predictions)

    def _count(self, sent: _Sent, answer: Answer) -> int:
        """Return how many predictions an answer contains, after comparing them with the request.

        Raises:
            InferenceRowsLostError: there are fewer than records.
        """
        lines, header = sent.request.lines, sent.request.header
        if lines is None:
            return count_predictions(answer, ()) or 0
        records = lines - header
        found = count_predictions(answer, {records, lines})
        key = sent.owner.reference.key
        if found is None:
            self.warn("not-counted", f"{key}: answers of the type {answer.content_type} are not counted")
            return records
        if found < records:
            self._lost(sent, records, found)
        elif found > lines:
            self.warn(
                "too-many",
                f"{_place(sent)}: {records:,} records were answered by {found:,} predictions, which cannot "
                "be matched with them; the platform does not check this",
            )
        elif header and found == records and not self.plan.header_known:
            self.warn(
                "header",
                f"{key}: its first line has no prediction and no number, so it is treated as a header; if it is a "
                "record, the server has lost it",
            )
        return records if found == lines else found

    def _lost(self, sent: _Sent, records: int, found: int) -> None:
        what = f"{_place(sent)}: {records:,} records were answered by {found:,} predictions"
        if self.plan.lost_rows == "warn":
            self.warn("lost", f"{what}; the output cannot be matched with the input")
            return
        payload = sent.request.payload
        if isinstance(payload, bytes) and count_records(payload) - sent.request.header == found:
            raise InferenceRowsLostError(
                f"{_place(sent)}: {records - found:,} line break(s) are inside quotes",
                expected="one line for each record: batch transform does not support line breaks inside quotes, and "
                "may divide a record there (SageMaker developer guide)",
                fix="replace these line breaks in the query or the file, for example by spaces",
            )
        raise InferenceRowsLostError(
            what,
            expected="one prediction for each record",
            fix="also predict the first line of a request (pandas.read_csv treats it as a header unless "
            'header=None); with inference_lost_rows = "warn" in settings.toml, such jobs continue',
        )

    def _finish(self, owner: _Open, failed: list[tuple[ObjectRef, CleanroomError]]) -> None:
        written = owner.file.tell()
        owner.file.close()
        self._unfinished.remove(owner)
        if self.stopped.is_set() and owner.failure is None:
            owner.failure = InferenceRequestError(
                "the job was stopped", expected="a job that runs to its end", fix="start the job again"
            )
        if owner.failure is None:
            owner.draft.replace(self.outputs / (owner.reference.key + OUTPUT_SUFFIX))
        else:
            owner.draft.unlink()
            self.progress.forget(output_bytes=written, records=owner.records)
            failed.append((owner.reference, owner.failure))


def _place(sent: _Sent) -> str:
    """Return where a request begins: positions in messages of the container are counted from there."""
    key = sent.owner.reference.key
    return key if sent.request.lines is None else f"{key}, from record {sent.first} on"


def _as_input_error(error: Exception, reference: ObjectRef) -> CleanroomError:
    if isinstance(error, CleanroomError):
        return error
    return InferenceInputError(
        f"{reference.key} cannot be read ({type(error).__name__})",
        expected="the object in the state in which the job was planned",
        fix="keep the input channel's files until the job has ended",
    )
