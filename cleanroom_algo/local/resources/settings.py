"""The settings of a local clean room: quotas, rates, and choices where the documentation is not complete.

Read from `settings.toml` in the state folder, tables `[quotas]`, `[switches]`, `[machine]`, `[spark]`,
`[glue_tables]`.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from cleanroom_algo.contract.suggestions import did_you_mean
from cleanroom_algo.errors import Problem, RoomSettingsError

Count = Annotated[int, Field(ge=0)]
QueryEngine = Literal["duckdb", "spark"]
_HostKind = Literal["auto", "process", "sandbox", "docker", "sagemaker"]
Rate = tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(ge=1)]]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Quotas(_Table):
    """The service's default quotas (Clean Rooms user guide, "Quotas for AWS Clean Rooms ML")."""

    training_jobs_per_membership: Count = 5
    training_jobs_per_account: Count = 10
    inference_jobs_per_membership: Count = 5
    inference_jobs_per_account: Count = 10
    training_instances_per_account: Count = 10
    versions_per_trained_model: Count = 100
    associations_per_membership: Count = 1000
    algorithms_per_account: Count = 1000
    input_channels_per_membership: Count = 100
    tags_per_resource: Count = 50  # the documentation of TagMap; the model itself allows 200
    instances_of_type: dict[str, int] = Field(
        default_factory=lambda: {"ml.m5.2xlarge": 3, "ml.m5.4xlarge": 3, "ml.m5.12xlarge": 3}
    )
    instances_of_other_types: Count = 10
    """Quota of every other instance type. AWS documents 0, with which the examples of its guide could not run."""
    synthetic_rows: tuple[Annotated[int, Field(ge=2)], int] = (1500, 2_500_000)
    """Minimum and maximum number of rows of a query from which synthetic data is generated."""
    synthetic_categories: Count = 100
    """Maximum number of values of a categorical column that synthetic data is to predict."""
    enabled: bool = True
    """Whether the server enforces quotas and request rates."""
    inference_job_hours: Annotated[float, Field(gt=0)] = 25.0
    """Maximum duration of an inference job in hours. AWS does not raise this quota."""
    requests_per_second: bool = True
    """Whether the server enforces the documented request rates. boto3 retries automatically."""
    rates: dict[str, Rate] = Field(default_factory=dict)
    """Request rates that replace the documented ones, by operation: [requests per second, burst]."""


