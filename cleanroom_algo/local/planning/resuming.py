"""Whether a training job can continue from the checkpoints of an earlier one, and the inputs of that job.

Only the local room can resume jobs; the platform cannot.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from cleanroom_algo.contract.algorithm import source_hash
from cleanroom_algo.errors import NotResumableError, Problem
from cleanroom_algo.local.hosts.docker import image_digest
from cleanroom_algo.local.planning.training import training_plan
from cleanroom_algo.local.plans.run_files import CHECKPOINTS_FOLDER
from cleanroom_algo.local.plans.training_plan import AlgorithmSource, TrainingPlan
from cleanroom_algo.local.resources.states import FAILED, INACTIVE
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.resources.workspace import Workspace

_NAMES: Final = {
    "hosts": "the number of hosts",
    "sources": "the sources of the algorithm",
    "objects": "the objects of the channels",
}


def ingredients(plan: TrainingPlan) -> dict[str, Any]:
    """Return what must not change until a job is resumed: hosts, sources and objects, as JSON values."""
    listed = [[channel.name, each.key, each.size, each.state] for channel in plan.channels for each in channel.objects]
    digest = hashlib.sha256(json.dumps(sorted(listed)).encode()).hexdigest()
    return {"hosts": len(plan.hosts), "sources": _sources(plan.source), "objects": digest}


def checkpoints_of(workspace: Workspace, record: Record) -> Path | None:
    """Return the folder with the checkpoints of a job, one folder for each host; None if it wrote none."""
    folder = workspace.files.run(record) / CHECKPOINTS_FOLDER
    return folder if folder.is_dir() else None


def check_resumable(workspace: Workspace, record: Record) -> None:
    """Check that a new job with the same request can continue an earlier one.

    Args:
        workspace: of the room.
        record: of a trained model.

    Raises:
        NotResumableError: CR-JOB-307, it has not ended early, has no checkpoint, or would now be a different job.
        JobError: CR-JOB-305 or CR-JOB-306, one of its inputs no longer exists.
    """
    if record.status not in (FAILED, INACTIVE):
        raise NotResumableError(
            f"{record.name} is {record.status}: there is nothing to resume",
            expected="a training job that was interrupted, cancelled, or failed",
            fix="start a new training job, or train from this version with --base-model",
        )
    kept: Mapping[str, Any] | None = record.private.get("ingredients")
    if kept is None or checkpoints_of(workspace, record) is None:
        raise NotResumableError(
            f"{record.name} left no checkpoint",
            expected="a job of a Trainer that ended after its first epoch, and whose checkpoints were not deleted",
            fix="train again without --resume",
        )
    today = ingredients(training_plan(workspace, record, workspace.files.run(record)))
    if problems := [Problem(_NAMES[name], "has changed") for name in _NAMES if today[name] != kept[name]]:
        raise NotResumableError(
            f"{record.name} cannot continue, because its inputs have changed",
            expected="the same objects, source code and number of hosts as at the start of the job",
            fix="restore them, or train again without --resume",
            problems=problems,
        )


def _sources(source: AlgorithmSource) -> str | None:
    return image_digest(source.image_uri) if source.path is None else _files(source.path)


def _files(path: Path) -> str | None:
    """Return a hash of an algorithm's sources: the Python files of a Trainer, or else all files in its folder."""
    if path.suffix == ".py" or (path / "algorithm.py").exists():
        return source_hash(path)
    contents = sorted((each.relative_to(path).as_posix(), each) for each in path.rglob("*") if each.is_file())
    lines = [f"{name} {hashlib.sha256(each.read_bytes()).hexdigest()}" for name, each in contents]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
