"""What the same requests are sent to: the local clean room, or AWS with `--target aws`, in an account of one's own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from cleanroom_algo.local.room import Room
from tests.local.api.server import up
from tests.local.support import AIRLINE, AIRLINE_ID, ROLE, SETTINGS, make_members

IMAGE = "111122223333.dkr.ecr.us-east-1.amazonaws.com/parity:1"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("parity with AWS")
    group.addoption("--target", choices=["local", "aws"], default="local", help="where the requests go")
    group.addoption("--role-arn", help="with --target aws: a role that Clean Rooms ML can take on to read the image")
    group.addoption("--image-uri", help="with --target aws: an image in your Amazon ECR")
    group.addoption("--membership", help="with --target aws: a membership to try; its tests are skipped without")


@dataclass(frozen=True)
class Target:
    """Who answers.

    Attributes:
        client: of boto3.
        role: ARN for new algorithms.
        image: URI for new algorithms.
        membership: identifier; None if there is none to try.
        run: part of all names, so that runs do not meet.
    """

    client: Any
    role: str
    image: str
    membership: str | None
    run: str

    def name(self, what: str) -> str:
        """Return a name of this run."""
        return f"parity-{self.run}-{what}"

    def algorithm(self, what: str, **more: Any) -> dict[str, Any]:
        """Return the parameters of an algorithm."""
        container = {"imageUri": self.image}
        return {"name": self.name(what), "roleArn": self.role, "trainingContainerConfig": container, **more}


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """Return the target of this run; what it made is deleted at the end."""
    run = uuid.uuid4().hex[:8]
    option = request.config.getoption
    if option("--target") == "aws":
        if not option("--role-arn") or not option("--image-uri"):
            raise pytest.UsageError("--target aws needs --role-arn and --image-uri")
        found = Target(
            boto3.client("cleanroomsml"), option("--role-arn"), option("--image-uri"), option("--membership"), run
        )
        yield found
        _clean(found)
        return
    home = tmp_path_factory.mktemp("parity")
    with Room(home, SETTINGS) as room:
        make_members(room)
    with up(home) as server:
        # Tries again when it comes faster than the documented rates, as boto3's own default does.
        found = Target(server.client(AIRLINE, attempts=6), ROLE, IMAGE, AIRLINE_ID, run)
        yield found
        _clean(found)


@pytest.fixture
def membership(target: Target) -> str:
    """Return the membership to try; skips where none was named."""
    if target.membership is None:
        pytest.skip("no --membership was named")
    return target.membership


def _clean(target: Target) -> None:
    if target.membership:
        own = {"membershipIdentifier": target.membership}
        pages = target.client.get_paginator("list_configured_model_algorithm_associations").paginate(**own)
        for each in [each for page in pages for each in page["configuredModelAlgorithmAssociations"]]:
            if each["name"].startswith(target.name("")):
                arn = each["configuredModelAlgorithmAssociationArn"]
                target.client.delete_configured_model_algorithm_association(
                    **own, configuredModelAlgorithmAssociationArn=arn
                )
    pages = target.client.get_paginator("list_configured_model_algorithms").paginate()
    for each in [each for page in pages for each in page["configuredModelAlgorithms"]]:
        if each["name"].startswith(target.name("")):
            target.client.delete_configured_model_algorithm(
                configuredModelAlgorithmArn=each["configuredModelAlgorithmArn"]
            )