class Switches(_Table):
    """The behavior of the local clean room where the documentation is incomplete or contradicts itself."""

    incremental_default: Literal["latest", "base"] = "latest"
    """Version from which incremental training without versionIdentifier starts. The API reference says the latest
    version; the user guide says the base model."""
    get_default: Literal["latest", "base"] = "latest"
    """Version that GetTrainedModel returns without versionIdentifier. The API reference says the latest version."""
    inference_default: Literal["base", "latest"] = "base"
    """Version that inference without a version uses. AWS does not document it."""
    export_default: Literal["base", "latest"] = "base"
    """Version that an export without a version uses. AWS does not document it."""
    list_models: Literal["each-version", "each-model"] = "each-model"
    """Whether ListTrainedModels shows each trained model once, with its latest version, or every version. AWS does
    not document it."""
    incremental_arn: Literal["base", "new"] = "base"
    """Whether incremental training returns the ARN of its base model or a new ARN. AWS does not document it, but
    versions share one ARN."""
    export_without_policy: Literal["refuse", "allow"] = "refuse"
    """Whether an export is allowed if the association has no trainedModelExports policy. AWS does not document it."""
    export_of_versions: Literal["strictest", "own"] = "strictest"
    """Policy for exports of a version that incremental training created: the strictest of the policies of its own
    association and of all its base models, or only its own. AWS does not document it."""
    default_input_mode: Literal["File", "FastFile", "Pipe"] = "File"
    """Default of trainingInputMode. AWS does not document it. SageMaker requires a value, and its SDK uses File."""
    default_distribution: Literal["FullyReplicated", "ShardedByS3Key"] = "FullyReplicated"
    """Default of s3DataDistributionType. This is SageMaker's default."""
    pipe_order: Literal["by-key", "shuffled"] = "by-key"
    """Whether a pipe delivers the objects in another order in each epoch. SageMaker does so on request
    (ShuffleConfig). Clean Rooms ML has no parameter for it."""
    base_model_form: Literal["packed", "unpacked"] = "packed"
    """Form of the base model in the incremental channel. AWS does not document it. A model channel of SageMaker
    contains a tar file."""
    sm_variables: Literal["absent", "present"] = "absent"
    """Whether SM_MODEL_DIR, SM_OUTPUT_DIR, SM_CHANNEL_* and FILE_FORMAT are set in a training container. The user
    guide names them, always with a fallback value. SageMaker itself sets none of them."""
    network: Literal["none", "open"] = "none"
    """Whether containers can reach a network. AWS does not document it. `open` needs process or docker hosts."""
    image_opt_ml: Literal["visible", "hidden"] = "visible"
    """Whether a container sees the files that its image has below /opt/ml. SageMaker's guide reserves all of
    /opt/ml, and says that such files may be invisible. The samples of Clean Rooms ML have their code there."""
    channel_file_names: Literal["spark", "bare"] = "spark"
    """Whether the objects of an ML input channel have a file name extension. AWS does not document it. The loader in
    AWS's samples accepts both."""
    channel_header: Literal["header", "none"] = "header"
    """Whether the CSV objects of an ML input channel begin with a header. The user guide for inference says that
    they do; AWS's samples say that they do not."""
    channel_csv_dialect: Literal["rfc4180", "spark"] = "rfc4180"
    """Dialect of the CSV objects of an ML input channel. AWS does not document it. Spark's writer puts a backslash
    before quotes and before backslashes inside quotes. It omits white space at the ends of strings, and rows that
    contain only a null."""
    channel_parquet_timestamps: Literal["microseconds", "int96"] = "microseconds"
    """Type of timestamps in the PARQUET objects of an ML input channel. AWS does not document it. Spark's default is
    INT96, an old type. Only the query engine Spark can write INT96 here."""
    spark_ansi: Literal["off", "on"] = "off"
    """Whether Spark is in ANSI mode. In this mode, overflows, divisions by zero and invalid casts are errors instead
    of nulls. AWS does not document it. The default is off, as in Spark 3."""
    inference_header: Literal["first-chunk", "every", "none"] = "first-chunk"
    """Which requests of an inference job contain the header."""
    inference_lost_rows: Literal["fail", "warn"] = "fail"
    """What an inference job does if a server returns fewer predictions than the request has records. AWS does not
    document it."""
    inference_on_parquet: Literal["refuse", "whole-objects"] = "refuse"
    """Whether inference on a channel in PARQUET is allowed. AWS does not document it. The objects have no lines at
    which they could be split."""
    inference_after_failure: Literal["keep", "drop"] = "keep"
    """Whether an inference job with failed objects keeps the outputs of its other objects. SageMaker keeps them. AWS
    does not document what Clean Rooms ML delivers."""
    unique_model_names: Literal["warn", "enforce"] = "warn"
    """Whether the name of a trained model must be unique in its collaboration. AWS documents that it must. Local
    work often repeats names."""
    distributed_instance_types: Literal["warn", "enforce"] = "warn"
    """Whether several instances can use only the five documented instance types. AWS's own examples use others."""
    inference_association: Literal["enforce", "warn"] = "enforce"
    """Whether inference is refused if the tables of its channel do not allow the association. AWS documents that it
    is."""
    foreign_roles: Literal["enforce", "warn"] = "enforce"
    """Whether a channel with a role of another account than the caller's is denied. botocore's model says that it
    is."""
    overflow: Literal["fail", "leave-out"] = "fail"
    """What happens if data exceeds a size limit of a policy: the job fails, or the data that does not fit is left
    out. AWS does not document it. For exports, the pages say both that larger data "will not be exported" and
    that exports go "up to" the maximum."""
    overflow_status_code: str = ""
    """statusDetails.statusCode of a job that exceeds a size limit. AWS does not document it. If empty, the code of
    this project is used."""
    log_filter: Literal["regex", "cloudwatch", "substring"] = "regex"
    """Syntax of filterPattern in a log policy. The API reference says regular expression; the user guide says filter
    pattern."""
    redaction_placeholder: str = "[REDACTED]"
    """Text that replaces redacted text in logs. AWS does not document it."""
    metric_noise: Literal["none", "gaussian"] = "none"
    """How a noise level changes the values of metrics. AWS does not document it. `gaussian` adds noise of 1, 5 or 10
    % of their range."""


