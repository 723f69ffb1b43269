"""How each rank ended: ranks tell it to their launcher in files, and launchers tell other hosts why they failed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Self

Outcome = Literal["done", "stopped", "failed"]


@dataclass(frozen=True, slots=True)
class RankReport:
    """How a rank ended.

    Attributes:
        rank: its number over all hosts.
        outcome: "done", "stopped" after a signal with its artifacts published, or "failed".
        exit_code: what the process says.
        text: why it failed: the text of the failure file.
        lost_others: whether it failed only because other ranks were gone.
        at: `time.time()`; the earliest failure is the cause.
    """

    rank: int
    outcome: Outcome
    exit_code: int = 0
    text: str = ""
    lost_others: bool = False
    at: float = 0.0

    def write(self, directory: Path) -> None:
        """Leave the report for the launcher; the first report of a rank stays."""
        path = directory / f"rank-{self.rank}.json"
        draft = path.with_name(f".{path.name}-{os.getpid()}")
        draft.write_text(json.dumps(asdict(self)), encoding="utf-8")
        if not path.exists():
            draft.rename(path)

    @classmethod
    def failed(cls, rank: int, text: str, exit_code: int, *, lost_others: bool = False) -> Self:
        """Return the report of a failure that happened now."""
        return cls(rank, "failed", exit_code, text, lost_others, time.time())


def read_reports(directory: Path) -> dict[int, RankReport]:
    """Return the reports by rank."""
    reports = [RankReport(**json.loads(path.read_text("utf-8"))) for path in directory.glob("rank-*.json")]
    return {report.rank: report for report in reports}


def first_cause(reports: Sequence[RankReport]) -> RankReport | None:
    """Return the earliest failure that other ranks did not cause, or else the earliest failure, or None."""
    failures = sorted((r for r in reports if r.outcome == "failed"), key=lambda r: (r.lost_others, r.at))
    return failures[0] if failures else None
