"""From the outcome of a job to its record: stores archives and outputs, sets members, describes the reason."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cleanroom_algo.contract.sizes import GB
from cleanroom_algo.errors import (
    ArtifactsTooLargeError,
    ArtifactTooLargeError,
    CleanroomError,
    JobStoppedError,
    all_errors,
)
from cleanroom_algo.errors.exit_codes import ExitCode
from cleanroom_algo.errors.status_codes import MAX_RUNTIME_EXCEEDED, NOT_STARTED, status_code
from cleanroom_algo.local.objects.store import put_all
from cleanroom_algo.local.plans.outcomes import ExportOutcome, InferenceOutcome, JobStatus, TrainingOutcome
from cleanroom_algo.local.plans.run_files import LOG_FILE, MODEL_ARCHIVE, OUTPUT_ARCHIVE
from cleanroom_algo.local.plans.training_plan import TrainingPlan
from cleanroom_algo.local.policies.logs import LogReading, member_logs
from cleanroom_algo.local.policies.recipients import Recipients
from cleanroom_algo.local.query.plan import QueryOutcome, QueryPlan
from cleanroom_algo.local.resources.job_log import read_lines
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.resources.workspace import Workspace
from cleanroom_algo.local.scheduling.cleanup import STORED, tidy, tidy_unfinished

_TAIL_BYTES: Final = 64 * 1024  # at the end of a log, in which the last lines of a container are searched
_TAIL_LINES: Final = 5
_FINAL_LOSS: Final = re.compile(r" final_(validation_loss|epoch_train_loss)=(\S+)")
_LINE_CHARACTERS: Final = 200


@dataclass(frozen=True)
class JobResult:
    """The result of a job for its record.

    Attributes:
        code: `statusDetails.statusCode` of a failure; "" for success.
        message: `statusDetails.message`.
        document: members to set in the record in any case.
        private: the same for private values.
        left_out: why a part of its output is missing, although it succeeded.
    """

    code: str = ""
    message: str = ""
    document: Mapping[str, Any] = field(default_factory=dict)
    private: Mapping[str, Any] = field(default_factory=dict)
    left_out: CleanroomError | None = None


def failed(error: CleanroomError) -> JobResult:
    """Return the result of a job that failed with an error."""
    return JobResult(error.status_code or error.code, str(error), private={"exit_code": int(error.exit_code)})


def trained(
    workspace: Workspace, record: Record, plan: TrainingPlan, outcome: TrainingOutcome, shown: Mapping[str, Any]
) -> JobResult:
    """Store the artifacts of a training job completely, or not at all."""
    private: dict[str, Any] = {"log": str(outcome.log), "exit_codes": outcome.exit_codes}
    if outcome.status is not JobStatus.COMPLETED or outcome.model_archive is None:
        tidy_unfinished(plan.run_directory)
        reason = outcome.failure_reason or "the job was stopped"
        code = JobStoppedError.code if outcome.status is JobStatus.STOPPED else _status_code(reason)
        if reason.startswith(MAX_RUNTIME_EXCEEDED):
            code = MAX_RUNTIME_EXCEEDED
        private["exit_code"] = int(_exit_status(outcome.exit_codes, code))
        private["started"] = all(
            line["text"] != NOT_STARTED for line in read_lines(outcome.log, last_bytes=_TAIL_BYTES)
        )
        return JobResult(code, reason, shown, private)
    kept = workspace.files.artifacts(record.key, record.version)
    kept.mkdir(parents=True, exist_ok=True)
    for archive, name in ((outcome.model_archive, MODEL_ARCHIVE), (outcome.output_archive, OUTPUT_ARCHIVE)):
        if archive is not None:
            archive.replace(kept / name)
    tidy(plan.run_directory)
    sizes = {"raw_bytes": outcome.raw_bytes, "packed_bytes": outcome.packed_bytes, "loss": _final_loss(outcome.log)}
    return JobResult(
        document=shown,
        private={**private, **sizes, "artifacts": str(kept), "max_artifact_bytes": plan.max_artifact_bytes},
        left_out=outcome.left_out,
    )


def inferred(workspace: Workspace, record: Record, outcome: InferenceOutcome, shown: Mapping[str, Any]) -> JobResult:
    """Store the outputs of an inference job at the receiver's location.

    The receiver also gets outputs of a failed job, unless a setting forbids it; SageMaker stores none of a stopped job.
    """
    directory = workspace.files.run(record)
    private: dict[str, Any] = {"log": str(directory / LOG_FILE), "failed_objects": list(outcome.failed_objects)}
    private["warnings"] = list(outcome.warnings)
    keeps = outcome.status is JobStatus.FAILED and workspace.settings.switches.inference_after_failure == "keep"
    if outcome.status is JobStatus.COMPLETED or keeps:
        private["outputs"] = _put_outputs(workspace, record, outcome.outputs)
    tidy(directory)
    if outcome.status is JobStatus.COMPLETED:
        kept = {"rows": outcome.rows, "bytes": outcome.bytes}
        return JobResult(document=shown, private={**private, **kept}, left_out=outcome.left_out)
    reason = outcome.failure_reason or "the job was stopped"
    if outcome.ended_host is not None:
        reason += _last_lines(workspace, record, outcome.ended_host)
    if outcome.status is JobStatus.STOPPED:
        return JobResult(JobStoppedError.code, reason, shown, {**private, "exit_code": int(ExitCode.STOPPED)})
    exit_code = ExitCode.ALGORITHM_FAILED if outcome.error is None else outcome.error.exit_code
    return JobResult(_status_code(reason), reason, shown, {**private, "exit_code": int(exit_code)})


def queried(record: Record, plan: QueryPlan, outcome: QueryOutcome, kept: Mapping[str, Any]) -> JobResult:
    """Return the result of the query of an ML input channel."""
    evaluated = {}
    if outcome.attack_score is not None:
        score = {"attackVersion": "DISTANCE_TO_CLOSEST_RECORD_V1", "score": outcome.attack_score}
        scores = {"dataPrivacyScores": {"membershipInferenceAttackScores": [score]}}
        asked = record.document["syntheticDataConfiguration"]
        evaluated = {"syntheticDataConfiguration": {**asked, "syntheticDataEvaluationScores": scores}}
    return JobResult(
        document={
            **evaluated,
            "numberOfRecords": outcome.records,
            "numberOfFiles": float(outcome.files),
            "sizeInGb": outcome.bytes / GB,
            "protectedQueryIdentifier": str(uuid.uuid4()),
        },
        private={
            "has_header": plan.header,
            "dialect": outcome.dialect,
            "warnings": list(outcome.warnings),
            **kept,
        },
    )


def exported(outcome: ExportOutcome) -> JobResult:
    """Return the result with the locations of exported files."""
    return JobResult(
        private={"outputs": list(outcome.outputs), "bytes": outcome.bytes},
        left_out=outcome.left_out,
    )


def _put_outputs(workspace: Workspace, record: Record, outputs: Path) -> list[str]:
    """Give a receiver all outputs or none; the record names them first, in case this process is killed."""
    files = {path.relative_to(outputs).as_posix(): path for path in sorted(outputs.rglob("*")) if path.is_file()}
    workspace.store.update(record, private={STORED: list(files)}, touch=False)
    return put_all(workspace.objects, {f"{record.private['output']}/{name}": path for name, path in files.items()})


def _last_lines(workspace: Workspace, record: Record, host: str) -> str:
    """Return the last output of a host's container that the account of the job may see."""
    written = read_lines(workspace.files.run(record) / LOG_FILE, last_bytes=_TAIL_BYTES)
    lines = [line for line in written if line["host"] == host and line["stream"] != "job"]
    reading = LogReading.of(workspace.settings.switches)
    recipients = Recipients.of(workspace.store, record)
    seen = member_logs(lines, None, recipients, record.account, reading).lines[-_TAIL_LINES:]
    shown = [line["text"][:_LINE_CHARACTERS] for line in seen]
    return "\n  log       " + "\n            ".join(shown) if shown else ""


def _final_loss(log: Path) -> float | None:
    """Return the loss that a training loop logged at its end, if possible that of the validation."""
    texts = [line["text"] for line in read_lines(log, last_bytes=_TAIL_BYTES)]
    found = dict(_FINAL_LOSS.findall("\n".join(texts)))
    value = found.get("validation_loss", found.get("epoch_train_loss"))
    return None if value is None else float(value)


def _status_code(reason: str) -> str:
    if reason.startswith(f"AlgorithmError: {ArtifactTooLargeError.code}"):  # a Trainer notices it before the room does
        return ArtifactsTooLargeError.code
    return status_code(reason)


def _exit_status(exit_codes: Mapping[str, int], code: str) -> ExitCode:
    if (kind := all_errors().get(code)) is not None:
        return kind.exit_code  # the room's own error, regardless of how the containers reacted to it
    return ExitCode.CONTRACT if ExitCode.CONTRACT in exit_codes.values() else ExitCode.ALGORITHM_FAILED
