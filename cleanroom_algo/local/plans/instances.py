"""The resources of the API's instance types (Amazon EC2 user guide, "Amazon EC2 instance types")."""

from __future__ import annotations

from typing import Final

GIB: Final = 2**30
# GiB of memory of the size `large` in families whose memory grows with the size.
_OF_LARGE: Final = {
    **dict.fromkeys(("m4", "m5", "m6i", "m7i", "t3", "g4dn", "g5"), 8.0),
    **dict.fromkeys(("r5", "r5d", "r6i", "r7i", "g6e"), 16.0),
    **dict.fromkeys(("c5", "c6i", "c7i"), 4.0),
    "c4": 3.75,
    "c5n": 5.25,
    "g6": 8.0,
    "trn1": 8.0,
}
_GIB: Final = {
    "c4.8xlarge": 60.0,
    "c5.9xlarge": 72.0,
    "c5.18xlarge": 144.0,
    "c5n.9xlarge": 96.0,
    "c5n.18xlarge": 192.0,
    "g5.12xlarge": 192.0,
    "g5.24xlarge": 384.0,
    "p2.xlarge": 61.0,
    "p2.8xlarge": 488.0,
    "p2.16xlarge": 732.0,
    "p3.2xlarge": 61.0,
    "p3.8xlarge": 244.0,
    "p3.16xlarge": 488.0,
    "p3dn.24xlarge": 768.0,
    "p4d.24xlarge": 1152.0,
    "p4de.24xlarge": 1152.0,
    "p5.48xlarge": 2048.0,
    "p5en.48xlarge": 2048.0,
    "t3.medium": 4.0,
    "trn1.32xlarge": 512.0,
    "trn1n.32xlarge": 512.0,
}
_WITH_GPU: Final = ("g", "p")  # first letters of families; the accelerators of trn are not GPUs


def has_gpu(instance_type: str) -> bool:
    """Whether an instance type such as `ml.g5.xlarge` has GPUs."""
    return instance_type.removeprefix("ml.").startswith(_WITH_GPU)


def memory_bytes(instance_type: str) -> int | None:
    """Return the memory of an instance type such as `ml.m5.2xlarge` in bytes; None if it is not known."""
    name = instance_type.removeprefix("ml.")
    family, _, size = name.partition(".")
    if name in _GIB:
        return int(_GIB[name] * GIB)
    if family not in _OF_LARGE or not size.endswith("large"):
        return None
    number = size.removesuffix("large").removesuffix("x")
    times = {"": 2 if size == "xlarge" else 1}.get(number, 2 * int(number or 0))
    return int(_OF_LARGE[family] * times * GIB)
