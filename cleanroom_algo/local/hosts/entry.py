"""The program to start in a container whose algorithm is a file or folder of this machine."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cleanroom_algo.contract.paths import ROOT_VARIABLE
from cleanroom_algo.contract.settings import variable
from cleanroom_algo.errors import HostStartError
from cleanroom_algo.local.hosts.protocol import HostSpec, Verb

_MODULES: dict[Verb, str] = {"train": "cleanroom_algo.training", "serve": "cleanroom_algo.serving"}
# Variables that an image would set; others of this process are not passed on, above all credentials.
_INHERITED = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "TZ")


@dataclass(frozen=True, slots=True)
class Entry:
    """What an image would contain.

    Attributes:
        algorithm: its file, or its folder.
        command: the program, by its path on this machine, and its arguments.
        path: the search path for programs.
    """

    algorithm: Path
    command: tuple[str, ...]
    path: str


def find_entry(spec: HostSpec) -> Entry:
    """Return what `docker run` would start: the request's entrypoint and arguments, or else the algorithm's own.

    (SageMaker developer guide, "How Amazon SageMaker runs your training image": an entrypoint or arguments in the
    request replace the default word `train`.)

    Raises:
        HostStartError: CR-HST-001, `source` does not exist on this machine, or cannot be executed.
    """
    algorithm = spec.source.path
    if algorithm is None:
        raise HostStartError(
            f"there is no algorithm at {spec.source.image_uri!r} on this machine",
            expected="the path of an algorithm's file or folder; only docker hosts run images",
            fix="set imageUri to the path of the algorithm, or set `host_kind` in settings.toml, table [machine], "
            "to docker",
        )
    own_folder = [str(algorithm)] if algorithm.is_dir() else []
    path = os.pathsep.join([*own_folder, str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    if spec.source.entrypoint is not None:
        command = [*spec.source.entrypoint, *(spec.source.arguments or ())]
    else:
        own = algorithm / spec.verb
        has_own = algorithm.is_dir() and os.access(own, os.X_OK)
        entry = [str(own)] if has_own else [sys.executable, "-m", _MODULES[spec.verb]]
        command = [*entry, *(spec.source.arguments or (spec.verb,))]
    program = shutil.which(command[0], path=path)
    if program is None:
        raise HostStartError(
            f"{command[0]!r} cannot be executed on {spec.name}",
            expected="an executable program on PATH or in the algorithm's folder",
            fix="correct trainingContainerConfig.entrypoint, or `chmod +x` the file",
        )
    return Entry(algorithm, (program, *command[1:]), path)


def inherited_environment() -> dict[str, str]:
    """Return the variables of this process that a container gets."""
    found = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {**found, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def process_environment(root: Path, algorithm: Path, path: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a container that is a process of this machine, with its own root.

    Args:
        root: the folder that corresponds to /opt/ml on the platform.
        algorithm: its file or folder; a variable of the request may name another one.
        path: the search path for programs.
        given: the variables of the platform and the request.
    """
    environment = {**inherited_environment(), "HOME": str(root.parent), "PATH": path, **given}
    return {variable("algorithm"): str(algorithm), **environment, ROOT_VARIABLE: str(root)}


def share_of_cores(hosts: int) -> dict[str, str]:
    """Return the variables that divide this machine's cores among the hosts of a job and other programs.

    On the platform, each host has its own cores. Here, more threads than cores would slow each other down. In GNU's
    OpenMP, which torch and LightGBM use, a thread that waits for others also keeps its core for 300,000 turns of a
    loop: on a busy machine, a step of a small network took 20 ms in place of 7 with 1,000 turns, which cost little on a
    quiet one (measured).
    """
    threads = {} if hosts == 1 else {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // hosts))}
    return {"GOMP_SPINCOUNT": "1000", **threads}
