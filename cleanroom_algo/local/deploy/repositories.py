"""Repositories of images: their names, and their state in ECR."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from cleanroom_algo.errors import PushError

_ECR: Final = re.compile(r"(?P<account>[0-9]{12})\.dkr\.ecr(-fips)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?")
_REPOSITORY: Final = re.compile(r"[a-z0-9][a-zA-Z0-9.-]*(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_LOCAL: Final = ("localhost", "127.0.0.1")
LONGEST_URI: Final = 255  # botocore model: ContainerConfig.imageUri


@dataclass(frozen=True, slots=True)
class Repository:
    """The target of an image.

    Attributes:
        uri: registry and name, without a tag.
    """

    uri: str

    @classmethod
    def parse(cls, uri: str) -> Repository:
        """Return the repository of a URI.

        Raises:
            PushError: CR-DEP-002, it has a tag or a digest, or is not a URI of a repository.
        """
        if not _REPOSITORY.fullmatch(uri):
            raise PushError(
                f"{uri!r} is not the URI of a repository",
                expected="REGISTRY/NAME in lower case, such as "
                "111122223333.dkr.ecr.us-east-1.amazonaws.com/my-algorithm, without https:// and without a tag",
                fix="correct the URI; --version names the tag",
            )
        return cls(uri)

    @property
    def registry(self) -> str:
        """The host, with its port."""
        return self.uri.partition("/")[0]

    @property
    def is_local(self) -> bool:
        """Whether the registry is on this machine, and uses HTTP without TLS."""
        return self.registry.partition(":")[0] in _LOCAL

    @property
    def is_ecr(self) -> bool:
        """Whether it is in Amazon ECR."""
        return is_in_ecr(self.uri)

    def with_tag(self, tag: str) -> str:
        """Return the URI of an image.

        Raises:
            PushError: CR-DEP-002, it is not a valid tag, or the URI is too long for a request.
        """
        uri = f"{self.uri}:{tag}"
        if _TAG.fullmatch(tag) and len(uri) <= LONGEST_URI:
            return uri
        raise PushError(
            f"{tag!r} cannot be a tag in {self.uri}",
            expected="1 to 128 letters, digits, underscores, dots and hyphens, the first of them no dot or "
            f"hyphen; {LONGEST_URI} characters with the repository",
            fix="choose another --version, or a shorter name of the repository",
        )


def is_in_ecr(uri: str) -> bool:
    """Whether the URI of an image or a repository begins with a registry of Amazon ECR."""
    return _ECR.fullmatch(uri.partition("/")[0]) is not None


@dataclass(frozen=True, slots=True)
class Credentials:
    """The credentials of a registry."""

    user: str
    password: str


def ask_ecr(repository: Repository, tags: Sequence[str]) -> tuple[Credentials, set[str]]:
    """Return the credentials of a repository in ECR, and which of some tags it already has.

    Args:
        repository: in ECR.
        tags: to push; the first one contains the digest.

    Raises:
        PushError: CR-DEP-002, the repository does not exist, cannot be read, or has a tag for another image.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    parts = _ECR.fullmatch(repository.registry)
    assert parts is not None
    name = repository.uri.partition("/")[2]
    try:
        return _answers(parts["region"], {"registryId": parts["account"], "repositoryName": name}, tags)
    except (BotoCoreError, ClientError) as error:
        missing = isinstance(error, ClientError) and error.response["Error"]["Code"] == "RepositoryNotFoundException"
        create = f"aws ecr create-repository --repository-name {name} --region {parts['region']}"
        raise PushError(
            f"ECR has no repository {name}" if missing else f"ECR does not answer: {error}",
            expected=f"the repository {name} in account {parts['account']} and credentials that may use it",
            fix=f"deploy the stack of `deploy template` first, or `{create}`"
            if missing
            else "configure credentials as for the aws CLI; `cleanroom-algo deploy iam` writes the policy",
        ) from error


def _answers(region: str, names: dict[str, str], tags: Sequence[str]) -> tuple[Credentials, set[str]]:
    import boto3

    ecr: Any = boto3.client("ecr", region_name=region)
    ecr.describe_repositories(registryId=names["registryId"], repositoryNames=[names["repositoryName"]])
    content, *others = tags
    digests = {tag: _digest(ecr, names, tag) for tag in tags}
    for tag in others:
        if digests[tag] is not None and digests[tag] != digests[content]:
            raise PushError(
                f"the repository has the tag {tag} for another image ({digests[tag]})",
                expected="a tag for each version, which never changes",
                fix="choose another --version",
            )
    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    user, _, password = base64.b64decode(token).decode().partition(":")
    return Credentials(user, password), {tag for tag, digest in digests.items() if digest is not None}


def _digest(ecr: Any, names: dict[str, str], tag: str) -> str | None:
    try:
        found = ecr.describe_images(**names, imageIds=[{"imageTag": tag}])["imageDetails"]
    except ecr.exceptions.ImageNotFoundException:
        return None
    return str(found[0]["imageDigest"]) if found else None
