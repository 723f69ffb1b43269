"""The policies of an association, read once: maximum sizes, logs, metrics, and exports.

(botocore model of cleanroomsml: PrivacyConfigurationPolicies.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Self, get_args

from cleanroom_algo.contract.sizes import GB
from cleanroom_algo.local.resources.arns import INFERENCE_JOB, TRAINED_MODEL
from cleanroom_algo.local.resources.store import Record

ExportedFile = Literal["MODEL", "OUTPUT"]
_PARTS: Final = {TRAINED_MODEL: "trainedModels", INFERENCE_JOB: "trainedModelInferenceJobs"}


@dataclass(frozen=True, slots=True)
class JobPolicies:
    """The policies for the training jobs, or for the inference jobs, of an association.

    Attributes:
        max_bytes: maximum size of a job's files, all hosts together; None: no maximum.
        logs: the containerLogs policies, 0..5.
        noise: the noiseLevel of containerMetrics; None if there is no such policy.
    """

    max_bytes: int | None = None
    logs: tuple[Mapping[str, Any], ...] = ()
    noise: str | None = None


@dataclass(frozen=True, slots=True)
class ExportPolicy:
    """The policy for exports.

    Attributes:
        files: the archives that may be exported.
        max_bytes: maximum size of all files of an export together; None: no maximum.
    """

    files: tuple[ExportedFile, ...] = get_args(ExportedFile)
    max_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Policies:
    """All policies of an association, which cannot be edited.

    Attributes:
        jobs: by the kind of the job's record.
        exports: None if the association allows none.
    """

    jobs: Mapping[str, JobPolicies]
    exports: ExportPolicy | None

    @classmethod
    def of(cls, association: Record) -> Self:
        """Return the policies in an association's record."""
        found: Mapping[str, Any] = association.document.get("privacyConfiguration", {}).get("policies", {})
        exports = found.get("trainedModelExports")
        return cls(
            {kind: _job_policies(found.get(part, {})) for kind, part in _PARTS.items()},
            None if exports is None else ExportPolicy(tuple(exports["filesToExport"]), _bytes(exports, "maxSize")),
        )


def publishes(record: Record) -> bool:
    """Whether a record is of a job with containers, which write logs and metrics."""
    return record.kind in _PARTS


def _job_policies(part: Mapping[str, Any]) -> JobPolicies:
    cap = _bytes(part, "maxArtifactSize" if "maxArtifactSize" in part else "maxOutputSize")
    return JobPolicies(cap, tuple(part.get("containerLogs", ())), part.get("containerMetrics", {}).get("noiseLevel"))


def _bytes(policy: Mapping[str, Any], name: str) -> int | None:
    return int(policy[name]["value"] * GB) if name in policy else None
