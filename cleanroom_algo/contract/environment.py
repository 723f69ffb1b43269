"""Everything the platform gives a container, read once, in one place."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from cleanroom_algo.contract.channel import Channel, ChannelConfig, read_channels
from cleanroom_algo.contract.hyperparameters import as_texts
from cleanroom_algo.contract.paths import ROOT_VARIABLE, Paths
from cleanroom_algo.contract.resources import ResourceConfig
from cleanroom_algo.contract.settings import Settings
from cleanroom_algo.contract.suggestions import did_you_mean
from cleanroom_algo.contract.validation import problems_of
from cleanroom_algo.errors import ChannelNotInJobError, ConfigFileError, Problem

JOB_NAME_VARIABLE = "TRAINING_JOB_NAME"
JOB_ARN_VARIABLE = "TRAINING_JOB_ARN"
PROGRAM_VARIABLE = "SAGEMAKER_PROGRAM"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Environment:
    """What a training container is given.

    Attributes:
        paths: the tree below /opt/ml.
        job_name: TRAINING_JOB_NAME, or None outside a job.
        job_arn: TRAINING_JOB_ARN, or None outside a job.
        hyperparameters: at most 100 pairs of strings; `Hyperparameters.parse` gives them types.
        channels: by name.
        resources: the hosts.
        variables: the environment variables of the process.
        settings: those of them that this library reads.
    """

    paths: Paths
    job_name: str | None
    job_arn: str | None
    hyperparameters: Mapping[str, str]
    channels: Mapping[str, Channel]
    resources: ResourceConfig
    variables: Mapping[str, str]
    settings: Settings

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None) -> Environment:
        """Read the configuration files and variables.

        Raises:
            ConfigFileError: files are missing or not of their documented form; all of them at once.
            SettingError: a `CLEANROOM_ALGO_` variable is wrong.
        """
        variables = MappingProxyType(dict(os.environ if environ is None else environ))
        paths = Paths.from_environ(variables)
        problems: list[Problem] = []
        hyperparameters = _read(paths.hyperparameters, _parse_hyperparameters, problems)
        entries = _read(paths.input_data_config, TypeAdapter(dict[str, ChannelConfig]).validate_python, problems)
        resources = _read(paths.resource_config, ResourceConfig.model_validate, problems)
        if hyperparameters is None or entries is None or resources is None:
            raise ConfigFileError(
                f"the configuration below {paths.config} cannot be read",
                expected="hyperparameters.json, inputdataconfig.json and resourceconfig.json of a training job",
                fix=f"start the algorithm with `cleanroom-algo train`, or set {ROOT_VARIABLE} to a folder with the "
                "same structure as /opt/ml",
                problems=problems,
            )
        return cls(
            paths=paths,
            job_name=variables.get(JOB_NAME_VARIABLE),
            job_arn=variables.get(JOB_ARN_VARIABLE),
            hyperparameters=MappingProxyType(hyperparameters),
            channels=MappingProxyType(read_channels(entries, paths)),
            resources=resources,
            variables=variables,
            settings=Settings.read(variables),
        )

    def channel(self, name: str) -> Channel:
        """Return a channel by name.

        Raises:
            ChannelNotInJobError: the job has no such channel.
        """
        if name not in self.channels:
            raise ChannelNotInJobError(
                f"the job has no channel {name!r}{did_you_mean(name, self.channels)}",
                expected=f"one of the job's channels: {', '.join(self.channels) or 'it has none'}",
                fix="add the channel to dataChannels of the request, or read another channel",
            )
        return self.channels[name]


class InferenceEnvironment(BaseModel):
    """What an inference container is given.

    (SageMaker developer guide, "Use your own inference code with batch transform".)
    The three limits are set only where the caller of the job set them. The default media type of a script's answers and
    the script that serves are variables of the SageMaker inference toolkit.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", arbitrary_types_allowed=True)

    paths: Paths
    settings: Settings
    batch: bool = Field(False, alias="SAGEMAKER_BATCH")
    max_payload_mb: int | None = Field(None, alias="SAGEMAKER_MAX_PAYLOAD_IN_MB", ge=0, le=100)
    batch_strategy: str | None = Field(None, alias="SAGEMAKER_BATCH_STRATEGY")
    max_concurrent_transforms: int | None = Field(None, alias="SAGEMAKER_MAX_CONCURRENT_TRANSFORMS", ge=0)
    program: str | None = Field(None, alias=PROGRAM_VARIABLE)
    default_accept: str = Field("application/json", alias="SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT")
    port: int = Field(8080, alias="SAGEMAKER_BIND_TO_PORT", ge=0, le=65535)

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None) -> InferenceEnvironment:
        """Read the variables.

        Raises:
            ConfigFileError: a variable of the platform has a value outside its documented form.
            SettingError: a `CLEANROOM_ALGO_` variable is wrong.
        """
        variables = dict(os.environ if environ is None else environ)
        given = {name: value for name, value in variables.items() if name.startswith("SAGEMAKER_") and value}
        fixed = {"paths": Paths.from_environ(variables), "settings": Settings.read(variables)}
        try:
            return cls.model_validate({**given, **fixed})
        except ValidationError as error:
            raise ConfigFileError(
                "environment variables of the inference job cannot be used",
                expected="the values that the SageMaker developer guide documents for batch transform",
                fix="correct or remove them in the request's environment",
                problems=problems_of(error),
            ) from None


def _read(path: Path, parse: Callable[[object], T], problems: list[Problem]) -> T | None:
    try:
        return parse(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        problems.append(Problem(path.name, f"cannot be read: {error.strerror}"))
    except ValidationError as error:
        problems += problems_of(error, prefix=f"{path.name}: ", show_author_text=True)
    except ValueError:
        problems.append(Problem(path.name, "is not JSON"))
    return None


def _parse_hyperparameters(document: object) -> dict[str, str]:
    # The platform writes strings; the local modes of other tools write bare numbers and booleans, which mean the same.
    return as_texts(TypeAdapter(dict[str, object]).validate_python(document))
