"""Identifiers and names for files: a file always gets the same ones."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Final

from cleanroom_algo.local.objects.s3 import S3Prefix
from cleanroom_algo.local.plans.training_plan import AlgorithmSource

_NAMESPACE: Final = uuid.UUID("c1ea2400-0000-4000-8000-00000000a190")  # an arbitrary constant
_MAX_URI: Final = 255  # botocore model: ContainerConfig.imageUri


def identifier(*names: str) -> str:
    """Return the identifier for some names, which is always the same."""
    return str(uuid.uuid5(_NAMESPACE, "/".join(names)))


def spelled(source: str | Path | S3Prefix) -> str:
    """Return a file's absolute path, or the text itself if it does not name a file."""
    return str(AlgorithmSource(str(source)).path or source)


def image_uri(algorithm: str) -> str:
    """Return the URI of an algorithm in a request; a longer path is truncated, and stored completely outside of it."""
    return algorithm[-_MAX_URI:]


def role(account: str) -> str:
    """Return the ARN of a role, which every creation requires but which is not used here."""
    return f"arn:aws:iam::{account}:role/cleanroom-local"
