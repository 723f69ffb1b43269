"""The locked packages of the image: every dependency, as the constraints have it, each with its hashes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "container/locks"


def locked(build: str) -> dict[str, str]:
    """Return the versions by name; each package must have a hash."""
    text = (LOCKS / f"{build}.txt").read_text()
    packages = re.findall(r"^([a-z0-9-]+)==(\S+)[^\n]*\\\n    --hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)
    assert len(packages) == len(re.findall("==", re.sub(r";[^\n]*", "", text)))
    return dict(packages)


@pytest.mark.parametrize("build", ["cpu", "cuda", "none"])
def test_every_dependency_is_locked_as_it_is_tested(build: str) -> None:
    found = locked(build)
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[<>=!~ ;\[]", each)[0] for each in declared} - ({"torch"} if build == "none" else set())
    constraints = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE))

    assert names <= set(found), "`make lock` has not been run since pyproject.toml changed"
    assert {name: found[name].partition("+")[0] for name in names} == {
        name: constraints.get(name, found[name].partition("+")[0]) for name in names
    }
