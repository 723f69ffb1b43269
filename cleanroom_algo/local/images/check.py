"""Finds what would fail in the clean room before an image is pushed there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cleanroom_algo.contract.algorithm import algorithm_file, is_spelled_as_path
from cleanroom_algo.contract.channel import Distribution
from cleanroom_algo.contract.environment import PROGRAM_VARIABLE
from cleanroom_algo.local.hosts import sandbox
from cleanroom_algo.local.hosts.docker import ENGINES, DockerHosts
from cleanroom_algo.local.hosts.engine import find_engine
from cleanroom_algo.local.hosts.process import ProcessHosts
from cleanroom_algo.local.hosts.protocol import Verb
from cleanroom_algo.local.images.findings import Finding
from cleanroom_algo.local.images.image import (
    ALGORITHM,
    check_image,
    code_places,
    container_of,
    copy_out,
    entry_files,
    find_programs,
    inspect,
    names_script,
    search_path,
)
from cleanroom_algo.local.images.preflight import Fault, find_fault
from cleanroom_algo.local.images.source import Sources, check_sources, read_sources
from cleanroom_algo.local.objects.reference import ObjectRef
from cleanroom_algo.local.plans.training_plan import AlgorithmSource, ChannelPlan, TrainingPlan, plan_hosts

VERBS: Final[tuple[Verb, ...]] = ("train", "serve")
_NAMES: Final = {"CR-CLI": "import", "CR-SCH": "schema", "CR-CHN": "channel", "CR-CON": "contract"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What to check, in addition to the algorithm itself.

    Attributes:
        start: whether to import the algorithm, and also start `train` and `serve`, without data.
        only: `train` or `serve`, if the algorithm or image is not meant for the other.
        channels: the objects of channels, whose first rows are read.
        hyperparameters: of the request; if there are none at all, required ones may be missing.
        environment: of the request.
    """

    start: bool = True
    only: Verb | None = None
    channels: Mapping[str, tuple[ObjectRef, ...]] = field(default_factory=dict)
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


def check(name: str, asked: Asked) -> list[Finding]:
    """Return the findings, errors first, each once.

    Args:
        name: the path of an algorithm's file or folder, or an image of this machine.
        asked: what to check.

    Raises:
        AlgorithmNotFoundError: CR-CON-004, there is nothing at the path.
        EngineError: CR-HST-003, it is an image and no engine responds. HostStartError: CR-HST-001.
    """
    source = AlgorithmSource(name)
    if source.path is None and is_spelled_as_path(name):
        algorithm_file(name)
    found = _check_path(source, source.path, asked) if source.path is not None else _check_image(source, asked)
    return sorted(set(found))


def _check_path(source: AlgorithmSource, path: Path, asked: Asked) -> Iterator[Finding]:
    sources = read_sources(path, asked.environment.get(PROGRAM_VARIABLE))
    found = list(check_sources(sources, only=asked.only))
    if sources.broken or not asked.start:
        yield from found
        return
    verbs = [verb for verb in VERBS if asked.only in (None, verb) and sources.has(verb)]
    plan = _plan(source, asked, sources)
    fault = find_fault(plan, import_only="train" not in verbs, any_hyperparameters=not asked.hyperparameters)
    yield from found
    if fault is not None:
        yield _finding(fault, path)
    if fault is None or not fault.sure:
        from cleanroom_algo.local.images.trial import try_out  # importing numpy takes time

        yield from try_out(plan, ProcessHosts() if sandbox.missing() else sandbox.SandboxHosts(), verbs)


def _plan(source: AlgorithmSource, asked: Asked, sources: Sources | None = None) -> TrainingPlan:
    """Return the plan of a job that is never run."""
    channels = tuple(
        ChannelPlan(name, Distribution.FULLY_REPLICATED, objects) for name, objects in asked.channels.items()
    )
    environment = dict(asked.environment)
    if sources is not None and sources.script is not None:
        environment[PROGRAM_VARIABLE] = sources.script.relative_to(sources.root).as_posix()
    return TrainingPlan(
        "check",
        "arn:aws:sagemaker:::check",
        Path("nowhere"),
        source,
        plan_hosts(channels, 1),
        channels,
        hyperparameters=asked.hyperparameters,
        environment=environment,
    )


def _finding(fault: Fault, algorithm: Path) -> Finding:
    error = fault.error
    what = error.what.removeprefix(f"{fault.place}: ")
    problems = "".join(f"\n{problem}" for problem in error.problems)
    name = _NAMES.get(error.code[:6], "declaration")
    if not fault.sure:
        what = f"{what}; the job fails if `fit` reads the channel by the schema"
    return Finding(
        "error" if fault.sure else "warning", name, fault.place or algorithm.name, what + problems, error.fix
    )


def _check_image(source: AlgorithmSource, asked: Asked) -> Iterator[Finding]:
    engine, program = find_engine(*ENGINES), asked.environment.get(PROGRAM_VARIABLE)
    description = inspect(engine, source.image_uri)
    named = program is not None or names_script(description)
    with container_of(engine, source.image_uri) as container, tempfile.TemporaryDirectory() as folder:
        algorithm, code = Path(folder) / "algorithm", Path(folder) / "code"
        has_opt_ml = copy_out(engine, container, "/opt/ml", Path(folder) / "ml")
        found = list(check_image(description, has_opt_ml=has_opt_ml))
        programs = []
        if copy_out(engine, container, ALGORITHM, algorithm):
            found += check_sources(read_sources(algorithm, program, named=named or None), only=asked.only)
        else:
            programs = find_programs(engine, container, search_path(description), Path(folder) / "programs")
        code.mkdir()
        for place in code_places(description, [*entry_files(description), *programs]):
            copy_out(engine, container, place, code / place.lstrip("/"))
        found += check_sources(read_sources(code, named=named), entries=False, only=asked.only)
    yield from found
    if asked.start and "architecture" not in {each.name for each in found}:
        from cleanroom_algo.local.images.trial import try_out

        verbs = [verb for verb in VERBS if asked.only in (None, verb)]
        yield from try_out(_plan(source, asked), DockerHosts(read_only=True), verbs)
