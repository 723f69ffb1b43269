"""Finding what would fail in the clean room before an image is pushed there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from cleanroom_algo.contract.algorithm import algorithm_file, is_spelled_as_path
from cleanroom_algo.local.hosts import sandbox
from cleanroom_algo.local.hosts.docker import ENGINES, DockerHosts
from cleanroom_algo.local.hosts.engine import find_engine
from cleanroom_algo.local.hosts.process import ProcessHosts
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
from cleanroom_algo.local.images.importing import find_import_error
from cleanroom_algo.local.images.source import check_source
from cleanroom_algo.local.images.trial import try_out
from cleanroom_algo.local.plans.training_plan import AlgorithmSource


def check(name: str, *, start: bool = True) -> list[Finding]:
    """Return what is found, errors first, each once.

    Args:
        name: the path of an algorithm's file or folder, or an image of this machine.
        start: whether to start `train` and `serve`, too, without data.

    Raises:
        AlgorithmNotFoundError: CR-CON-004, there is nothing at the path.
        EngineError: CR-HST-003, it is an image and no engine answers. HostStartError: CR-HST-001.
    """
    source = AlgorithmSource(name)
    if source.path is None and is_spelled_as_path(name):
        algorithm_file(name)
    found = _check_path(source, source.path, start) if source.path is not None else _check_image(source, start)
    return sorted(set(found))


def _check_path(source: AlgorithmSource, path: Path, start: bool) -> Iterator[Finding]:
    found = list(check_source(path))
    yield from found
    if any(each.name == "syntax" for each in found):
        return
    if (error := find_import_error(path)) is not None:
        place, _, what = error.what.partition(": ")
        yield Finding("error", "import", place, what, error.fix)
    elif start:
        yield from try_out(source, ProcessHosts() if sandbox.missing() else sandbox.SandboxHosts())


def _check_image(source: AlgorithmSource, start: bool) -> Iterator[Finding]:
    engine = find_engine(*ENGINES)
    description = inspect(engine, source.image_uri)
    with container_of(engine, source.image_uri) as container, tempfile.TemporaryDirectory() as folder:
        algorithm, code = Path(folder) / "algorithm", Path(folder) / "code"
        has_opt_ml = copy_out(engine, container, "/opt/ml", Path(folder) / "ml")
        found = list(check_image(description, has_opt_ml=has_opt_ml))
        programs = []
        if copy_out(engine, container, ALGORITHM, algorithm):
            found += check_source(algorithm, script=names_script(description) or None)
        else:
            programs = find_programs(engine, container, search_path(description), Path(folder) / "programs")
        code.mkdir()
        for place in code_places(description, [*entry_files(description), *programs]):
            copy_out(engine, container, place, code / place.lstrip("/"))
        found += check_source(code, entries=False, script=names_script(description))
    yield from found
    if start and "architecture" not in {each.name for each in found}:
        yield from try_out(source, DockerHosts(read_only=True))
