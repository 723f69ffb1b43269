"""How jobs ended and what they left, as plain values."""

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
    """How a job ended."""

    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    STOPPED = "STOPPED"


@dataclass(frozen=True, slots=True)
class TrainingOutcome:
    """What a training job left.

    Attributes:
        status: COMPLETED only if every host exited with 0 and the artifacts are whole.
        failure_reason: the first cause, at most 1024 characters; None unless FAILED or stopped by its time limit.
        exit_codes: by host; 128 + number for a signal.
        log: a JSON object a line, with `time`, `host`, `stream` and `text`.
        model_archive: the model.tar.gz; None where the job failed.
        output_archive: the output.tar.gz; None where the job failed.
        raw_bytes: of all files together, unpacked.
        packed_bytes: of both archives.
        left_out: why files are missing, where the plan leaves out what no longer fits.
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
    """What an inference job left.

    Attributes:
        status: COMPLETED only if every object has its output.
        failure_reason: the first cause, where it failed.
        outputs: the folder with one `.out` for each object that was answered whole.
        bytes: of all outputs.
        rows: answered, in all outputs.
        failed_objects: keys without an output.
        error: the first cause.
        left_out: why objects have no output, where the plan leaves out what no longer fits.
        warnings: what would cost time or is doubtful, though it does not fail the job here.
        ended_host: whose container ended by itself, where that is the first cause.
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
    """What an export job left.

    Attributes:
        outputs: where the files can be seen now.
        bytes: of all of them together.
        left_out: why files are missing, where the plan leaves out what no longer fits.
    """

    outputs: tuple[str, ...]
    bytes: int
    left_out: ExportTooLargeError | None = None
