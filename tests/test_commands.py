"""What the targets of the Makefile say before they begin, and what a test run says at its end."""

from __future__ import annotations

import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.skips import summary

ROOT = Path(__file__).parents[1]
TOOLS = ("awk", "basename", "cat", "df", "dirname", "sh", "uname")
# A Python that is of a version, has modules or not, and makes environments that can be told from its own.
PYTHON = """#!/bin/sh
case "$*" in
  *version_info*) exit {version} ;;
  *ensurepip*) exit {venv} ;;
  *Python.h*) exit {headers} ;;
  --version) echo "Python of $0" ;;
  "-m venv"*) echo "made with $0" >&2; exit 9 ;;
esac
"""


def programs(folder: Path, **pythons: tuple[int, int, int]) -> dict[str, str]:
    """Return the environment of a machine with a few tools, a compiler, and some Pythons."""
    folder.mkdir()
    for name in TOOLS:
        (folder / name).symlink_to(str(shutil.which(name)))
    (folder / "cc").touch(mode=0o755)
    for name, (version, venv, headers) in pythons.items():
        path = folder / name.replace("_", ".")
        path.write_text(PYTHON.format(version=version, venv=venv, headers=headers))
        path.chmod(0o755)
    return {"PATH": str(folder)}


def said(folder: Path, environment: dict[str, str], *words: str) -> str:
    command = [str(ROOT / ".ci/environment"), str(folder / "venv"), *words]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    return done.stderr.strip().splitlines()[-1]


def test_the_first_python_that_works_is_taken(tmp_path: Path) -> None:
    pythons = {"python3_11": (1, 0, 0), "python3_12": (0, 0, 0), "python3_13": (0, 0, 0)}
    environment = programs(tmp_path / "bin", **pythons)
    assert said(tmp_path, environment).endswith("bin/python3.12")
    assert said(tmp_path, environment, "python3.13").endswith("bin/python3.13")


@pytest.mark.parametrize(
    ("pythons", "words", "message"),
    [
        ({}, (), "no python3.11, python3.12 or python3.13 runs here: install one, or name it with PYTHON="),
        ({"python3_11": (1, 0, 0)}, ("python3.11",), "python3.11 is not a Python 3.11, 3.12 or 3.13 that runs"),
        ({"python3_11": (0, 1, 0)}, (), "python3.11 has no venv: apt-get install python3.11-venv"),
        ({"python3_11": (0, 0, 1)}, (), "a C compiler or Python.h is missing: apt-get install gcc python3.11-dev"),
    ],
)
def test_what_is_missing_is_one_line(
    tmp_path: Path, pythons: dict[str, tuple[int, int, int]], words: tuple[str, ...], message: str
) -> None:
    assert message in said(tmp_path, programs(tmp_path / "bin", **pythons), *words)


@pytest.mark.unit
def test_what_is_checked_for_is_the_oldest_python() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["requires-python"] == ">=3.11"
    assert project["tool"]["ruff"]["target-version"] == "py311"
    assert project["tool"]["mypy"]["python_version"] == "3.11"


@pytest.mark.unit
def test_skipped_tests_are_one_line_with_the_packages_to_install() -> None:
    reasons = ["not installed: bwrap, ip (Debian: bubblewrap, iproute2)"] * 3 + ["not installed: podman"]
    assert summary([*reasons, "needs root"]) == "5 skipped: apt-get install bubblewrap iproute2 podman; needs root (1)"
    assert summary(["needs root"]) == "1 skipped: needs root (1)"
    assert os.linesep not in summary(reasons)
