"""CR-SRV: serving."""

from __future__ import annotations

from typing import ClassVar

from cleanroom_algo.errors.base import CleanroomError


class ServingError(CleanroomError):
    """Answers to inference requests."""

    http_status: ClassVar[int] = 500


class BodyTooLargeError(ServingError):
    """A request is larger than the server accepts.

    A batch transform job sends at most 100 MB in one request (SageMaker API, CreateTransformJob, MaxPayloadInMB).
    CSV and JSON Lines sent with chunked transfer encoding have no limit, because they are answered block by block. A
    single record, and a body in any other format, must fit within the limit.
    """

    code = "CR-SRV-001"
    title = "request too large"
    http_status = 413


class BodyIncompleteError(ServingError):
    """A request body ended early, or its chunks or its Content-Encoding are damaged.

    No part of such a request is answered. Predictions for an incomplete body would silently lack records.
    """

    code = "CR-SRV-002"
    title = "request body incomplete"
    http_status = 400


class ContentTypeError(ServingError):
    """The server cannot read the Content-Type, charset or Content-Encoding of a request."""

    code = "CR-SRV-003"
    title = "content type not supported"
    http_status = 415


class NotAcceptableError(ServingError):
    """The Accept header of a request names no content type that the server can write."""

    code = "CR-SRV-004"
    title = "no acceptable content type"
    http_status = 406


class BadRecordError(ServingError):
    """Records of a request do not fit the schema stored in the model artifacts.

    The error names the positions of the records, never their values. To answer such records with a placeholder instead
    of failing the request, set CLEANROOM_ALGO_SERVE_BAD_RECORDS=placeholder.
    """

    code = "CR-SRV-005"
    title = "records do not fit the schema"
    http_status = 400


class OverloadedError(ServingError):
    """The server already has as many waiting requests as its queue allows.

    The Retry-After header of the answer says when to send the request again.
    """

    code = "CR-SRV-006"
    title = "server busy"
    http_status = 503


class PredictionShapeError(ServingError):
    """The algorithm's `predict` did not return exactly one prediction per row."""

    code = "CR-SRV-007"
    title = "predictions do not match the rows"


class PredictionFailedError(ServingError):
    """The algorithm's own code raised an exception during a prediction.

    The error names the type of the exception and the place in the code. It leaves out the message, which may quote a
    row. To see the whole traceback in the log, on data that you may see, set CLEANROOM_ALGO_TRACEBACKS=whole.
    """

    code = "CR-SRV-008"
    title = "prediction failed"


class BodyTimeoutError(ServingError):
    """A client sent its request too slowly. The server closed the connection to stay available to other clients."""

    code = "CR-SRV-009"
    title = "request too slow"
    http_status = 408


class ServerStartError(ServingError):
    """The server could not start: its port is in use, `load` raised an exception, or the model predicts NaN.

    A model predicts NaN when training diverged and left NaN in the weights. The rows of the warm-up are invented. If
    they are not valid input for your model, override `Predictor.sample` to return rows that are.
    """

    code = "CR-SRV-010"
    title = "server cannot start"


class ModelFilesError(ServingError):
    """The model directory lacks a file that the predictor asks for: weights, features or a schema."""

    code = "CR-SRV-011"
    title = "model files missing"


class MemoryExhaustedError(ServingError):
    """A request needed more memory than the container has left, and was not answered.

    The status is 503 because the request may succeed when the server processes fewer requests at the same time. Smaller
    requests always help: lower containerExecutionParameters.maxPayloadInMB of the inference job.
    """

    code = "CR-SRV-012"
    title = "out of memory"
    http_status = 503


class NoSuchPathError(ServingError):
    """A request asks for a path that does not exist.

    The paths are those that the platform uses: /ping, /execution-parameters and /invocations.
    """

    code = "CR-SRV-013"
    title = "no such path"
    http_status = 404


class MethodError(ServingError):
    """A request uses a method that its path does not support.

    The Allow header of the answer lists the supported methods.
    """

    code = "CR-SRV-014"
    title = "method not allowed"
    http_status = 405


class MalformedRequestError(ServingError):
    """A client sent something that is not a valid HTTP/1.1 request.

    The most common cause is a wrong Content-Length: the rest of such a body is read as the next request.
    """

    code = "CR-SRV-015"
    title = "malformed request"
    http_status = 400


class ServerDiedError(ServingError):
    """A process of the server ended without a message, while loading the model, warming up or serving.

    A process cannot report its own end if it calls `os._exit`, if native code crashes, or if the kernel kills it
    because memory ran out. The parent process of the server reports it instead. A serving process that dies while
    another one serves is replaced.
    """

    code = "CR-SRV-016"
    title = "server died"


class StartTimeoutError(ServingError):
    """Loading the model and warming up took longer than CLEANROOM_ALGO_SERVE_START_SECONDS.

    During the start, the log says every 30 seconds what the server is waiting for. The platform requests /ping every
    second, and is said to stop after 30 minutes without giving a reason. The default limit is one minute shorter, so
    that the log has the reason.
    """

    code = "CR-SRV-017"
    title = "server start takes too long"


class AnswerSpaceError(ServingError):
    """The disk does not have enough space for a long answer.

    An answer is complete before its first byte is sent. Until then, an answer larger than 32 MB is kept in a temporary
    file. The status is 503 because there may be enough space when the server processes fewer requests. Smaller requests
    always help.
    """

    code = "CR-SRV-018"
    title = "no room for the answer"
    http_status = 503


class TrainingModeError(ServingError):
    """After `load`, a torch module of the predictor is in training mode, and its result depends on the mode.

    In training mode, dropout is random, and batch normalization makes the prediction for a row depend on the other rows
    of the request. Call `eval()` on the model in `load`. If a module must stay in training mode, name it in the class
    attribute `training_modules` of the predictor.
    """

    code = "CR-SRV-019"
    title = "model in training mode"
