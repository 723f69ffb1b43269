"""The plan of an export job, computed before it runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ExportPlan:
    """An export job, as a plain value.

    Attributes:
        files: the archives to copy.
        destination: the s3:// URI below which they are copied.
        max_bytes: maximum size of all of them together; None: no maximum.
        leave_out: whether files that are too large are left out; else they fail the job.
    """

    files: tuple[Path, ...]
    destination: str
    max_bytes: int | None = None
    leave_out: bool = False
