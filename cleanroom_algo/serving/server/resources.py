"""What the container may use of the machine: cores, memory, GPUs."""

from __future__ import annotations

import os
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

_GPU_DEVICES = ("nvidia[0-9]*", "kfd")  # of NVIDIA's driver and of AMD's
_CGROUP = Path("/sys/fs/cgroup")


def cores(cgroup: Path = _CGROUP) -> int:
    """Return how many cores this process may use: its affinity, limited by the container's CPU quota.

    torch and most libraries count the machine's cores, and are throttled if there is a quota.
    """
    affinity = len(affine_cores()) or os.cpu_count() or 1
    quota = _quota(cgroup)
    return max(1, min(affinity, int(quota))) if quota else affinity


def affine_cores() -> tuple[int, ...]:
    """Return the numbers of the cores on which this process may run; empty if the system does not report them."""
    return tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()


def stay_on(core: int) -> None:
    """Pin this process, and the threads that it starts from now on, to one core; if that is not allowed, do nothing."""
    with suppress(OSError):
        os.sched_setaffinity(0, {core})


def memory_bytes(cgroup: Path = _CGROUP) -> int:
    """Return the memory of this container in bytes: its limit, or the machine's memory if there is none."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [_number(cgroup / "memory.max"), _number(cgroup / "memory" / "memory.limit_in_bytes")]
    return min([physical, *(limit for limit in limits if limit)])


def gpus() -> int:
    """Return how many GPUs torch can use, without starting CUDA in this process, which could then not fork.

    An image may be without torch, because an algorithm may not need it. If there is no device of a driver, torch is not
    imported, because this takes longer than the rest of the start.
    """
    if find_spec("torch") is None or not any(path for pattern in _GPU_DEVICES for path in Path("/dev").glob(pattern)):
        return 0
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")  # uses the driver's library instead of the runtime
    import torch

    return torch.cuda.device_count()


def native_threads() -> int | None:
    """Return how many threads of the operating system this process has; None if that is not known."""
    tasks = Path("/proc/self/task")
    return sum(1 for _ in tasks.iterdir()) if tasks.is_dir() else None


def _quota(cgroup: Path) -> float | None:
    words = _text(cgroup / "cpu.max").split()  # cgroup v2: "QUOTA PERIOD", or "max PERIOD"
    if len(words) == 2 and words[0].isdigit():
        return int(words[0]) / int(words[1])
    quota, period = _number(cgroup / "cpu" / "cpu.cfs_quota_us"), _number(cgroup / "cpu" / "cpu.cfs_period_us")
    return quota / period if quota and period else None


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""
