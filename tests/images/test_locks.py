"""The locked packages of the image: every dependency, as the constraints have it, each with its hashes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "container/locks"
BUILDS = ("cpu", "cuda", "none")


def locked(build: str) -> dict[str, str]:
    """Return the versions by name; each package must have a hash."""
    text = (LOCKS / f"{build}.txt").read_text()
    packages = re.findall(r"^([a-z0-9-]+)==(\S+)[^\n]*\\\n    --hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)
    assert len(packages) == len(re.findall("==", re.sub(r";[^\n]*", "", text)))
    return dict(packages)


@pytest.mark.parametrize("build", BUILDS)
def test_every_dependency_is_locked_as_it_is_tested(build: str) -> None:
    found = locked(build)
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[<>=!~ ;\[]", each)[0] for each in declared} - ({"torch"} if build == "none" else set())
    constraints = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE))

    assert names <= set(found), "`make lock` has not been run since pyproject.toml changed"
    assert {name: found[name].partition("+")[0] for name in names} == {
        name: constraints.get(name, found[name].partition("+")[0]) for name in names
    }


def test_the_build_of_torch_is_the_one_that_is_asked_for() -> None:
    versions = {
        build: re.findall(r"^torch==(\S+)", (LOCKS / f"{build}.txt").read_text(), re.MULTILINE) for build in BUILDS
    }
    (plain,) = versions["cuda"]

    assert versions == {"cpu": [f"{plain}+cpu"], "cuda": [plain], "none": []}
    assert "+" not in plain
    assert f"torch=={plain}+cpu" in (LOCKS / "cpu.in").read_text()
    assert f"torch!={plain}+cpu" in (LOCKS / "cuda.in").read_text()
    assert {"nvidia-nccl-cu13", "triton"} <= set(locked("cuda"))
    assert not {name for build in ("cpu", "none") for name in locked(build) if name.startswith(("nvidia", "triton"))}
