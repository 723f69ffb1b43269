"""The settings of this library: environment variables that an algorithm's author may set.

On the platform they travel in the `environment` map of the request; in an image they are `ENV` lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cleanroom_algo.contract.suggestions import did_you_mean
from cleanroom_algo.contract.validation import problems_of
from cleanroom_algo.errors import Problem, SettingError

PREFIX = "CLEANROOM_ALGO_"


class Settings(BaseModel):
    """Each field is one variable: `CLEANROOM_ALGO_` and the field's name in capitals."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    algorithm: str = Field(
        "/opt/algorithm", description="the algorithm: a Python file, a folder with algorithm.py, or a module name"
    )
    max_artifact_gb: float | None = Field(
        None,
        gt=0,
        le=100,
        description="maximum size of the artifacts of a training job in GB (maxArtifactSize of the association)",
    )
    rendezvous: str | None = Field(
        None,
        pattern=r"^[^:\s]+:\d{1,5}$",
        description="host:port at which the ranks connect; by default port 7777 of the first host",
    )
    ranks_per_host: int | None = Field(
        None, ge=1, le=64, description="training processes per host; by default one per GPU, or one without GPUs"
    )
    loader_workers: int | None = Field(
        None, ge=0, le=64, description="data-loading worker processes per rank; by default chosen by the trainer"
    )
    base_model_channel: str | None = Field(
        None, description="name of the incremental channel; by default found from the content of the channels"
    )
    pipe_timeout_seconds: float = Field(
        600.0, gt=0, description="maximum time to wait for the first byte of a Pipe channel"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="minimum level of the messages that this library logs"
    )
    manifest_values: bool = Field(
        True,
        description="whether manifest.json contains the values of hyperparameters, which recipients can read",
    )
    tracebacks: Literal["redacted", "whole"] = Field(
        "redacted",
        description="whether the log contains whole tracebacks, with quoted values; the failure file never does",
    )
    serve_host: str = Field("0.0.0.0", description="address on which `serve` listens")  # noqa: S104 (a container's)
    serve_workers: int | None = Field(
        None, ge=1, le=256, description="number of serving processes; by default chosen from cores, memory and model"
    )
    serve_queue: int = Field(
        32,
        ge=0,
        le=1000,
        description="requests that can wait in one serving process before further requests get status 503",
    )
    serve_preload: bool | None = Field(
        None, description="whether to load the model once, before the processes fork; by default only if this is safe"
    )
    serve_start_seconds: float = Field(
        1740.0,
        gt=0,
        le=90000,
        description="maximum time to load the model and warm up before `serve` ends with an error",
    )
    serve_timeout_seconds: float = Field(
        3600.0, gt=0, le=90000, description="maximum time for one prediction before its process is replaced"
    )
    serve_bad_records: Literal["fail", "placeholder"] = Field(
        "fail",
        description="answer to a record that does not match the schema: status 400 for its request, or a placeholder",
    )
    serve_placeholder: str = Field("ERROR", description="text of a placeholder in CSV; other formats contain a null")
    serve_prometheus: bool = Field(
        False, description="whether to serve /metrics for Prometheus; in a job, it cannot be reached"
    )
    home: str | None = Field(None, description="state folder of the local clean room; containers do not use it")

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Settings:
        """Return the settings of an environment.

        Raises:
            SettingError: a value is outside its range, or a variable with our prefix has a name that nothing reads.
        """
        found = {name.removeprefix(PREFIX).lower(): value for name, value in environ.items() if name.startswith(PREFIX)}
        unknown = [
            Problem(variable(name), "is not a setting" + did_you_mean(variable(name), map(variable, cls.model_fields)))
            for name in sorted(set(found) - set(cls.model_fields))
        ]
        try:
            settings = cls.model_validate({name: value for name, value in found.items() if name in cls.model_fields})
        except ValidationError as error:
            faults = [Problem(variable(problem.path), problem.message) for problem in problems_of(error)]
        else:
            if not unknown:
                return settings
            faults = []
        raise SettingError(
            f"{len(unknown) + len(faults)} environment variable(s) with the prefix {PREFIX} cannot be used",
            expected="the settings listed by `cleanroom-algo explain settings`",
            fix="correct or remove them in the request's environment or in the image",
            problems=[*unknown, *faults],
        )


def variable(field: str) -> str:
    """Return the environment variable of a field of `Settings`."""
    return PREFIX + field.upper()
