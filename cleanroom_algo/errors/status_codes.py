"""The values of `statusDetails.statusCode` of a failed job that are not codes of this project's own errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

ALGORITHM_ERROR: Final = "AlgorithmError"
MALFORMED_QUERY: Final = "MALFORMED_QUERY"
INVALID_RESOURCE: Final = "INVALID_RESOURCE"
INSUFFICIENT_COMPUTE: Final = "INSUFFICIENT_COMPUTE"
MAX_RUNTIME_EXCEEDED: Final = "MaxRuntimeExceeded"
NOT_STARTED: Final = "training did not start: the algorithm, its hyperparameters or the first rows cannot be used"
"""In the log of a job whose container failed at its checks, before it trained."""

STATUS_CODES: Final[Mapping[str, str]] = {
    ALGORITHM_ERROR: "A container ended with a status other than 0. The message contains the text of its failure file. "
    "Accounts that did not start the job see only what is known to contain no values of rows: the class of the "
    "exception and its location in the algorithm. SageMaker uses this code too.",
    MAX_RUNTIME_EXCEEDED: "A training job exceeded stoppingCondition.maxRuntimeInSeconds and was stopped. Its "
    "artifacts are not kept. Increase the maximum, or train fewer epochs.",
    MALFORMED_QUERY: "The query of an ML input channel is not valid: its syntax, its names, or its use of columns. "
    "Clean Rooms documents this code for protected queries. The message also contains the code of cleanroom-algo.",
    INVALID_RESOURCE: "The query of an ML input channel names a table that exists but cannot be used: its files do "
    "not match its declaration. Clean Rooms documents this code for protected queries.",
    INSUFFICIENT_COMPUTE: "The query of an ML input channel needs more memory or disk space than it has. Clean Rooms "
    "documents this code for protected queries.",
    "ClientError": "SageMaker refused the request of a job on SageMaker hosts, or something that the request names: a "
    "role, an image or objects. The message comes from SageMaker.",
    "InternalServerError": "SageMaker failed in a job on SageMaker hosts. Start the job again.",
    "CapacityError": "SageMaker has no instances of the requested type for a job on SageMaker hosts. Start the job "
    "later, or request another type.",
}


def status_code(reason: str) -> str:
    """Return the code that the reason of a failure begins with, or AlgorithmError if it begins with none."""
    head = reason.split("\n")[0].split(":")[0].split(" ")[0]
    return head if head.startswith("CR-") or head in STATUS_CODES else ALGORITHM_ERROR