class Machine(_Table):
    """How the local clean room uses this machine."""

    hosts: Annotated[int, Field(ge=1)] = Field(default_factory=lambda: max(2, os.cpu_count() or 1))
    """Maximum number of hosts that run at the same time: by default the number of cores, at least 2. A job that needs
    more hosts runs alone."""
    host_kind: _HostKind = "auto"
    """Where containers run. `auto` uses sandboxes if this machine can create them, and processes otherwise."""
    sagemaker_role: str | None = None
    """ARN of the role that SageMaker assumes for jobs in your own account."""
    sagemaker_place: str | None = None
    """s3:// URI below which the objects of such jobs are stored."""
    sagemaker_endpoint: str | None = None
    """URL of a service that replaces AWS for such jobs. If None, AWS itself is used."""
    query_engine: QueryEngine = "duckdb"
    """Engine for the queries of ML input channels. DuckDB starts immediately, and refuses queries for which its
    result may differ from Spark's. Spark needs the extra `spark` and Java 17."""
    region: str = "us-east-1"
    """Region in ARNs, and of AWS services that this machine calls."""
    account: Annotated[str, Field(pattern=r"^[0-9]{12}$")] = "111122223333"
    """Default account of callers whose access key ID names no account."""
    s3_endpoint: str | None = None
    """URL of an S3 service, or "aws" for Amazon S3, that holds all objects. If None, outputs are files in the state
    folder, and inputs come from the S3 service that boto3 finds."""

    @property
    def s3_url(self) -> str | None:
        """The URL for a client of S3; None for AWS itself."""
        return None if self.s3_endpoint == "aws" else self.s3_endpoint


class RoomSettings(_Table):
    """All settings of a room."""

    quotas: Quotas = Quotas()
    switches: Switches = Switches()
    machine: Machine = Machine()
    spark: dict[str, str] = Field(default_factory=dict)
    """Properties of the Spark session, such as "spark.master" and "spark.driver.memory". If the master is not local,
    its workers must see the state folder at the same path."""
    glue_tables: dict[str, str] = Field(default_factory=dict)
    """Locations of AWS Glue tables, by "database.table": a CSV or Parquet file, or a folder of such files, as a path
    or an s3:// URI. Relative paths start in the state folder."""

    def with_queries(self, engine: QueryEngine | None, spark: Mapping[str, str] | None = None) -> RoomSettings:
        """Return these settings with another query engine (None: the same), and with properties of Spark."""
        machine = self.machine if engine is None else self.machine.model_copy(update={"query_engine": engine})
        return self.model_copy(update={"machine": machine, "spark": {**self.spark, **(spark or {})}})

    @property
    def computed_by(self) -> list[str]:
        """The query engine with its properties."""
        engine = self.machine.query_engine
        return [engine, *(f"{name}={value}" for name, value in sorted(self.spark.items()) if engine == "spark")]

    @classmethod
    def read(cls, home: Path) -> RoomSettings:
        """Return the settings of a state folder; the defaults if it has no settings.toml.

        Raises:
            RoomSettingsError: CR-ROM-005, the file cannot be read or contains something unknown.
        """
        path = home / "settings.toml"
        try:
            return cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except (FileNotFoundError, NotADirectoryError):  # opening the room reports the error
            return cls()
        except ValidationError as error:
            raise _unusable(path, "does not fit", [_problem(each) for each in error.errors()]) from error
        except (OSError, ValueError) as error:
            raise _unusable(path, f"cannot be read ({type(error).__name__})", []) from error


def _problem(detail: ErrorDetails) -> Problem:
    message = detail["msg"]
    tables = {name: table for table, kind in _TABLES.items() for name in kind.model_fields}
    name = str(detail["loc"][-1])
    if detail["type"] == "extra_forbidden":
        known = [*tables, *(_TABLES if len(detail["loc"]) == 1 else ())]
        message = f"belongs in the table [{tables[name]}]" if name in tables else "is not a setting"
        message += "" if name in tables else did_you_mean(name, known)
    if detail["input"] in get_args(_HostKind):
        message = "is a kind of hosts, which is set by host_kind in the table [machine]"
    return Problem(".".join(map(str, detail["loc"])), message)


_TABLES: Final[dict[str, type[_Table]]] = {"quotas": Quotas, "switches": Switches, "machine": Machine}


def _unusable(path: Path, what: str, problems: list[Problem]) -> RoomSettingsError:
    return RoomSettingsError(
        f"{path} {what}",
        expected="tables [quotas], [switches], [machine], [spark], [glue_tables] with the documented names",
        fix="correct the file, or remove it to use the defaults",
        problems=problems,
    )
