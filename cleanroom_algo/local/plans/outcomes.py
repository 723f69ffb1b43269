"""Outcomes of jobs, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cleanroom_algo.errors import (
    ArtifactsTooLargeError,
    CleanroomError,
    ExportTooLargeError,
    InferenceOutputTooLargeError,
)


class JobStatus(StrEnum):
    """The final status of a job."""

    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    STOPPED = "STOPPED"


@dataclass(frozen=True, slots=True)
class TrainingOutcome:
    """The outcome of a training job.

    Attributes:
        status: COMPLETED only if every host exited with 0 and the artifacts are complete.
        failure_reason: the first cause, at most 1024 characters; None unless FAILED or stopped by its time limit.
        exit_codes: by host; 128 + number for a signal.
        log: a JSON object per line, with `time`, `host`, `stream` and `text`.
        model_archive: the model.tar.gz; None if the job failed.
        output_archive: the output.tar.gz; None if the job failed.
        raw_bytes: of all files together, unpacked.
        packed_bytes: of both archives.
        left_out: why files are missing, if the plan leaves out files that are too large.
    """

    status: JobStatus
    failure_reason: str | None
    exit_codes: dict[str, int]
    log: Path
    model_archive: Path | None = None
    output_archive: Path | None = None
    raw_bytes: int = 0
    packed_bytes: int = 0
    left_out: ArtifactsTooLargeError | None = None


@dataclass(frozen=True, slots=True)
class InferenceOutcome:
    """The outcome of an inference job.

    Attributes:
        status: COMPLETED only if every object has its output.
        failure_reason: the first cause, if it failed.
        outputs: the folder with one `.out` for each object that was answered completely.
        bytes: of all outputs.
        rows: the number of predictions in all outputs.
        failed_objects: keys without an output.
        error: the error of the first cause.
        left_out: why objects have no output, if the plan leaves out files that are too large.
        warnings: what may be slow or wrong, although the job does not fail.
        ended_host: the host whose container ended by itself, if that is the first cause.
    """

    status: JobStatus
    failure_reason: str | None
    outputs: Path
    bytes: int = 0
    rows: int = 0
    failed_objects: tuple[str, ...] = ()
    error: CleanroomError | None = None
    left_out: InferenceOutputTooLargeError | None = None
    warnings: tuple[str, ...] = ()
    ended_host: str | None = None


@dataclass(frozen=True, slots=True)
class ExportOutcome:
    """The outcome of an export job.

    Attributes:
        outputs: the locations of the files for users.
        bytes: of all of them together.
        left_out: why files are missing, if the plan leaves out files that are too large.
    """

    outputs: tuple[str, ...]
    bytes: int
    left_out: ExportTooLargeError | None = None
