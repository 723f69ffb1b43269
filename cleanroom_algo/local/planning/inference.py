"""From the record of an inference job to its plan."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from cleanroom_algo.local.objects.reference import ObjectRef, is_parquet
from cleanroom_algo.local.planning.inputs import algorithm_source, association_of, channel_objects, record_of_job
from cleanroom_algo.local.plans.inference_plan import InferencePlan, spread_objects
from cleanroom_algo.local.plans.run_files import MODEL_ARCHIVE
from cleanroom_algo.local.policies.policies import Policies
from cleanroom_algo.local.resources.arns import INFERENCE_JOB, INPUT_CHANNEL
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.resources.workspace import Workspace

_CSV: Final = "text/csv"  # IANA's names
_PARQUET: Final = "application/vnd.apache.parquet"
_HEAD_BYTES: Final = 64 * 1024  # of an object's beginning, in which a header is searched


def inference_plan(workspace: Workspace, record: Record, directory: Path) -> InferencePlan:
    """Return the plan of the inference job of a record.

    Args:
        workspace: of the room.
        record: of an inference job.
        directory: for the run's files.

    Raises:
        JobRecordMissingError: CR-JOB-305.
    """
    document, switches = record.document, workspace.settings.switches
    association = association_of(workspace, record)
    channel = record_of_job(workspace, INPUT_CHANNEL, document["dataSource"]["mlInputChannelArn"])
    objects = channel_objects(workspace, channel)
    resources = document["resourceConfig"]
    artifacts = workspace.files.artifacts(record.parent, document.get("trainedModelVersionIdentifier"))
    has_header = channel.private.get("has_header")
    whole = switches.inference_on_parquet == "whole-objects" and all(is_parquet(each) for each in objects)
    return InferencePlan(
        job_name=record.name,
        job_arn=record.key,
        run_directory=directory,
        source=algorithm_source(workspace, association, "inferenceContainerConfig"),
        model=artifacts / MODEL_ARCHIVE,
        hosts=spread_objects(objects, resources.get("instanceCount", 1)),
        environment=document.get("environment", {}),
        accept=document["outputConfiguration"].get("accept"),
        max_payload_mb=document.get("containerExecutionParameters", {}).get("maxPayloadInMB"),
        max_output_bytes=Policies.of(association).jobs[INFERENCE_JOB].max_bytes,
        instance_type=resources["instanceType"],
        has_header=looks_like_header(objects) if has_header is None else has_header,
        header_known=has_header is not None,
        header=switches.inference_header,
        lost_rows=switches.inference_lost_rows,
        content_type=_PARQUET if whole else _CSV,
        leave_out=switches.overflow == "leave-out",
        whole_objects=whole,
        max_seconds=workspace.settings.quotas.inference_job_hours * 3600,
    )


def looks_like_header(objects: tuple[ObjectRef, ...]) -> bool:
    """Whether the first object begins with names: no field of its first line is empty, a number, or occurs twice.

    The first of several may be empty, as pandas writes it for an index. The platform does not know whether there is a
    header; here, this decides whether further requests repeat the first line.
    """
    first = next((each for each in objects if each.size), None)
    if first is None:
        return False
    with first.open() as file:
        line = file.read(_HEAD_BYTES).partition(b"\n")[0].decode("utf-8", "replace").strip("\r\ufeff")
    fields = [field.strip('" ') for field in re.split(r"[,;|\t]", line)]
    names = all(field and not _is_number(field) for field in (fields[1:] if fields[0] == "" and fields[1:] else fields))
    return names and len(set(fields)) == len(fields) and not line.startswith(("{", "["))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
