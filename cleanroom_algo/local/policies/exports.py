"""What may be exported of a version: what its own association and those of all its base models allow.

A version contains what its base has learned. If only its own association counted, an export that the base's association
refuses would be possible after training one more step with another association.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cleanroom_algo.local.policies.policies import ExportPolicy, Policies
from cleanroom_algo.local.resources.arns import ASSOCIATION
from cleanroom_algo.local.resources.settings import Switches
from cleanroom_algo.local.resources.store import Record, Store


def inherited_policies(store: Store, base: Record) -> list[dict[str, Any] | None]:
    """Return what the record of a version stores of the policies of its base.

    They are stored when the version is requested, because associations can be deleted.
    """
    association = store.get(ASSOCIATION, base.parent)
    policy = None if association is None else Policies.of(association).exports
    own = None if policy is None else {"files": list(policy.files), "max_bytes": policy.max_bytes}
    return [own, *base.private.get("base", {}).get("exports", ())]


def export_policy(association: Record, model: Record, switches: Switches) -> ExportPolicy | None:
    """Return what may be exported of a version; None if nothing may.

    Args:
        association: of the version.
        model: the version.
        switches: of the room's settings.
    """
    policies = [Policies.of(association).exports]
    if switches.export_of_versions == "strictest":
        policies += [_kept(each) for each in model.private.get("base", {}).get("exports", ())]
    if switches.export_without_policy == "allow":
        return _strictest([each or ExportPolicy() for each in policies])
    given = [each for each in policies if each is not None]
    return _strictest(given) if len(given) == len(policies) else None


def _strictest(policies: Sequence[ExportPolicy]) -> ExportPolicy | None:
    files = tuple(name for name in ExportPolicy().files if all(name in each.files for each in policies))
    caps = [each.max_bytes for each in policies if each.max_bytes is not None]
    return ExportPolicy(files, min(caps, default=None)) if files else None


def _kept(policy: Mapping[str, Any] | None) -> ExportPolicy | None:
    return None if policy is None else ExportPolicy(tuple(policy["files"]), policy["max_bytes"])
