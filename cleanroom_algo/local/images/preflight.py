"""Finds what would end a training job before its first step, before the job starts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cleanroom_algo.contract.algorithm import ENTRY_FILE, algorithm_file
from cleanroom_algo.contract.channel import InputMode
from cleanroom_algo.contract.environment import PROGRAM_VARIABLE
from cleanroom_algo.contract.script import PROGRAM_HYPERPARAMETER
from cleanroom_algo.errors import (
    AlgorithmImportError,
    AlgorithmNotFoundError,
    CleanroomError,
    Problem,
    all_errors,
)
from cleanroom_algo.local.hosts.entry import process_environment
from cleanroom_algo.local.hosts.layout import container_variables, lay_out
from cleanroom_algo.local.plans.training_plan import ChannelPlan, TrainingPlan

_MODULE = "cleanroom_algo.training.preflight"
_SECONDS = 120.0  # the import of an algorithm that takes longer is not stuck, but does other work
_MISSING = re.compile(r"No module named '(?P<name>\w+)")


@dataclass(frozen=True, slots=True)
class Fault:
    """An error that would end a job.

    Attributes:
        error: what is wrong.
        place: file and line in the algorithm; "" if the fault is not in the algorithm.
        sure: whether it certainly ends the job; an algorithm's own `fit` may read rows in another way.
    """

    error: CleanroomError
    place: str = ""
    sure: bool = True


def find_fault(plan: TrainingPlan, *, import_only: bool = False, any_hyperparameters: bool = False) -> Fault | None:
    """Return what would end a training job before its first step; None if nothing is found.

    The first rows of channels on this machine are read, in each input mode; those of channels in S3 are not.

    Args:
        plan: of the job; images, scripts and an algorithm's own programs are not checked.
        import_only: only import the algorithm.
        any_hyperparameters: whether required ones may be missing.
    """
    source = plan.source.path
    names_script = PROGRAM_VARIABLE in plan.environment or PROGRAM_HYPERPARAMETER in plan.hyperparameters
    if source is None or plan.source.entrypoint is not None or names_script:
        return None
    has_own = source.is_dir() and os.access(source / "train", os.X_OK)
    try:
        file = algorithm_file(source)
    except AlgorithmNotFoundError as error:
        return None if has_own else Fault(error)
    words = ["--import-only"] if import_only or has_own else []
    words += ["--any-hyperparameters"] if any_hyperparameters else []
    assert file is not None
    with tempfile.TemporaryDirectory(prefix="cleanroom-preflight-") as folder:
        # All input modes deliver the same rows, so files stand for all of them.
        own = replace(plan, run_directory=Path(folder), input_mode=InputMode.FILE)
        fault = _run(own, _only_file(source, file, Path(folder)), words)
    return _with_neighbor(fault, source) if fault and source.is_file() else fault


def _only_file(source: Path, file: Path, folder: Path) -> Path:
    """Return an algorithm as it is in a container, where a single file has no other files beside it."""
    if source.is_dir():
        return source
    copy = folder / "algorithm" / file.name
    copy.parent.mkdir()
    copy.write_bytes(file.read_bytes())
    return copy


def _with_neighbor(fault: Fault, file: Path) -> Fault:
    """Return the fault of a single-file algorithm, with a fix if it lacks a module that is in the same folder."""
    missing = _MISSING.search(fault.error.what)
    neighbor = file.parent / missing["name"] if missing else None
    if neighbor is None or not (neighbor.is_dir() or neighbor.with_suffix(".py").is_file()):
        return fault
    fix = f"{neighbor.name} is beside {file.name}, but only {file.name} goes into the container: "
    fix += f"put both into a folder, {file.name} as {ENTRY_FILE}, and use the folder"
    error = AlgorithmImportError(fault.error.what, expected="an algorithm that contains all its own modules", fix=fix)
    return Fault(error, fault.place)


def _run(plan: TrainingPlan, algorithm: Path, words: Sequence[str]) -> Fault | None:
    tree = lay_out(plan, plan.hosts[0])
    for channel in plan.channels:
        _link_first(channel, tree.paths.channel(channel.name))
    given, path = container_variables(plan, tree.paths), os.environ.get("PATH", os.defpath)
    try:
        done = subprocess.run(
            [sys.executable, "-m", _MODULE, *words],
            cwd=plan.run_directory,
            env=process_environment(tree.root, algorithm, path, given),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        name = algorithm.name if algorithm.is_file() else ENTRY_FILE
        return Fault(_ended(name, done.returncode), name)
    found = json.loads(done.stdout.splitlines()[-1])
    return None if found["error"] is None else Fault(_error(found["error"]), found["place"], found["sure"])


def _link_first(channel: ChannelPlan, root: Path) -> None:
    """Create a channel that contains only its first object, if this is a file."""
    root.mkdir(parents=True)
    for each in channel.objects[:1]:
        if isinstance(each.place, Path):
            link = root / each.key
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(each.place)


def _ended(name: str, status: int) -> AlgorithmImportError:
    return AlgorithmImportError(
        f"{name}: Python ended with status {status} while it was imported",
        expected="a file that can be imported where the algorithm runs",
        fix="do not import code that ends the process",
    )


def _error(document: dict[str, str | list[dict[str, str]]]) -> CleanroomError:
    """Return the error that `CleanroomError.to_dict` converted to a document."""
    problems = [Problem(**each) for each in document["problems"] if isinstance(each, dict)]
    kind = all_errors()[str(document["code"])]
    return kind(str(document["what"]), expected=str(document["expected"]), fix=str(document["fix"]), problems=problems)
