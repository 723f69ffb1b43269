"""The maximum sizes of an association: maxArtifactSize, maxOutputSize, and maxSize of exports."""

from __future__ import annotations

from collections.abc import Mapping

from cleanroom_algo.contract.sizes import format_bytes
from cleanroom_algo.errors import ArtifactsTooLargeError, ExportTooLargeError, InferenceOutputTooLargeError


def hold_to_cap(
    sizes: Mapping[str, int], cap: int | None, *, leave_out: bool
) -> tuple[set[str], ArtifactsTooLargeError | None]:
    """Return the names of the files that a training job may keep, and why the others are left out.

    Args:
        sizes: of the files, by name.
        cap: maximum size of all files together in bytes; None: no maximum.
        leave_out: whether files that are too large are left out.

    Raises:
        ArtifactsTooLargeError: CR-JOB-102, the files are too large, and none may be left out.
    """
    total = sum(sizes.values())
    if cap is None or total <= cap:
        return set(sizes), None
    largest = max(sizes, key=lambda name: sizes[name])
    error = ArtifactsTooLargeError(
        f"the job left {format_bytes(total)} (largest: {largest} {format_bytes(sizes[largest])})",
        expected=f"at most {format_bytes(cap)}, the maximum of this association (trainedModels.maxArtifactSize)",
        fix="do not save the optimizer (save_optimizer = False), use half precision (save_dtype), or increase the "
        "maximum",
    )
    if not leave_out:
        raise error
    return fitting(sizes, cap), error


def fitting(sizes: Mapping[str, int], cap: int) -> set[str]:
    """Return the names of the files that fit into a maximum size: each in turn, if it fits beside those before it."""
    kept: set[str] = set()
    left = cap
    for name, size in sizes.items():
        if size <= left:
            kept.add(name)
            left -= size
    return kept


def output_too_large(size: int, cap: int) -> InferenceOutputTooLargeError:
    """Return the error for outputs that have reached `size` bytes."""
    return InferenceOutputTooLargeError(
        f"the outputs have reached {format_bytes(size)}",
        expected=f"at most {format_bytes(cap)} (trainedModelInferenceJobs.maxOutputSize)",
        fix="return fewer digits or columns, or agree on a larger maximum",
    )


def export_too_large(size: int, cap: int) -> ExportTooLargeError:
    """Return the error for files of `size` bytes together."""
    return ExportTooLargeError(
        f"the files to export have a total size of {format_bytes(size)}",
        expected=f"at most {format_bytes(cap)}, the policy's trainedModelExports.maxSize",
        fix="remove OUTPUT from filesToExport, train a smaller model, or create an association with a larger maximum",
    )
