"""Plans of small training jobs, and what is heard of their runs."""

import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

from cleanroom_algo.local.plans.outcomes import TrainingOutcome
from cleanroom_algo.local.plans.training_plan import TrainingPlan

PRELUDE = """#!/usr/bin/env python3
import json, os, signal, subprocess, sys, time
from pathlib import Path
root = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
host = json.loads((root / "input/config/resourceconfig.json").read_text())["current_host"]
"""


class Lines:
    """Collects what the hosts write, and lets a test wait for a line."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str]] = []
        self._changed = threading.Condition()

    def line(self, host: str, stream: str, text: str) -> None:
        with self._changed:
            self.seen.append((host, stream, text))
            self._changed.notify_all()

    def progress(self, progress: object) -> None:
        self.line("job", "progress", str(progress))

    def wait_for_part(self, text: str) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: any(text in seen[2] for seen in self.seen), timeout=60)

    def wait_for(self, text: str, count: int = 1) -> None:
        self.wait_until(lambda seen: sum(each[2] == text for each in seen) >= count)

    def wait_until(self, condition: Callable[[list[tuple[str, str, str]]], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self.seen), timeout=60)


Job = Callable[..., TrainingPlan]
Run = Callable[..., TrainingOutcome]


def members(archive: Path | None) -> dict[str, bytes]:
    assert archive is not None
    with tarfile.open(archive) as tar:
        return {member.name: file.read() for member in tar if (file := tar.extractfile(member))}
