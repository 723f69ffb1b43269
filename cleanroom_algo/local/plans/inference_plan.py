"""What an inference job will do, computed before it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cleanroom_algo.contract.sizes import MB
from cleanroom_algo.local.objects.reference import ObjectRef
from cleanroom_algo.local.plans.training_plan import AlgorithmSource, deal

DEFAULT_PAYLOAD_MB = 6  # SageMaker API, CreateTransformJob: MaxPayloadInMB
DEFAULT_CONCURRENCY = 1  # the same page: MaxConcurrentTransforms
MAX_PRODUCT_MB = 100  # the same page: the product of the two


HeaderMode = Literal["first-chunk", "none", "every"]
"""Which requests of an object carry the header line of its CSV. The user guide of Clean Rooms ML says the first alone
("Inference model authoring guidelines"); AWS's published samples have channels without any header."""

NewlineMode = Literal["always", "if-missing"]
"""Whether a line break is added to an answer that ends with one already; the documentation is silent."""


LostRows = Literal["fail", "warn"]
"""What fewer predictions than records mean; the documentation does not say that anybody counts them."""


@dataclass(frozen=True, slots=True)
class Retries:
    """How requests are repeated (SageMaker API, ModelClientConfig).

    Attributes:
        count: repetitions after the first attempt, 0 to 3.
        timeout_seconds: of one attempt, 1 to 3600.
    """

    count: int = 3
    timeout_seconds: float = 600.0


@dataclass(frozen=True, slots=True)
class ContainerParameters:
    """What GET /execution-parameters answered; None for what it did not say."""

    max_concurrent_transforms: int | None = None
    max_payload_mb: int | None = None


@dataclass(frozen=True, slots=True)
class InferenceHostPlan:
    """One instance and the objects it answers for; an object is never divided between instances."""

    name: str
    objects: tuple[ObjectRef, ...]


@dataclass(frozen=True, slots=True)
class InferencePlan:
    """An inference job, as a plain value.

    Attributes:
        job_name: of the transform job.
        job_arn: of the inference job.
        run_directory: for the hosts' files and the outputs; a new folder.
        source: what runs.
        model: the artifacts: an unpacked directory, or a model.tar.gz.
        hosts: at least one.
        environment: of the request, at most 16 pairs.
        accept: of the request (outputConfiguration.accept), 0 to 256 characters.
        max_payload_mb: of the request (containerExecutionParameters.maxPayloadInMB), 1 to 100.
        max_output_bytes: the cap on all outputs together.
        instance_type: of the hosts.
        has_header: whether the first line of each object is a header.
        header_known: whether that is known, and not guessed from what the line holds.
        header: which requests carry it.
        newline: how answers are put together.
        content_type: of the requests. The service does not say which it sends; its only format with lines is CSV.
        retries: of requests.
        lost_rows: whether an object fails of whose records some have no prediction.
        leave_out: whether objects over the cap are left out; else they fail the job.
        whole_objects: whether each object is one request; else it is cut by line.
        max_seconds: after which the job fails.
        start_seconds: for /ping to answer 200; AWS has spoken of 30 minutes.
    """

    job_name: str
    job_arn: str
    run_directory: Path
    source: AlgorithmSource
    model: Path
    hosts: tuple[InferenceHostPlan, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    accept: str | None = None
    max_payload_mb: int | None = None
    max_output_bytes: int | None = None
    instance_type: str = "ml.m5.2xlarge"
    has_header: bool = False
    header_known: bool = True
    header: HeaderMode = "first-chunk"
    newline: NewlineMode = "always"
    content_type: str = "text/csv"
    retries: Retries = field(default_factory=Retries)
    lost_rows: LostRows = "fail"
    leave_out: bool = False
    whole_objects: bool = False
    max_seconds: float = 25 * 3600.0  # Clean Rooms user guide, "Quotas for AWS Clean Rooms ML": inference job duration
    start_seconds: float = 1800.0

    @property
    def container_environment(self) -> dict[str, str]:
        """What the platform sets for the container.

        (SageMaker developer guide, "Use your own inference code with batch transform": SAGEMAKER_BATCH always, each of
        the others only if the caller set it. Clean Rooms ML sets the strategy itself, in its user guide's words.)
        """
        given = {"SAGEMAKER_BATCH": "true", "SAGEMAKER_BATCH_STRATEGY": "MULTI_RECORD"}
        if self.max_payload_mb is not None:
            given["SAGEMAKER_MAX_PAYLOAD_IN_MB"] = str(self.max_payload_mb)
        return {**self.environment, **given}


@dataclass(frozen=True, slots=True)
class Transfer:
    """How much is sent at once.

    Attributes:
        payload_bytes: of one request at most; 0 for whole objects, chunked.
        concurrency: requests at once to each instance.
    """

    payload_bytes: int
    concurrency: int


def spread_objects(objects: Sequence[ObjectRef], instances: int) -> tuple[InferenceHostPlan, ...]:
    """Give each instance its objects: by key, in turn; how AWS divides them is not documented beyond "by key".

    Args:
        objects: in any order.
        instances: 1 to 10; with fewer objects, the last ones get none.
    """
    shares = enumerate(deal(objects, instances), start=1)
    return tuple(InferenceHostPlan(f"algo-{number}", share) for number, share in shares)


def decide_transfer(requested_mb: int | None, container: ContainerParameters) -> Transfer:
    """Return what is sent at once: the request's value, else the container's, else the default.

    The product of both is at most 100 MB; where the container asks for more, fewer requests are sent at once.
    """
    payload = next(value for value in (requested_mb, container.max_payload_mb, DEFAULT_PAYLOAD_MB) if value is not None)
    payload = min(payload, MAX_PRODUCT_MB)
    concurrency = container.max_concurrent_transforms or DEFAULT_CONCURRENCY
    return Transfer(payload * MB, max(1, min(concurrency, MAX_PRODUCT_MB // max(payload, 1))))
