"""The plan of an inference job, computed before it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.contract.sizes import MB
from cleanroom_algo.local.objects.reference import ObjectRef
from cleanroom_algo.local.plans.training_plan import AlgorithmSource, deal

DEFAULT_PAYLOAD_MB = 6  # SageMaker API, CreateTransformJob: MaxPayloadInMB
DEFAULT_CONCURRENCY = 1  # the same page: MaxConcurrentTransforms
MAX_PRODUCT_MB = 100  # the same page: the product of the two


HeaderMode = Literal["first-chunk", "none", "every"]
"""Which requests of an object contain the header line of its CSV. According to the user guide of Clean Rooms ML, only
the first ("Inference model authoring guidelines"); AWS's published samples have channels without a header."""


LostRows = Literal["fail", "warn"]
"""The consequence if there are fewer predictions than records; AWS does not document that predictions are counted."""


@dataclass(frozen=True, slots=True)
class ContainerParameters:
    """The answer to GET /execution-parameters; None for missing values."""

    max_concurrent_transforms: int | None = None
    max_payload_mb: int | None = None


@dataclass(frozen=True, slots=True)
class InferenceHostPlan:
    """One instance and its objects; an object is never divided between instances."""

    name: str
    objects: tuple[ObjectRef, ...]


@dataclass(frozen=True, slots=True)
class InferencePlan:
    """An inference job, as a plain value.

    Attributes:
        job_name: of the transform job.
        job_arn: of the inference job.
        run_directory: for the hosts' files and the outputs; a new folder.
        source: what to run.
        model: the artifacts: an unpacked directory, or a model.tar.gz.
        hosts: at least one.
        environment: of the request, at most 16 pairs.
        accept: of the request (outputConfiguration.accept), 0 to 256 characters.
        max_payload_mb: of the request (containerExecutionParameters.maxPayloadInMB), 1 to 100.
        max_output_bytes: maximum size of all outputs together.
        instance_type: of the hosts.
        has_header: whether the first line of each object is a header.
        header_known: whether that is known, and not guessed from the content of the line.
        schema: of the table on which the model was trained; None if it is not known, or if there is no header.
        header: which requests contain it.
        content_type: of the requests. The service does not document which one it sends; its only format with lines is
            CSV.
        lost_rows: whether an object fails if some of its records have no prediction.
        leave_out: whether objects that are too large are left out; else they fail the job.
        whole_objects: whether each object is one request; else it is divided by lines.
        max_seconds: time after which the job fails.
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
    schema: Schema | None = None
    header: HeaderMode = "first-chunk"
    content_type: str = "text/csv"
    lost_rows: LostRows = "fail"
    leave_out: bool = False
    whole_objects: bool = False
    max_seconds: float = 25 * 3600.0  # Clean Rooms user guide, "Quotas for AWS Clean Rooms ML": inference job duration

    @property
    def container_environment(self) -> dict[str, str]:
        """The variables that the platform sets for the container.

        (SageMaker developer guide, "Use your own inference code with batch transform": SAGEMAKER_BATCH always, each of
        the others only if the caller set it. Clean Rooms ML sets the strategy itself, according to its user guide.)
        """
        given = {"SAGEMAKER_BATCH": "true", "SAGEMAKER_BATCH_STRATEGY": "MULTI_RECORD"}
        if self.max_payload_mb is not None:
            given["SAGEMAKER_MAX_PAYLOAD_IN_MB"] = str(self.max_payload_mb)
        return {**self.environment, **given}


@dataclass(frozen=True, slots=True)
class Transfer:
    """How much to send at the same time.

    Attributes:
        payload_bytes: maximum size of one request; 0 for whole objects, which are sent chunked.
        concurrency: requests at once to each instance.
    """

    payload_bytes: int
    concurrency: int


def spread_objects(objects: Sequence[ObjectRef], instances: int) -> tuple[InferenceHostPlan, ...]:
    """Divide the objects among the instances: by key, in turn. AWS only documents "by key".

    Args:
        objects: in any order.
        instances: 1 to 10; with fewer objects, the last ones get none.
    """
    shares = enumerate(deal(objects, instances), start=1)
    return tuple(InferenceHostPlan(f"algo-{number}", share) for number, share in shares)


def decide_transfer(requested_mb: int | None, container: ContainerParameters) -> Transfer:
    """Return how much to send at once: the request's value, or else the container's, or else the default.

    The product of both is at most 100 MB; if the container requests more, fewer requests are sent at the same time.
    """
    payload = next(value for value in (requested_mb, container.max_payload_mb, DEFAULT_PAYLOAD_MB) if value is not None)
    payload = min(payload, MAX_PRODUCT_MB)
    concurrency = container.max_concurrent_transforms or DEFAULT_CONCURRENCY
    return Transfer(payload * MB, max(1, min(concurrency, MAX_PRODUCT_MB // max(payload, 1))))
