"""Builds the image of an algorithm with the available engine: docker, podman or buildah."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from cleanroom_algo.errors import BuildError

ENGINES = ("docker", "podman", "buildah")
# What the Dockerfile copies; in a checkout beside the package, in an installed package in `context/`.
_FILES = ("Dockerfile", ".dockerignore", "pyproject.toml", "constraints.txt", "README.md", "LICENSE", "container")
_PACKAGE = Path(__file__).parents[2]
_INSTALLED = Path(__file__).parent / "context"
_LEFT_OUT = shutil.ignore_patterns(
    *("__pycache__", "*.pyc", ".git", ".venv", ".demo", ".mypy_cache", ".ruff_cache", ".pytest_cache")
)
# What each engine needs to build the same image from the same files; the date applies to all files of a layer.
_SAME = {
    "docker": ("--build-arg", "SOURCE_DATE_EPOCH={date}"),
    "podman": ("--timestamp", "{date}"),
    "buildah": ("--timestamp", "{date}", "--layers"),  # the others cache layers by default
}
_DATE = "SOURCE_DATE_EPOCH"  # seconds; the common variable of reproducible builds


def write_context(algorithm: Path, target: Path) -> None:
    """Write the folder from which an engine builds the image.

    Args:
        algorithm: a Python file, which becomes algorithm.py, or a folder.
        target: an empty folder.

    Raises:
        OSError: something cannot be read or written.
    """
    source = _PACKAGE.parent if (_PACKAGE.parent / "Dockerfile").is_file() else _INSTALLED
    for name in _FILES:
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name)
        else:
            shutil.copyfile(source / name, target / name)
    shutil.copytree(_PACKAGE, target / _PACKAGE.name, ignore=_LEFT_OUT)
    if algorithm.is_dir():
        shutil.copytree(algorithm, target / "algorithm", ignore=_LEFT_OUT)
    else:
        (target / "algorithm").mkdir()
        shutil.copyfile(algorithm, target / "algorithm/algorithm.py")
    for name in ("train", "serve"):  # the permission to execute is set in the context, whatever it is in the checkout
        (target / "container" / name).chmod(0o755)


def build(
    context: Path,
    tag: str,
    *,
    engine: str,
    arguments: Mapping[str, str | None],
    more: Sequence[str],
    say: Callable[[str], None],
) -> None:
    """Run the engine, and pass on its output.

    Args:
        context: as written by `write_context`.
        tag: of the image.
        engine: docker, podman or buildah.
        arguments: of the Dockerfile; None means its default.
        more: further options of the engine's `build`.
        say: called with each line.

    Raises:
        BuildError: CR-IMG-001, the engine failed.
    """
    values = {"ALGORITHM": "algorithm", "VERSION": version("cleanroom-algo"), **arguments}
    words = [word for name, value in values.items() if value for word in ("--build-arg", f"{name}={value}")]
    words += [word.format(date=os.environ.get(_DATE, "0")) for word in _SAME[engine]]
    command = [engine, "build", "--tag", tag, *words, *more, str(context)]
    last = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            last = line.strip() or last
            say(line.rstrip("\n"))
    if process.returncode:
        raise BuildError(
            f"{engine} build ended with exit status {process.returncode}: {last}",
            expected="a base image with Python 3.11 or later or apt-get, and package indexes that can be reached",
            fix="read the lines above; try another --base-image or --torch; options of the engine go after --",
        )
