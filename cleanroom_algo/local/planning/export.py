"""From the record of an export job to its plan."""

from __future__ import annotations

from typing import Final

from cleanroom_algo.local.planning.inputs import record_of_job
from cleanroom_algo.local.plans.export_plan import ExportPlan
from cleanroom_algo.local.plans.run_files import MODEL_ARCHIVE, OUTPUT_ARCHIVE
from cleanroom_algo.local.policies.exports import export_policy
from cleanroom_algo.local.resources.arns import ASSOCIATION, TRAINED_MODEL
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.resources.workspace import Workspace

_ARCHIVES: Final = {"MODEL": MODEL_ARCHIVE, "OUTPUT": OUTPUT_ARCHIVE}


def export_plan(workspace: Workspace, record: Record) -> ExportPlan:
    """Return the plan of the export job of a record.

    Raises:
        JobRecordMissingError: CR-JOB-305.
    """
    association = record_of_job(workspace, ASSOCIATION, record.private["association"])
    version = record.document.get("trainedModelVersionIdentifier")
    model = record_of_job(workspace, TRAINED_MODEL, record.parent, version)
    policy = export_policy(association, model, workspace.settings.switches)
    assert policy is not None  # associations cannot be edited, and the job was only accepted with a policy
    folder = workspace.files.artifacts(record.parent, version)
    files = [folder / _ARCHIVES[name] for name in policy.files]
    return ExportPlan(
        files=tuple(path for path in files if path.exists()),
        destination=record.private["output"],
        max_bytes=policy.max_bytes,
        leave_out=workspace.settings.switches.overflow == "leave-out",
    )
