"""What can be set about a local clean room: quotas, rates, and the questions that the documentation leaves open.

Read from `settings.toml` in the state folder, tables `[quotas]`, `[switches]`, `[machine]`, `[spark]`,
`[glue_tables]`.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cleanroom_algo.errors import Problem, RoomSettingsError

Count = Annotated[int, Field(ge=0)]
QueryEngine = Literal["duckdb", "spark"]
Rate = tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(ge=1)]]


IN_S3: Final = (
    "is in S3: not emulated, whatever the engine; this machine reads the files of tables, also for a cluster. Download "
    "the files, or mount the bucket"
)


def is_in_s3(location: Path) -> bool:
    """Whether the location of a table was written as an s3:// URI."""
    return location.parts[:1] == ("s3:",)


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
    """Documented as 0 for every other type that was looked up; that would forbid even the examples of the guide."""
    synthetic_rows: tuple[Annotated[int, Field(ge=2)], int] = (1500, 2_500_000)
    """Rows of a query from which synthetic data is made: at least and at most."""
    synthetic_categories: Count = 100
    """Values of a categorical column that synthetic data is to predict."""
    enabled: bool = True
    inference_job_hours: Annotated[float, Field(gt=0)] = 25.0
    """How long an inference job may run; AWS raises it for nobody."""
    requests_per_second: bool = True
    """Whether the server keeps the documented rates; boto3 waits and tries again by itself."""
    rates: dict[str, Rate] = Field(default_factory=dict)
    """Other rates than the documented ones, by operation: [requests per second, burst]."""


class Switches(_Table):
    """Where the documentation is silent or contradicts itself: which reading the room follows."""

    incremental_default: Literal["latest", "base"] = "latest"
    """Incremental training without versionIdentifier: the API reference says latest, the user guide base."""
    get_default: Literal["latest", "base"] = "latest"
    """Getting a trained model without versionIdentifier: the API reference says latest."""
    inference_default: Literal["base", "latest"] = "base"
    """Inference without a version: not documented."""
    export_default: Literal["base", "latest"] = "base"
    """Export without a version: not documented."""
    list_models: Literal["each-version", "each-model"] = "each-model"
    """Whether ListTrainedModels shows a trained model once, by its latest version, or each version: not documented."""
    incremental_arn: Literal["base", "new"] = "base"
    """Whether incremental training returns the ARN of the model it starts from: not documented, but versions are of one
    ARN."""
    export_without_policy: Literal["refuse", "allow"] = "refuse"
    """Exporting where the association has no trainedModelExports policy: not documented."""
    export_of_versions: Literal["strictest", "own"] = "strictest"
    """Which policy holds for exports of what incremental training made: the strictest of its own association's and
    those of all its bases, or its own; not documented."""
    default_input_mode: Literal["File", "FastFile", "Pipe"] = "File"
    """trainingInputMode left out: not documented; SageMaker needs one, and its SDK says File."""
    default_distribution: Literal["FullyReplicated", "ShardedByS3Key"] = "FullyReplicated"
    """s3DataDistributionType left out: SageMaker's default."""
    pipe_order: Literal["by-key", "shuffled"] = "by-key"
    """Whether the objects of a pipe come in another order in each epoch: SageMaker does so on request (ShuffleConfig),
    for which Clean Rooms ML has no parameter."""
    base_model_form: Literal["packed", "unpacked"] = "packed"
    """How the base model lies in the incremental channel: not documented; SageMaker's model channel holds a tar."""
    sm_variables: Literal["absent", "present"] = "absent"
    """Whether a training container finds SM_MODEL_DIR, SM_OUTPUT_DIR, SM_CHANNEL_* and FILE_FORMAT: the user guide
    names them, always with a fall-back; SageMaker itself sets none of them."""
    network: Literal["none", "open"] = "none"
    """Whether containers reach a network: no page says so. Open needs process or docker hosts."""
    image_opt_ml: Literal["visible", "hidden"] = "visible"
    """Whether a container sees what its image holds below /opt/ml beside what the platform puts there: SageMaker's
    guide reserves all of /opt/ml and says that it may not; the samples of Clean Rooms ML have their code there."""
    channel_file_names: Literal["spark", "bare"] = "spark"
    """Whether the objects of an ML input channel have an extension: not documented; the loader of AWS's samples expects
    both."""
    channel_header: Literal["header", "none"] = "header"
    """Whether the CSV objects of an ML input channel begin with a header: the user guide of inference says so, AWS's
    samples say none."""
    channel_csv_dialect: Literal["rfc4180", "spark"] = "rfc4180"
    """How the CSV objects of an ML input channel are written: not documented. Spark's writer puts backslashes before
    quotes and backslashes within quotes, leaves out white space at the ends of texts, and rows of nothing but a
    null."""
    channel_parquet_timestamps: Literal["microseconds", "int96"] = "microseconds"
    """How timestamps in the PARQUET objects of an ML input channel are written: not documented. Spark's own default is
    INT96, an old form; only Spark itself writes it here."""
    spark_ansi: Literal["off", "on"] = "off"
    """Whether Spark is in ANSI mode, where overflows, divisions by zero and casts without a value are errors, and not
    null: not documented; off as in Spark 3."""
    inference_header: Literal["first-chunk", "every", "none"] = "first-chunk"
    """Which requests of an inference job carry the header."""
    inference_lost_rows: Literal["fail", "warn"] = "fail"
    """What an inference job does where a server answers fewer predictions than it got records: not documented."""
    inference_on_parquet: Literal["refuse", "whole-objects"] = "refuse"
    """Inference on a channel in PARQUET: not documented; its objects have no lines to be split at."""
    inference_after_failure: Literal["keep", "drop"] = "keep"
    """The outputs of an inference job of which other objects failed: SageMaker keeps them; what Clean Rooms ML hands on
    is not documented."""
    unique_model_names: Literal["warn", "enforce"] = "warn"
    """A trained model's name is unique in its collaboration: documented; local work repeats names."""
    distributed_instance_types: Literal["warn", "enforce"] = "warn"
    """Several instances train on five instance types alone: documented; AWS's own examples use others."""
    inference_association: Literal["enforce", "warn"] = "enforce"
    """Inference with an association that the tables of its channel do not allow is refused: documented."""
    foreign_roles: Literal["enforce", "warn"] = "enforce"
    """A channel's role of another account than the caller's is denied: said by the model."""
    overflow: Literal["fail", "leave-out"] = "fail"
    """What crosses a size limit of a policy: the job fails, or what no longer fits is left out; not documented. Of
    exports both is said: larger data "will not be exported", and exports go "up to" the maximum."""
    overflow_status_code: str = ""
    """statusDetails.statusCode of a job that crosses a size limit: not documented; this project's own if empty."""
    log_filter: Literal["regex", "cloudwatch", "substring"] = "regex"
    """The syntax of a log policy's filterPattern: the API reference says regular expression, the user guide filter
    pattern."""
    redaction_placeholder: str = "[REDACTED]"
    """What stands in logs where something was redacted: not documented."""
    metric_noise: Literal["none", "gaussian"] = "none"
    """What a noise level does to the values of metrics: not documented; gaussian adds 1, 5 or 10 % of their range."""


