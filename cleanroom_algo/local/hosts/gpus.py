"""GPUs of this machine, which image hosts get if the instance type has GPUs."""

from __future__ import annotations

from pathlib import Path

_NVIDIA, _AMD = "nvidia[0-9]*", "kfd"  # device files of their drivers


def has_gpu(devices: Path = Path("/dev")) -> bool:
    """Whether this machine has a GPU that a library such as torch can use."""
    return any(any(devices.glob(pattern)) for pattern in (_NVIDIA, _AMD))


def gpu_words(program: str, devices: Path = Path("/dev")) -> list[str]:
    """Return the words that give a container all NVIDIA GPUs of this machine; empty if it has none.

    Args:
        program: docker, or podman, which has no `--gpus` before version 5 and finds devices by their CDI name.
        devices: the folder of device files.
    """
    if not any(devices.glob(_NVIDIA)):
        return []
    return ["--gpus", "all"] if program == "docker" else ["--device", "nvidia.com/gpu=all"]
