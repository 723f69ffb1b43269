"""Which member gets which logs and metrics of a job, determined when it ends.

Logs go to the accounts in the association's containerLogs policies, metrics go to every member; both only if the member
has an ML configuration at that time (Clean Rooms user guide, "Receiving model logs and metrics"). An association cannot
be changed, and later configurations have no effect on ended jobs, so the state at the end is stored with the record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from cleanroom_algo.local.policies.policies import JobPolicies, Policies
from cleanroom_algo.local.resources.arns import ALGORITHM, ASSOCIATION, MEMBERSHIP, ML_CONFIGURATION, TRAINED_MODEL
from cleanroom_algo.local.resources.store import Record, Store

SUCCEEDED, FAILED = "PUBLISH_SUCCEEDED", "PUBLISH_FAILED"
_KEY: Final = "recipients"


@dataclass(frozen=True)
class Recipients:
    """Which member gets what of a job.

    Attributes:
        logs: the containerLogs policies, 0..5.
        noise: the noiseLevel of containerMetrics; None if there is no such policy.
        metrics: the metricDefinitions of the training container, 0..40.
        members: active members by account; whether each has an ML configuration.
        ended: whether the job has ended, so that this can no longer change.
    """

    logs: tuple[Mapping[str, Any], ...] = ()
    noise: str | None = None
    metrics: tuple[Mapping[str, str], ...] = ()
    members: Mapping[str, bool] = field(default_factory=dict)
    ended: bool = False

    @classmethod
    def kept_by(cls, record: Record) -> Self | None:
        """Return what was stored at the end of a job; None if it has not run, or is still running."""
        kept = record.private.get(_KEY)
        if kept is None:
            return None
        return cls(tuple(kept["logs"]), kept["noise"], tuple(kept["metrics"]), kept["members"], ended=True)

    @classmethod
    def of(cls, store: Store, record: Record) -> Self:
        """Return who gets what of a job: as stored at its end, or else by the current state."""
        if (kept := cls.kept_by(record)) is not None:
            return kept
        association = store.get(ASSOCIATION, record.document["configuredModelAlgorithmAssociationArn"])
        if association is None:
            return cls()
        policies: JobPolicies = Policies.of(association).jobs[record.kind]
        algorithm = store.get(ALGORITHM, association.parent)
        container = {} if algorithm is None else algorithm.document.get("trainingContainerConfig", {})
        members = store.find(MEMBERSHIP, collaboration=record.collaboration, statuses=("ACTIVE",))
        return cls(
            logs=policies.logs,
            noise=policies.noise,
            metrics=tuple(container.get("metricDefinitions", ())) if record.kind == TRAINED_MODEL else (),
            members={each.account: store.get(ML_CONFIGURATION, each.key) is not None for each in members},
        )

    def kept(self) -> dict[str, Any]:
        """Return this as a member of a record that is stored but not shown."""
        return {_KEY: {"logs": self.logs, "noise": self.noise, "metrics": self.metrics, "members": self.members}}

    def shown(self, account: str) -> dict[str, str]:
        """Return `metricsStatus`, `logsStatus` and their details, as an account sees them after the end."""
        if account not in self.members:
            return {}
        named = any(account in policy["allowedAccountIds"] for policy in self.logs)
        logs = self._status("logs", account) if named else {}
        return self._status("metrics", account) | logs

    def _status(self, what: str, account: str) -> dict[str, str]:
        if self.members[account]:
            return {f"{what}Status": SUCCEEDED}
        return {
            f"{what}Status": FAILED,
            f"{what}StatusDetails": f"Failed to publish {what} as no ML Config role is set",
        }
