"""The optimizer's state as named tensors and JSON, so that a later version can train on from it without a pickle."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

_FORMAT = "1"

log = logging.getLogger(__name__)


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the state as tensors named `<parameter>.<key>`, and metadata with everything else."""
    import torch

    names = {id(parameter): name for name, parameter in model.named_parameters()}
    tensors: dict[str, Tensor] = {}
    scalars: dict[str, Any] = {}
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            where = tensors if isinstance(value, torch.Tensor) else scalars
            where[f"{names[id(parameter)]}.{key}"] = value
    groups = [[names.get(id(parameter), "") for parameter in group["params"]] for group in optimizer.param_groups]
    described = {"kind": type(optimizer).__name__, "groups": groups, "scalars": scalars}
    return tensors, {"format": _FORMAT, "optimizer": json.dumps(described, default=str)}


def restore_optimizer(
    model: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> bool:
    """Give an optimizer the state that a base model's had, where both are of one kind over the same parameters.

    Learning rates and other settings stay this job's own.

    Returns:
        Whether it fitted; where it does not, the optimizer starts fresh.
    """
    try:
        described = json.loads(metadata["optimizer"]) if metadata.get("format") == _FORMAT else {}
        groups, scalars = described["groups"], dict(described["scalars"])
    except (ValueError, KeyError, TypeError):
        return False
    parameters = dict(model.named_parameters())
    own_names = {id(parameter): name for name, parameter in parameters.items()}
    own = [[own_names.get(id(parameter), "") for parameter in group["params"]] for group in optimizer.param_groups]
    if described.get("kind") != type(optimizer).__name__ or groups != own:
        return False
    state: dict[str, dict[str, Any]] = {}
    for key, value in (*tensors.items(), *scalars.items()):
        name, _, entry = key.rpartition(".")
        if name not in parameters:
            return False
        if entry != "step" and getattr(value, "shape", None) not in (None, parameters[name].shape):
            return False
        state.setdefault(name, {})[entry] = value
    merged = optimizer.state_dict()
    index = {name: number for number, name in enumerate(name for group in own for name in group)}
    merged["state"] = {index[name]: entries for name, entries in state.items()}
    optimizer.load_state_dict(merged)
    return True
