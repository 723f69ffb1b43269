"""The ARNs of the room's resources, and the kinds of its records."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Final

ALGORITHM: Final = "configured-model-algorithm"
ASSOCIATION: Final = "configured-model-algorithm-association"
INPUT_CHANNEL: Final = "ml-input-channel"
TRAINED_MODEL: Final = "trained-model"
INFERENCE_JOB: Final = "trained-model-inference-job"
EXPORT_JOB: Final = "trained-model-export-job"
ML_CONFIGURATION: Final = "ml-configuration"
COLLABORATION: Final = "collaboration"
MEMBERSHIP: Final = "membership"
CONFIGURED_TABLE: Final = "configured-table"
TABLE_ASSOCIATION: Final = "configured-table-association"
ANALYSIS_TEMPLATE: Final = "analysis-template"
PRIVACY_BUDGET: Final = "privacy-budget-template"


@dataclass(frozen=True, slots=True)
class Arn:
    """The parts of an ARN of Clean Rooms ML.

    Attributes:
        region: of AWS.
        account: that owns the resource.
        membership: identifier, or "" for a configured model algorithm.
        kind: of resource.
        identifier: of the resource.
    """

    region: str
    account: str
    membership: str
    kind: str
    identifier: str

    @classmethod
    def parse(cls, text: str) -> Arn:
        """Return the parts of an ARN that the API's model has accepted."""
        _, _, _, region, account, path = text.split(":", 5)
        parts = path.split("/")
        if parts[0] == MEMBERSHIP:
            return cls(region, account, parts[1], parts[2], "/".join(parts[3:]))
        return cls(region, account, "", parts[0], "/".join(parts[1:]))


def new_identifier() -> str:
    """Return an identifier in the form of the API: a random UUID in lower case."""
    return str(uuid.uuid4())


def ml_arn(kind: str, region: str, account: str, membership: str, identifier: str) -> str:
    """Return the ARN of a resource of Clean Rooms ML; `membership` is "" for a configured model algorithm."""
    within = f"{MEMBERSHIP}/{membership}/" if membership else ""
    return f"arn:aws:cleanrooms-ml:{region}:{account}:{within}{kind}/{identifier}"


def template_arn(region: str, account: str, membership: str, identifier: str) -> str:
    """Return the ARN of an analysis template."""
    return cleanrooms_arn(region, account, MEMBERSHIP, membership, "analysistemplate", identifier)


def cleanrooms_arn(region: str, account: str, *path: str) -> str:
    """Return the ARN of a resource of the `cleanrooms` service, whose resources have identifiers."""
    return f"arn:aws:cleanrooms:{region}:{account}:{'/'.join(path)}"
