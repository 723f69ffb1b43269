"""Models whose parameters are divided among the ranks."""

from __future__ import annotations

import torch
from torch import nn


def shard(model: nn.Module, size: int, device: torch.device) -> None:
    """Shard the parameters of a model over the ranks, in place, with one unit per large child."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (size,))
    for module in model.modules():
        blocks = list(module) if isinstance(module, nn.ModuleList | nn.Sequential) else []
        for block in blocks:
            if any(True for _ in block.parameters()):
                fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
