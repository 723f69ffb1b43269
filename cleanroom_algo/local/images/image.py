"""Checks an image by the description of an engine."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from cleanroom_algo.contract.environment import PROGRAM_VARIABLE
from cleanroom_algo.errors import HostStartError
from cleanroom_algo.local.hosts.engine import call
from cleanroom_algo.local.images.findings import Finding

ALGORITHM = "/opt/algorithm"
_ARCHITECTURE = "amd64"  # of every instance type in the API's model
# Where a distribution, not an author, puts files; but /usr/src is a usual place for an author's.
_SYSTEM = ("/opt/venv", "/opt/conda", "/usr", "/bin", "/sbin", "/etc", "/lib")
_AUTHORS = "/usr/src"
_SHELLS = {"sh", "bash", "dash", "ash"}
_SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # the default if an image sets none
_LARGE_BYTES = 10 * 10**9


def inspect(engine: str, image: str) -> dict[str, Any]:
    """Return an engine's description of an image.

    Raises:
        HostStartError: CR-HST-001, it does not have the image.
    """
    done = call(engine, "image", "inspect", image)
    if done.returncode:
        raise HostStartError(
            f"{engine} does not have the image {image!r}",
            expected="the path of an algorithm's file or folder, or an image of this machine",
            fix=f"correct the path, `{engine} pull {shlex.quote(image)}`, or build it with `cleanroom-algo build`",
        )
    found: dict[str, Any] = json.loads(done.stdout)[0]
    return found


def check_image(description: dict[str, Any], *, has_opt_ml: bool) -> Iterator[Finding]:
    """Yield the findings in the description of an image.

    Args:
        description: as `inspect` returns it.
        has_opt_ml: whether the image has files at /opt/ml.
    """
    config = description.get("Config") or {}
    entrypoint = config.get("Entrypoint") or []
    if (architecture := description.get("Architecture")) != _ARCHITECTURE:
        what, fix = f"is for {architecture}; every instance type is {_ARCHITECTURE}", "--platform linux/amd64"
        yield Finding("error", "architecture", "image", what, f"build it with {fix}")
    if len(entrypoint) > 1 and Path(entrypoint[0]).name in _SHELLS and re.fullmatch("-[a-z]*c", entrypoint[1]):
        what = "the shell form hides the word `train` and keeps signals from the program"
        yield Finding("error", "entrypoint", "ENTRYPOINT", what, 'write it as a list: ENTRYPOINT ["program"]')
    if entrypoint and Path(entrypoint[0]).name == "tini":
        what = "the SageMaker developer guide excludes tini, because the words train and serve confuse it"
        yield Finding("error", "entrypoint", "ENTRYPOINT", what, "use the program itself, or dumb-init")
    if config.get("User") not in (None, "", "root", "0", "0:0"):
        what = f"runs as {config['User']}, who cannot read /opt/ml/input/config"
        yield Finding("error", "user", "USER", what, "remove USER: the platform runs containers as root")
    if description.get("Size", 0) > _LARGE_BYTES:
        what = f"{description['Size'] / 10**9:.1f} GB, which every instance loads before it starts"
        yield Finding("warning", "size", "image", what, "use a smaller base image, and leave out caches and data")
    if has_opt_ml:
        what = "has files below /opt/ml, which SageMaker reserves; its own files may hide them"
        yield Finding("warning", "opt-ml", "/opt/ml", what, f"move code to {ALGORITHM}, and data into channels")


def entry_files(description: dict[str, Any]) -> list[str]:
    """Return the files that entrypoint and command name."""
    config = description.get("Config") or {}
    words = [*(config.get("Entrypoint") or []), *(config.get("Cmd") or [])]
    files = {PurePosixPath(_directory(config), word) for word in words if "/" in word or word.endswith(".py")}
    return sorted(map(str, files))


def search_path(description: dict[str, Any]) -> list[str]:
    """Return the folders of the search path for programs."""
    return _variable(description.get("Config") or {}, "PATH", _SEARCH_PATH).split(":")


def names_script(description: dict[str, Any]) -> bool:
    """Whether the image names the script that trains."""
    return bool(_variable(description.get("Config") or {}, PROGRAM_VARIABLE, ""))


def code_places(description: dict[str, Any], paths: Iterable[str]) -> list[str]:
    """Return where the author's code probably is, without the algorithm's own folder.

    Args:
        description: as `inspect` returns it.
        paths: of the files that are started; their folders are also likely, unless they belong to the system.
    """
    config = description.get("Config") or {}
    modules = filter(None, _variable(config, "PYTHONPATH", "").split(":"))
    folders = {PurePosixPath(_directory(config)), *map(PurePosixPath, modules)}
    files = set(map(PurePosixPath, paths))
    folders |= {file.parent for file in files}
    places = {folder for folder in folders if _is_authors(folder)}
    places |= {file for file in files if file.parent not in places}
    outer = [place for place in places if not any(other in place.parents for other in places)]
    return sorted(str(place) for place in outer if not place.is_relative_to(ALGORITHM))


def _is_authors(folder: PurePosixPath) -> bool:
    system = any(folder.is_relative_to(place) for place in _SYSTEM) and not folder.is_relative_to(_AUTHORS)
    return folder != PurePosixPath("/") and not system


def _directory(config: dict[str, Any]) -> str:
    return config.get("WorkingDir") or "/"


def _variable(config: dict[str, Any], name: str, default: str) -> str:
    found = [value for each in config.get("Env") or [] for key, _, value in [each.partition("=")] if key == name]
    return found[-1] if found else default


@contextmanager
def container_of(engine: str, image: str) -> Iterator[str]:
    """Create a container that never runs, to read the image's files; yield its name."""
    name = f"cleanroom-check-{uuid.uuid4().hex[:12]}"
    call(engine, "create", "--pull", "never", "--name", name, image, "train")
    try:
        yield name
    finally:
        call(engine, "rm", "--force", name)


def copy_out(engine: str, container: str, path: str, target: Path) -> bool:
    """Copy a file or folder out of a container; return whether it exists."""
    target.parent.mkdir(parents=True, exist_ok=True)
    follow = ["--follow-link"] if engine == "docker" else []  # podman's default
    return call(engine, "cp", *follow, f"{container}:{path}", str(target)).returncode == 0


def find_programs(engine: str, container: str, folders: list[str], scratch: Path) -> list[str]:
    """Return the paths of the programs `train` and `serve` that a container would find in some folders."""
    found: list[str] = []
    for verb in ("train", "serve"):
        paths = (f"{folder.rstrip('/')}/{verb}" for folder in folders)
        there = (path for path in paths if copy_out(engine, container, path, scratch / path.lstrip("/")))
        found += itertools.islice(there, 1)
    return found
