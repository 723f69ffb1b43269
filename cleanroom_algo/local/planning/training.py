"""From the record of a trained model to the plan of its training job."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cleanroom_algo.contract.channel import Distribution, InputMode
from cleanroom_algo.errors import BaseArtifactsMissingError
from cleanroom_algo.local.objects.reference import is_parquet
from cleanroom_algo.local.planning.inputs import algorithm_source, association_of, channel_objects, record_of_job
from cleanroom_algo.local.plans.run_files import CHECKPOINTS_FOLDER, MODEL_ARCHIVE
from cleanroom_algo.local.plans.training_plan import (
    DEFAULT_MAX_RUNTIME_SECONDS,
    BaseModel,
    ChannelPlan,
    TrainingPlan,
    plan_hosts,
)
from cleanroom_algo.local.policies.policies import Policies
from cleanroom_algo.local.resources.arns import INPUT_CHANNEL, TRAINED_MODEL
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.resources.workspace import Workspace


def training_plan(workspace: Workspace, record: Record, directory: Path) -> TrainingPlan:
    """Return the plan of the training job of a record.

    Args:
        workspace: of the room.
        record: of a trained model; it need not be in the store.
        directory: for the run's files.

    Raises:
        BaseArtifactsMissingError: CR-JOB-306. JobRecordMissingError: CR-JOB-305.
    """
    document, switches = record.document, workspace.settings.switches
    resources, association = document["resourceConfig"], association_of(workspace, record)
    channels = tuple(_channel_plan(workspace, each) for each in document["dataChannels"])
    return TrainingPlan(
        job_name=record.name,
        job_arn=record.key if record.version is None else f"{record.key}/{record.version}",
        run_directory=directory,
        source=algorithm_source(workspace, association, "trainingContainerConfig"),
        hosts=plan_hosts(channels, resources.get("instanceCount", 1)),
        channels=channels,
        input_mode=InputMode(document.get("trainingInputMode", switches.default_input_mode)),
        hyperparameters=document.get("hyperparameters", {}),
        environment=document.get("environment", {}),
        instance_type=resources["instanceType"],
        base_model=_base_model(workspace, record),
        max_artifact_bytes=Policies.of(association).jobs[TRAINED_MODEL].max_bytes,
        max_runtime_seconds=document.get("stoppingCondition", {}).get(
            "maxRuntimeInSeconds", DEFAULT_MAX_RUNTIME_SECONDS
        ),
        volume_gb=resources["volumeSizeInGB"],
        shuffle_pipes=switches.pipe_order == "shuffled",
        leave_out=switches.overflow == "leave-out",
        file_format=_file_format(channels) if switches.sm_variables == "present" else None,
        checkpoints=_checkpoints(workspace, record),
    )


def _channel_plan(workspace: Workspace, channel: Mapping[str, Any]) -> ChannelPlan:
    distribution = channel.get("s3DataDistributionType", workspace.settings.switches.default_distribution)
    record = record_of_job(workspace, INPUT_CHANNEL, channel["mlInputChannelArn"])
    return ChannelPlan(channel["channelName"], Distribution(distribution), channel_objects(workspace, record))


def _base_model(workspace: Workspace, record: Record) -> BaseModel | None:
    base = record.private.get("base")
    if base is None:
        return None
    archive = workspace.files.artifacts(base["key"], base.get("version")) / MODEL_ARCHIVE
    if not archive.exists():
        raise BaseArtifactsMissingError(
            f"the base model no longer has artifacts: {archive} is missing",
            expected="the model.tar.gz of the version to start from, until the job has ended",
            fix="train the base again, or start from another version",
        )
    return BaseModel(base["channelName"], archive, packed=workspace.settings.switches.base_model_form == "packed")


def _checkpoints(workspace: Workspace, record: Record) -> Path | None:
    if "resumes" not in record.private:
        return None
    key, version = record.private["resumes"]
    earlier = record_of_job(workspace, TRAINED_MODEL, key, version)
    return workspace.files.run(earlier) / CHECKPOINTS_FOLDER


def _file_format(channels: tuple[ChannelPlan, ...]) -> str:
    first = next((each for channel in channels for each in channel.objects), None)
    return "parquet" if first is not None and is_parquet(first) else "csv"
