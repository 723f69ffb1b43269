"""Looking at an image, as an engine describes it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from cleanroom_algo.errors import HostStartError
from cleanroom_algo.local.hosts.engine import call
from cleanroom_algo.local.images.findings import Finding

ALGORITHM = "/opt/algorithm"
_ARCHITECTURE = "amd64"  # of every instance type in the API's model
_NOT_CODE = (ALGORITHM, "/opt/venv", "/usr", "/bin", "/sbin", "/etc", "/lib")
_LARGE_BYTES = 10 * 10**9


def inspect(engine: str, image: str) -> dict[str, Any]:
    """Return what an engine knows of an image.

    Raises:
        HostStartError: CR-HST-001, it does not have it.
    """
    done = call(engine, "image", "inspect", image)
    if done.returncode:
        raise HostStartError(
            f"{engine} does not have the image {image!r}",
            expected="the path of an algorithm's file or folder, or an image of this machine",
            fix=f"correct the path, `{engine} pull {image}`, or build it with `cleanroom-algo build`",
        )
    found: dict[str, Any] = json.loads(done.stdout)[0]
    return found


def check_image(description: dict[str, Any], *, has_opt_ml: bool) -> Iterator[Finding]:
    """Yield what is found in the description of an image.

    Args:
        description: as `inspect` returns it.
        has_opt_ml: whether the image has files at /opt/ml.
    """
    config = description.get("Config") or {}
    entrypoint = config.get("Entrypoint") or []
    if (architecture := description.get("Architecture")) != _ARCHITECTURE:
        what, fix = f"is for {architecture}; every instance type is {_ARCHITECTURE}", "--platform linux/amd64"
        yield Finding("error", "architecture", "image", what, f"build it with {fix}")
    if entrypoint[:2] in (["/bin/sh", "-c"], ["sh", "-c"]):
        what = "the shell form hides the word `train` and keeps signals from the program"
        yield Finding("error", "entrypoint", "ENTRYPOINT", what, 'write it as a list: ENTRYPOINT ["program"]')
    if entrypoint and Path(entrypoint[0]).name == "tini":
        what = "the SageMaker developer guide rules tini out, as it is confused by the words train and serve"
        yield Finding("error", "entrypoint", "ENTRYPOINT", what, "use the program itself, or dumb-init")
    if config.get("User") not in (None, "", "root", "0", "0:0"):
        what = f"runs as {config['User']}, who may not enter /opt/ml/input/config"
        yield Finding("error", "user", "USER", what, "remove USER: the platform runs containers as root")
    if description.get("Size", 0) > _LARGE_BYTES:
        what = f"{description['Size'] / 10**9:.1f} GB, which every instance loads before it starts"
        yield Finding("warning", "size", "image", what, "use a slimmer base, and leave caches and data out")
    if has_opt_ml:
        what = "has files below /opt/ml, which the platform may hide with its own"
        yield Finding("warning", "opt-ml", "/opt/ml", what, f"move code to {ALGORITHM}, and data into channels")


def code_places(description: dict[str, Any]) -> list[str]:
    """Return the folders of an image in which its author's code is likely to lie, the algorithm's own left out."""
    config = description.get("Config") or {}
    directory = config.get("WorkingDir") or "/"
    words = [*(config.get("Entrypoint") or []), *(config.get("Cmd") or [])]
    files = [PurePosixPath(directory, word) for word in words if "/" in word or word.endswith(".py")]
    places = {PurePosixPath(directory), *(file.parent for file in files)}
    places.discard(PurePosixPath("/"))
    return sorted(str(place) for place in places if not any(place.is_relative_to(each) for each in _NOT_CODE))


@contextmanager
def container_of(engine: str, image: str) -> Iterator[str]:
    """Create a container that never runs, to look at the image's files; yield its name."""
    name = f"cleanroom-check-{uuid.uuid4().hex[:12]}"
    call(engine, "create", "--pull", "never", "--name", name, image, "train")
    try:
        yield name
    finally:
        call(engine, "rm", "--force", name)


def copy_out(engine: str, container: str, path: str, target: Path) -> bool:
    """Copy a folder out of a container; return whether there is one."""
    return call(engine, "cp", f"{container}:{path}", str(target)).returncode == 0
