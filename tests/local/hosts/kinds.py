"""Every kind of host that this machine offers, for tests that run on each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from cleanroom_algo.local.hosts import sandbox
from cleanroom_algo.local.hosts.docker import DockerHosts
from cleanroom_algo.local.hosts.process import ProcessHosts
from cleanroom_algo.local.hosts.protocol import HostKind
from cleanroom_algo.local.plans.training_plan import AlgorithmSource
from tests.images.engine import Engine

KINDS = ("process", "sandbox", "docker")


@dataclass(frozen=True)
class Place:
    """One kind of host.

    Attributes:
        hosts: of it.
        image_of: makes of a folder of programs what these hosts run.
    """

    hosts: HostKind
    image_of: Callable[[Path], str] = str

    def source(self, source: AlgorithmSource) -> AlgorithmSource:
        """Return the same programs, as these hosts run them."""
        return source if source.path is None else replace(source, image_uri=self.image_of(source.path))


def place_of(request: pytest.FixtureRequest, kind: str) -> Place:
    """Return a kind of host by its name; where this machine does not offer it, the test is skipped."""
    if kind == "process":
        return Place(ProcessHosts())
    if kind == "docker":
        engine: Engine = request.getfixturevalue("engine")
        return Place(DockerHosts(), engine.image_of)
    if reason := sandbox.missing():
        pytest.skip(reason)
    return Place(sandbox.SandboxHosts())
