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
        description="the cap on the artifacts of a training job in GB, as the association's maxArtifactSize has it",
    )
    rendezvous: str | None = Field(
        None,
        pattern=r"^[^:\s]+:\d{1,5}$",
        description="host:port where the ranks meet; the first host, port 7777, unless set",
    )
    ranks_per_host: int | None = Field(
        None, ge=1, le=64, description="training processes per host; one per GPU, else one, unless set"
    )
    loader_workers: int | None = Field(
        None, ge=0, le=64, description="data-loading worker processes per rank; chosen by the trainer unless set"
    )
    base_model_channel: str | None = Field(
        None, description="the incremental channel's name; found by what the channels hold unless set"
    )
    pipe_timeout_seconds: float = Field(
        600.0, gt=0, description="how long a Pipe channel may stay silent before its first byte"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="what this library logs")
    manifest_values: bool = Field(
        True,
        description="whether manifest.json has the values of hyperparameters, which recipients of artifacts can read",
    )
    tracebacks: Literal["redacted", "whole"] = Field(
        "redacted",
        description="whether the log has whole tracebacks, with the values they quote; the failure file never has them",
    )
    serve_host: str = Field("0.0.0.0", description="the address that `serve` listens on")  # noqa: S104 (a container's)
    serve_workers: int | None = Field(
        None, ge=1, le=256, description="serving processes; chosen from cores, memory and model unless set"
    )
    serve_queue: int = Field(
        32, ge=0, le=1000, description="requests that may wait in one serving process before others are answered 503"
    )
    serve_preload: bool | None = Field(
        None, description="load the model once, before the processes fork; decided by whether that is safe unless set"
    )
    serve_start_seconds: float = Field(
        1740.0, gt=0, le=90000, description="how long loading the model and warming up may take before `serve` gives up"
    )
    serve_timeout_seconds: float = Field(
        3600.0, gt=0, le=90000, description="how long one prediction may take before its process is replaced"
    )
    serve_bad_records: Literal["fail", "placeholder"] = Field(
        "fail", description="what a record that does not fit becomes: a 400 for its request, or a placeholder"
    )
    serve_placeholder: str = Field("ERROR", description="the text of a placeholder in CSV; other formats hold a null")
    serve_prometheus: bool = Field(False, description="serve /metrics for Prometheus; nobody can reach it in a job")
    home: str | None = Field(None, description="the state folder of the local clean room; a container does not read it")

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
