"""Export jobs: archives of a version, copied to the receiver's location.

(Clean Rooms user guide, "Exporting model artifacts": MODEL and OUTPUT files, at most the size of the policy. These are
the two archives of a SageMaker training job; Clean Rooms does not say so explicitly.)
"""

from __future__ import annotations

from cleanroom_algo.local.objects.store import Objects, put_all
from cleanroom_algo.local.plans.export_plan import ExportPlan
from cleanroom_algo.local.plans.outcomes import ExportOutcome
from cleanroom_algo.local.policies.caps import export_too_large, fitting


def run_export(plan: ExportPlan, objects: Objects) -> ExportOutcome:
    """Copy all archives of a plan, or none; files that are too large can be left out if the plan says so.

    Raises:
        ExportTooLargeError: CR-JOB-501, they are larger than the policy's maxSize.
    """
    sizes = {path.name: path.stat().st_size for path in plan.files}
    kept, too_large = set(sizes), None
    if plan.max_bytes is not None and sum(sizes.values()) > plan.max_bytes:
        too_large = export_too_large(sum(sizes.values()), plan.max_bytes)
        if not plan.leave_out:
            raise too_large
        kept = fitting(sizes, plan.max_bytes)
    chosen = {f"{plan.destination}/{path.name}": path for path in plan.files if path.name in kept}
    outputs = tuple(put_all(objects, chosen))
    return ExportOutcome(outputs, sum(sizes[name] for name in kept), too_large)
