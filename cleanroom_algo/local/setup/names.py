"""Names for what has none in the API: a file always has the same identifier."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Final

from cleanroom_algo.local.objects.s3 import S3Prefix
from cleanroom_algo.local.plans.training_plan import AlgorithmSource

_NAMESPACE: Final = uuid.UUID("c1ea2400-0000-4000-8000-00000000a190")  # any constant would do
_MAX_URI: Final = 255  # botocore model: ContainerConfig.imageUri


def identifier(*names: str) -> str:
    """Return the identifier that stands for some names, the same at any time."""
    return str(uuid.uuid5(_NAMESPACE, "/".join(names)))


def spelled(source: str | Path | S3Prefix) -> str:
    """Return a file's absolute path, or the text itself where it names no file."""
    return str(AlgorithmSource(str(source)).path or source)


def image_uri(algorithm: str) -> str:
    """Return what a request can say of an algorithm; a longer path is cut, and kept whole beside the request."""
    return algorithm[-_MAX_URI:]


def role(account: str) -> str:
    """Return the ARN of a role, which every creation asks for and nothing here uses."""
    return f"arn:aws:iam::{account}:role/cleanroom-local"
