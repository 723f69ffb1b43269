"""The device of a rank, its random generators and its precision."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch


def pick_device(local_rank: int) -> torch.device:
    """Return the local rank's GPU, or the CPU if there is none."""
    if torch.cuda.is_available():
        device = torch.device("cuda", local_rank % torch.cuda.device_count())
        torch.cuda.set_device(device)
        return device
    return torch.device("cpu")


def seed_everything(seed: int) -> None:
    """Seed torch, random and numpy."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


def autocast(device: torch.device, precision: str) -> Callable[[], contextlib.AbstractContextManager[Any]]:
    """Return the context for a forward pass."""
    if precision == "float32":
        return contextlib.nullcontext
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float16
    return lambda: torch.autocast(device.type, dtype=dtype)


def is_plateau(scheduler: object) -> bool:
    """Whether a scheduler takes a loss after each epoch."""
    return isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