class Machine(_Table):
    """What this machine is used for."""

    hosts: Annotated[int, Field(ge=1)] = Field(default_factory=lambda: max(2, os.cpu_count() or 1))
    """Hosts that run at once; a job that needs more runs alone."""
    host_kind: Literal["auto", "process", "sandbox", "docker", "sagemaker"] = "auto"
    """Where containers run: auto takes sandboxes where this machine can make them, else processes."""
    sagemaker_role: str | None = None
    """The ARN of the role that SageMaker takes on, where jobs run in one's own account."""
    sagemaker_place: str | None = None
    """The s3:// URI below which the objects of such jobs lie."""
    sagemaker_endpoint: str | None = None
    """URL of a service that takes AWS's place there; AWS itself if None."""
    query_engine: QueryEngine = "duckdb"
    """What computes the queries of ML input channels: DuckDB starts at once and refuses what it computes otherwise than
    Spark; Spark itself needs the extra `spark` and Java 17."""
    region: str = "us-east-1"
    account: Annotated[str, Field(pattern=r"^[0-9]{12}$")] = "111122223333"
    """The account of callers that name none."""
    s3_endpoint: str | None = None
    """URL of an S3 service; "aws" for AWS itself; objects are local files if None."""

    @property
    def s3_url(self) -> str | None:
        """The URL that a client of S3 is given; None for AWS itself."""
        return None if self.s3_endpoint == "aws" else self.s3_endpoint


class RoomSettings(_Table):
    """All settings of a room."""

    quotas: Quotas = Quotas()
    switches: Switches = Switches()
    machine: Machine = Machine()
    spark: dict[str, str] = Field(default_factory=dict)
    """Properties of Spark's session, such as "spark.master" and "spark.driver.memory". The workers of a master that is
    not local must see the state folder under the same path."""
    glue_tables: dict[str, Path] = Field(default_factory=dict)
    """Where tables of AWS Glue lie here, by "database.table": a CSV or Parquet file, or a folder of such. Relative
    paths begin in the state folder."""

    def with_queries(self, engine: QueryEngine | None, spark: Mapping[str, str] | None = None) -> RoomSettings:
        """Return these settings with another engine of queries, None for the same, and with properties of Spark."""
        machine = self.machine if engine is None else self.machine.model_copy(update={"query_engine": engine})
        return self.model_copy(update={"machine": machine, "spark": {**self.spark, **(spark or {})}})

    @property
    def computed_by(self) -> list[str]:
        """What computes queries: the engine, and the properties that it has."""
        engine = self.machine.query_engine
        return [engine, *(f"{name}={value}" for name, value in sorted(self.spark.items()) if engine == "spark")]

    @classmethod
    def read(cls, home: Path) -> RoomSettings:
        """Return the settings of a state folder; the defaults where it has no settings.toml.

        Raises:
            RoomSettingsError: CR-ROM-005, the file cannot be read or holds something unknown.
        """
        path = home / "settings.toml"
        try:
            return cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except (FileNotFoundError, NotADirectoryError):  # opening the room reports what is wrong with it
            return cls()
        except ValidationError as error:
            faults = [Problem(".".join(map(str, each["loc"])), each["msg"]) for each in error.errors()]
            raise _unusable(path, "does not fit", faults) from error
        except (OSError, ValueError) as error:
            raise _unusable(path, f"cannot be read ({type(error).__name__})", []) from error


def _unusable(path: Path, what: str, problems: list[Problem]) -> RoomSettingsError:
    return RoomSettingsError(
        f"{path} {what}",
        expected="tables [quotas], [switches], [machine], [spark], [glue_tables] with the documented names",
        fix="correct the file, or remove it for the defaults",
        problems=problems,
    )
