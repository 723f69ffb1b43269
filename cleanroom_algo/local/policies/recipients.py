"""What a job publishes to whom, settled when it ends.

Logs go to the accounts that the association's containerLogs policies name, metrics to every member; either only where
the member has an ML configuration by then (Clean Rooms user guide, "Receiving model logs and metrics"). An association
cannot be changed, and later configurations bring nothing back: so what held at the end is kept with the record.
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
    """Who gets what of a job.

    Attributes:
        logs: the containerLogs policies, 0..5, as the association has them.
        noise: the noiseLevel of containerMetrics; None if there is no such policy.
        metrics: the metricDefinitions of the training container, 0..40.
        members: active members by account; whether each has an ML configuration.
        ended: whether the job has ended, so that nothing of this changes any more.
    """

    logs: tuple[Mapping[str, Any], ...] = ()
    noise: str | None = None
    metrics: tuple[Mapping[str, str], ...] = ()
    members: Mapping[str, bool] = field(default_factory=dict)
    ended: bool = False

    @classmethod
    def kept_by(cls, record: Record) -> Self | None:
        """Return what was kept of a job at its end; None if it has not run, or is still running."""
        kept = record.private.get(_KEY)
        if kept is None:
            return None
        return cls(tuple(kept["logs"]), kept["noise"], tuple(kept["metrics"]), kept["members"], ended=True)

    @classmethod
    def of(cls, store: Store, record: Record) -> Self:
        """Return who gets what of a job: as it was kept at its end, else as it stands now."""
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
        """Return this as a member of what a record keeps and does not show."""
        return {_KEY: {"logs": self.logs, "noise": self.noise, "metrics": self.metrics, "members": self.members}}

    def shown(self, account: str) -> dict[str, str]:
        """Return `metricsStatus`, `logsStatus` and their details as an account sees them after the end."""
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
