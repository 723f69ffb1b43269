"""Where the local clean room differs from AWS, or had to choose, and how each behaviour is known.

One row per behaviour. The command, the reference page and the tests read these same rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Provenance = Literal["model", "documented", "recorded", "guessed"]


@dataclass(frozen=True, slots=True)
class Row:
    """One behaviour.

    Attributes:
        area: what it concerns.
        operations: of the API that it touches; none where it concerns the containers alone.
        here: what happens here.
        aws: what AWS is known to do, or what is not known.
        provenance: model (botocore's), documented (a page), recorded (captured from AWS), guessed.
        source: the page, the model's shape, or why it was guessed so.
        switch: the setting of settings.toml, `[switches]`, that chooses the other reading; "" where there is none.
    """

    area: str
    operations: tuple[str, ...]
    here: str
    aws: str
    provenance: Provenance
    source: str
    switch: str = ""


_TRAIN = ("CreateTrainedModel",)
_INFER = ("StartTrainedModelInferenceJob",)
_EXPORT = ("StartTrainedModelExportJob",)
_QUERY = ("CreateMLInputChannel",)

ROWS: tuple[Row, ...] = (
    # --- what a container can notice ---
    Row(
        "container",
        _TRAIN + _INFER,
        "on process hosts each host has its own root, to which SAGEMAKER_BASE_DIR points; sandboxes have /opt/ml",
        "the tree lies at /opt/ml",
        "documented",
        "SageMaker developer guide, How Amazon SageMaker runs your training image",
    ),
    Row(
        "container",
        _TRAIN,
        "process hosts meet at CLEANROOM_ALGO_RENDEZVOUS, a free port of loopback; algo-1 resolves in sandboxes alone",
        "hosts reach each other by the names of resourceconfig.json",
        "documented",
        "SageMaker developer guide, Distributed training configuration",
    ),
    Row(
        "container",
        _TRAIN,
        "OMP_NUM_THREADS shares this machine's cores among the hosts of a job",
        "each host has its cores for itself, and the variable is not set",
        "documented",
        "SageMaker developer guide, Environment variables",
    ),
    Row(
        "container",
        _TRAIN + _INFER,
        "sandboxes reach the hosts of their job and nothing else; process hosts have no walls",
        "no page of Clean Rooms ML says whether containers reach a network",
        "guessed",
        "its containers see other parties' data, and SageMaker can isolate them",
    ),
    Row(
        "container",
        _TRAIN + _INFER,
        "a host whose processes outgrow the memory of the instance type is ended whole, with exit status 137",
        "the kernel ends one process, often the largest",
        "documented",
        "Linux; half a second may pass before it is noticed here",
    ),
    Row(
        "container",
        _TRAIN,
        "a host that writes more than volumeSizeInGB is ended with exit status 137",
        "the write fails: no space left on device",
        "documented",
        "SageMaker API, ResourceConfig; half a second may pass before it is noticed here",
    ),
    Row(
        "container",
        _TRAIN,
        "in sandboxes /opt/ml/input cannot be written to",
        "whether a container may write there in File mode is not documented; in FastFile mode it may not",
        "guessed",
        "an algorithm that changes its input works in one input mode alone",
    ),
    Row(
        "container",
        _TRAIN + _INFER,
        "jobs in your own account (host_kind sagemaker) are requests that fit botocore's model; none was sent to AWS",
        "Clean Rooms ML runs such jobs in the service's account",
        "guessed",
        "SageMaker API, CreateTrainingJob and CreateTransformJob; tested with moto",
    ),
    Row(
        "container",
        _TRAIN + _INFER,
        "docker hosts limit memory to the smaller of the instance type's and this machine's; disk is not limited",
        "instances have their own",
        "documented",
        "SageMaker API, ResourceConfig; not every engine and file system has quotas",
    ),
    Row(
        "container",
        _TRAIN + _INFER,
        "in sandboxes the program is process 1, as in an image without an entrypoint: SIGTERM does not end it unless "
        "it handles it; one that comes before it does, waits",
        "the same, but a signal that comes too early is lost",
        "documented",
        "SageMaker developer guide, How Amazon SageMaker runs your training image; pid_namespaces(7)",
    ),
    Row(
        "container",
        _TRAIN + _INFER,
        "a sandbox shows the system's own programs and libraries, and this Python with its packages",
        "a container shows those of its image",
        "documented",
        "SageMaker developer guide, Use your own training algorithms",
    ),
    Row(
        "container",
        _TRAIN,
        "the cap on artifacts reaches the container as CLEANROOM_ALGO_MAX_ARTIFACT_GB, unless the request sets it",
        "only the request's environment does; nothing else tells the container its cap",
        "documented",
        "SageMaker developer guide, Environment variables",
    ),
    Row(
        "container",
        _TRAIN,
        "SM_* variables are not set; in script mode the sagemaker-training toolkit makes them",
        "Clean Rooms names SM_MODEL_DIR, SM_OUTPUT_DIR, SM_CHANNEL_TRAIN and FILE_FORMAT, always with a fall-back",
        "guessed",
        "Clean Rooms user guide, Model authoring guidelines for the training container; SageMaker sets none of them",
    ),
    Row(
        "container",
        _TRAIN,
        "resourceconfig.json has the keys, the order and the compact form of listings from real jobs",
        "the guide documents three of its keys",
        "documented",
        "SageMaker developer guide, Distributed training configuration; listings of real jobs made public",
    ),
    Row(
        "container",
        _TRAIN,
        "<channel>-manifest in File mode holds a list of keys",
        "the file is there; what it holds is not documented",
        "guessed",
        "listings of real jobs made public",
    ),
    # --- channels ---
    Row(
        "channels",
        _QUERY,
        "CSV objects begin with a header",
        "the user guide's inference page says so; AWS's published samples say there is none",
        "documented",
        "Clean Rooms user guide, Model authoring guidelines for the inference container",
        "channel_header",
    ),
    Row(
        "channels",
        _QUERY,
        "part-00000-<uuid>-c000.csv or .snappy.parquet, four files unless maxRecordsPerFile asks for more",
        "names and number are not documented; Spark names and divides so",
        "guessed",
        "Clean Rooms runs the query on Spark",
    ),
    Row(
        "channels",
        _QUERY,
        "queries are read as Spark SQL by sqlglot and run by DuckDB; a function without an equal there is an error",
        "Spark runs them",
        "documented",
        "Clean Rooms user guide, Creating an ML input channel",
    ),
    Row(
        "channels",
        _QUERY,
        "of analysis rules: allowed columns, join columns of LIST rules, allowedAdditionalAnalyses; no others",
        "aggregation and custom rules, differential privacy, budgets",
        "documented",
        "Clean Rooms user guide, Analysis rules",
    ),
    Row(
        "channels",
        _QUERY,
        "analysis templates and synthetic data are refused as not emulated",
        "both exist",
        "model",
        "ProtectedQueryInputParameters, SyntheticDataConfiguration",
    ),
    Row(
        "channels",
        _TRAIN,
        "ShardedByS3Key deals the objects out in turn, by key",
        "about 1/n of the objects for each host; which ones is not documented",
        "guessed",
        "SageMaker API, S3DataSource",
    ),
    Row(
        "channels",
        _TRAIN,
        "s3DataDistributionType left out is FullyReplicated",
        "not documented by Clean Rooms; SageMaker's default",
        "guessed",
        "SageMaker API, S3DataSource",
        "default_distribution",
    ),
    Row(
        "channels",
        _TRAIN,
        "trainingInputMode left out is File",
        "not documented",
        "guessed",
        "the SageMaker SDK's default",
        "default_input_mode",
    ),
    Row(
        "channels",
        _TRAIN,
        "FastFile shows links to the objects; they are read-only by permission, which does not bind root",
        "a read-only mount that streams on demand",
        "documented",
        "SageMaker developer guide, Access training data",
    ),
    Row(
        "channels",
        _TRAIN,
        "a base model arrives as model.tar.gz in the incremental channel",
        "not documented by Clean Rooms; SageMaker delivers a model channel as it lies in S3",
        "guessed",
        "SageMaker developer guide, Use incremental training",
        "base_model_form",
    ),
    # --- versions ---
    Row(
        "versions",
        _TRAIN,
        "incremental training without versionIdentifier starts from the latest version",
        "the API reference says the latest, the user guide the base",
        "documented",
        "API reference, IncrementalTrainingDataChannel",
        "incremental_default",
    ),
    Row(
        "versions",
        ("GetTrainedModel", "GetCollaborationTrainedModel"),
        "without versionIdentifier the latest version is shown",
        "the API reference says so",
        "documented",
        "API reference, GetCollaborationTrainedModel",
        "get_default",
    ),
    Row(
        "versions",
        _INFER,
        "without trainedModelVersionIdentifier the base is used",
        "not documented",
        "guessed",
        "the base is what carries no version",
        "inference_default",
    ),
    Row(
        "versions",
        _EXPORT,
        "without trainedModelVersionIdentifier the base is exported",
        "not documented",
        "guessed",
        "the base is what carries no version",
        "export_default",
    ),
    Row(
        "versions",
        ("ListTrainedModels", "ListCollaborationTrainedModels"),
        "a trained model is listed once, by its latest version",
        "not documented",
        "guessed",
        "ListTrainedModelVersions lists the versions",
        "list_models",
    ),
    Row(
        "versions",
        _TRAIN,
        "a version made by incremental training has the ARN of the model it starts from",
        "not documented",
        "guessed",
        "versions are listed under one ARN",
        "incremental_arn",
    ),
    # --- policies ---
    Row(
        "policies",
        _TRAIN + _EXPORT + _INFER,
        "1 GB of a policy is 10**9 bytes, of all artifacts unpacked, of archives exported, of outputs",
        "the unit is not defined",
        "guessed",
        "the smaller reading: what fits here fits under the other one",
    ),
    Row(
        "policies",
        _TRAIN,
        "crossing maxArtifactSize fails the job with CR-JOB-102 and leaves nothing",
        "what happens is not documented",
        "guessed",
        "a part of the artifacts would look like all of them",
    ),
    Row(
        "policies",
        _INFER,
        "crossing maxOutputSize fails the job with CR-JOB-204 and leaves nothing",
        "what happens is not documented",
        "guessed",
        "a part of the output would look like all of it",
    ),
    Row(
        "policies",
        _EXPORT,
        "crossing maxSize fails the export with CR-JOB-501",
        "larger data will not be exported; status and message are not documented",
        "documented",
        "Clean Rooms user guide, Exporting model artifacts",
    ),
    Row(
        "policies",
        _EXPORT,
        "an association without trainedModelExports allows no export",
        "not documented",
        "guessed",
        "what is not allowed is refused",
        "export_without_policy",
    ),
    Row(
        "policies",
        ("CreateConfiguredModelAlgorithmAssociation",),
        "containerLogs, redaction and containerMetrics are kept with the association; `logs` shows everything",
        "who sees which lines, redacted how, is what they say; noise and placeholders are not documented",
        "documented",
        "Clean Rooms user guide, Receiving model logs",
    ),
    # --- jobs ---
    Row(
        "jobs",
        _INFER,
        "text/csv; only the first request of an object carries its header",
        "the user guide says the first request of each file",
        "documented",
        "Clean Rooms user guide, Model authoring guidelines for the inference container",
        "inference_header",
    ),
    Row(
        "jobs",
        _INFER,
        "objects in Parquet are refused: they cannot be split by line",
        "not documented",
        "guessed",
        "SplitType is Line",
    ),
    Row(
        "jobs",
        _TRAIN,
        "a job over maxRuntimeInSeconds ends INACTIVE, its artifacts are not kept",
        "SageMaker keeps what lies in /opt/ml/model; what Clean Rooms shows is not documented",
        "guessed",
        "SageMaker API, StoppingCondition",
    ),
    Row(
        "jobs",
        _TRAIN + _INFER,
        "statusDetails.statusCode holds AlgorithmError, JobStopped or a code of this project",
        "codes are promised to be stable; their values are not published",
        "guessed",
        "no recording exists",
    ),
)


def rows_for(operation: str | None = None) -> tuple[Row, ...]:
    """Return the rows that touch an operation of the API; all of them without one."""
    return ROWS if operation is None else tuple(row for row in ROWS if operation in row.operations)
