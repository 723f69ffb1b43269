"""CR-SRV: serving."""

from __future__ import annotations

from typing import ClassVar

from cleanroom_algo.errors.base import CleanroomError


class ServingError(CleanroomError):
    """Answering inference requests."""

    http_status: ClassVar[int] = 500


class BodyTooLargeError(ServingError):
    """A request is larger than the server takes.

    A batch transform job sends at most 100 MB in one request (SageMaker API, CreateTransformJob, MaxPayloadInMB).
    Line formats sent with chunked transfer encoding have no limit, as they are answered block by block; one record, and
    a body of another format, must fit into the limit.
    """

    code = "CR-SRV-001"
    title = "request too large"
    http_status = 413


class BodyIncompleteError(ServingError):
    """A request ended before its declared end, or its transfer or content encoding is broken.

    Answering the part that arrived would lose records without a word, so nothing of it is answered.
    """

    code = "CR-SRV-002"
    title = "request body incomplete"
    http_status = 400


class ContentTypeError(ServingError):
    """The Content-Type, its charset or the Content-Encoding of a request is not one that the server reads."""

    code = "CR-SRV-003"
    title = "content type not readable"
    http_status = 415


class NotAcceptableError(ServingError):
    """The Accept header of a request names no content type that the server writes."""

    code = "CR-SRV-004"
    title = "no acceptable content type"
    http_status = 406


class BadRecordError(ServingError):
    """Records of a request do not fit the schema that travels in the artifacts.

    The positions are named, the values never. With CLEANROOM_ALGO_SERVE_BAD_RECORDS=placeholder such records are
    answered by a placeholder instead, so that one of them does not cost the whole object of a batch transform job.
    """

    code = "CR-SRV-005"
    title = "records do not fit"
    http_status = 400


class OverloadedError(ServingError):
    """More requests arrived than the server holds in its queue; the answer says when to come again."""

    code = "CR-SRV-006"
    title = "server busy"
    http_status = 503


class PredictionShapeError(ServingError):
    """The algorithm's `predict` did not give exactly one prediction per row."""

    code = "CR-SRV-007"
    title = "predictions do not match the rows"


class PredictionFailedError(ServingError):
    """The algorithm's own code raised while it predicted.

    The exception's type and place are told; its message is left out, because it may quote a row. Set
    CLEANROOM_ALGO_LOG_LEVEL=DEBUG, on data that may be seen, to have the whole traceback in the log.
    """

    code = "CR-SRV-008"
    title = "prediction failed"


class BodyTimeoutError(ServingError):
    """A client sent its request too slowly; the connection was given up so that others are served."""

    code = "CR-SRV-009"
    title = "request too slow"
    http_status = 408


class ServerStartError(ServingError):
    """The server could not start: the port is taken, `load` raised, or the model predicts nothing but NaN.

    The last is what weights do that training left as NaN. The rows of the warm-up are invented; where they are no legal
    input, `Predictor.sample` says which are.
    """

    code = "CR-SRV-010"
    title = "server cannot start"


class ModelFilesError(ServingError):
    """The model directory lacks what the predictor asks of it: weights, features or a schema."""

    code = "CR-SRV-011"
    title = "model files missing"


class MemoryExhaustedError(ServingError):
    """A request needed more memory than the container has left.

    Nothing of it was answered. The answer is 503, as it may go better when fewer requests are in work at once; what
    always helps is a smaller request: containerExecutionParameters.maxPayloadInMB of the inference job.
    """

    code = "CR-SRV-012"
    title = "out of memory"
    http_status = 503


class NoSuchPathError(ServingError):
    """A request asks for a path at which the server has nothing.

    There are those that the platform asks for: /ping, /execution-parameters and /invocations.
    """

    code = "CR-SRV-013"
    title = "no such path"
    http_status = 404


class MethodError(ServingError):
    """A request uses a method that its path does not take; the Allow header of the answer names those it does."""

    code = "CR-SRV-014"
    title = "method not allowed"
    http_status = 405


class MalformedRequestError(ServingError):
    """What came over a connection is not an HTTP request that the server can read.

    Most often a Content-Length was wrong: the rest of such a body is taken for the next request.
    """

    code = "CR-SRV-015"
    title = "malformed request"
    http_status = 400


class ServerDiedError(ServingError):
    """A process of the server ended without a word, while it loaded the model, warmed up or served.

    Python can say nothing any more where `os._exit` is called, native code crashes, or the kernel kills a process for
    lack of memory; the process above the server says it. A serving process that dies among others is replaced.
    """

    code = "CR-SRV-016"
    title = "server died"


class StartTimeoutError(ServingError):
    """Loading the model or warming up did not end in time: CLEANROOM_ALGO_SERVE_START_SECONDS.

    Every half a minute the log says what is waited for. The platform asks /ping every second and was said to give up
    after 30 minutes, without a reason; the limit lies a minute below, so that the reason is known.
    """

    code = "CR-SRV-017"
    title = "server start takes too long"


class AnswerSpaceError(ServingError):
    """A long answer found no room on the disk.

    An answer is complete before its first byte is sent; meanwhile a file keeps one of over 32 MB. The client gets 503:
    there may be room when fewer requests are in work at once; what always helps are smaller requests.
    """

    code = "CR-SRV-018"
    title = "no room for the answer"
    http_status = 503
