"""Export jobs: archives of a version, copied to where the receiver wants them.

(Clean Rooms user guide, "Exporting model artifacts": MODEL and OUTPUT files, at most the size of the policy. That they
are the two archives of a SageMaker training job follows SageMaker; Clean Rooms does not spell it out.)
"""

from __future__ import annotations

from cleanroom_algo.contract.sizes import GB, format_bytes
from cleanroom_algo.errors import ExportTooLargeError
from cleanroom_algo.local.jobs.context import JobContext, JobResult
from cleanroom_algo.local.jobs.files import MODEL_ARCHIVE, OUTPUT_ARCHIVE
from cleanroom_algo.local.jobs.packing import fitting
from cleanroom_algo.local.resources.arns import ASSOCIATION, TRAINED_MODEL

_ARCHIVES = {"MODEL": MODEL_ARCHIVE, "OUTPUT": OUTPUT_ARCHIVE}
_EVERYTHING = {"filesToExport": ["MODEL", "OUTPUT"]}  # where the switch allows exports without a policy


def run_export(context: JobContext) -> JobResult:
    """Copy the archives that the policy allows; all of them, or none, unless the room leaves out what does not fit.

    Raises:
        ExportTooLargeError: CR-JOB-501, they are larger than the policy's maxSize.
    """
    room, record = context.room, context.record
    version = record.document.get("trainedModelVersionIdentifier")
    model = room.store.get(TRAINED_MODEL, record.parent, version)
    association = room.store.get(ASSOCIATION, model.parent) if model else None
    policies = association.document.get("privacyConfiguration", {}).get("policies", {}) if association else {}
    policy = policies.get("trainedModelExports", _EVERYTHING)
    folder = room.artifacts(record.parent, version)
    chosen = [folder / _ARCHIVES[name] for name in policy["filesToExport"] if (folder / _ARCHIVES[name]).exists()]
    sizes = {path.name: path.stat().st_size for path in chosen}
    cap = int(policy["maxSize"]["value"] * GB) if "maxSize" in policy else None
    too_large = None if cap is None or sum(sizes.values()) <= cap else _too_large(sum(sizes.values()), cap)
    if too_large is not None and cap is not None:
        if room.settings.switches.overflow == "fail":
            raise too_large
        kept = fitting(sizes, cap)
        chosen = [path for path in chosen if path.name in kept]
    places = [room.objects.put(path, f"{record.private['output']}/{path.name}") for path in chosen]
    total = sum(sizes[path.name] for path in chosen)
    return JobResult(private={"outputs": places, "bytes": total}, left_out=too_large)


def _too_large(size: int, cap: int) -> ExportTooLargeError:
    return ExportTooLargeError(
        f"the files to export have {format_bytes(size)} together",
        expected=f"at most {format_bytes(cap)}, the policy's trainedModelExports.maxSize",
        fix="leave OUTPUT out of filesToExport, train a smaller model, or associate again with a larger cap",
    )
