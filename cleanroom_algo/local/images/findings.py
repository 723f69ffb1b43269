"""Findings of a check: what would fail or be slow in the clean room."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One finding.

    Attributes:
        severity: error: it fails in the clean room; warning: it may fail, or is slow.
        name: of the check; it never changes.
        where: file and line, or the part of the image.
        what: the problem.
        fix: what to do.
    """

    severity: Severity
    name: str
    where: str
    what: str
    fix: str
