"""The optimizer's state as named tensors and JSON, so that a later version can continue from it without a pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

_FORMAT = "1"


def optimizer_tensors(named: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return an optimizer's state as tensors named `<parameter>.<key>`, and everything else as metadata.

    Args:
        named: as `model_state.named_optimizer_state` returns it.
    """
    import torch

    tensors: dict[str, Tensor] = {}
    scalars: dict[str, Any] = {}
    for name, entries in named["state"].items():
        for key, value in entries.items():
            where = tensors if isinstance(value, torch.Tensor) else scalars
            where[f"{name}.{key}"] = value
    described = {"format": _FORMAT, "kind": named["kind"], "groups": named["groups"], "scalars": scalars}
    # One entry: safetensors writes several in random order, and the same training should write the same bytes.
    return tensors, {"optimizer": json.dumps(described, default=str)}


def restore_optimizer(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str],
    *,
    sharded: bool = False,
) -> bool:
    """Load the state of a base model's optimizer, if both optimizers are of one class and have the same parameters.

    Learning rates and other settings stay those of this job.

    Returns:
        Whether the state was loaded; if not, the optimizer starts fresh.
    """
    from cleanroom_algo.training.artifacts.model_state import parameter_groups, set_named_optimizer_state

    try:
        described = json.loads(metadata["optimizer"])
        groups, scalars = described["groups"], dict(described["scalars"])
        if described.get("format", metadata.get("format")) != _FORMAT:  # an earlier release stored it in the metadata
            return False
    except (ValueError, KeyError, TypeError, RecursionError):  # another party's JSON
        return False
    if described.get("kind") != type(optimizer).__name__ or groups != parameter_groups(model, optimizer):
        return False
    parameters = dict(model.named_parameters())
    state: dict[str, dict[str, Any]] = {}
    for key, value in (*tensors.items(), *scalars.items()):
        name, _, entry = key.rpartition(".")
        if name not in parameters or isinstance(value, str | list | dict):
            return False
        if entry != "step" and getattr(value, "shape", None) not in (None, parameters[name].shape):
            return False
        state.setdefault(name, {})[entry] = value
    set_named_optimizer_state(model, optimizer, state, sharded=sharded)
    return True
