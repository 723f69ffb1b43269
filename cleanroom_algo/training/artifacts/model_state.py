"""The state of model and optimizer, if each rank has all of it or a shard."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn


def full_model_state(model: nn.Module, *, sharded: bool) -> dict[str, Tensor]:
    """Return the weights; sharded ones are gathered on the CPU of the first rank, and empty elsewhere."""
    if not sharded:
        return {name: value.detach() for name, value in model.state_dict().items() if isinstance(value, Tensor)}
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return cast("dict[str, Tensor]", get_model_state_dict(model, options=options))


def full_optimizer_state(model: nn.Module, optimizer: torch.optim.Optimizer, *, sharded: bool) -> dict[str, Any]:
    """Return the optimizer's state, gathered as above."""
    if not sharded:
        return optimizer.state_dict()
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return dict(get_optimizer_state_dict(model, optimizer, options=options))


def named_optimizer_state(model: nn.Module, optimizer: torch.optim.Optimizer, *, sharded: bool) -> dict[str, Any]:
    """Return the optimizer's state by the names of its parameters, gathered as above.

    Returns:
        `kind`, its class; `state`, the entries of each parameter; `groups`, the names of the parameters of each group.
    """
    kind = type(optimizer).__name__
    if sharded:
        full = full_optimizer_state(model, optimizer, sharded=True)
        groups = [list(group["params"]) for group in full.get("param_groups", ())]
        return {"kind": kind, "state": full.get("state", {}), "groups": groups}
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    state = {names[id(parameter)]: entries for parameter, entries in optimizer.state.items()}
    return {"kind": kind, "state": state, "groups": parameter_groups(model, optimizer)}


def parameter_groups(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[list[str]]:
    """Return the names of the parameters of each group; "" for one that is not the model's."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [[names.get(id(parameter), "") for parameter in group["params"]] for group in optimizer.param_groups]


def set_named_optimizer_state(
    model: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, dict[str, Any]], *, sharded: bool
) -> None:
    """Set the entries of each parameter of an optimizer by name; its settings do not change."""
    groups = parameter_groups(model, optimizer)
    merged = optimizer.state_dict()
    if not sharded:
        index = {name: number for number, name in enumerate(name for group in groups for name in group)}
        merged["state"] = {index[name]: entries for name, entries in state.items()}
        optimizer.load_state_dict(merged)
        return
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_optimizer_state_dict

    settings = [group | {"params": names} for group, names in zip(merged["param_groups"], groups, strict=True)]
    full: dict[str, Any] = {"state": state, "param_groups": settings}
    set_optimizer_state_dict(model, optimizer, full, options=StateDictOptions(full_state_dict=True))


def restore_full_state(
    model: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any] | None, *, sharded: bool
) -> None:
    """Load both states; for a sharded model, only the first rank has them."""
    if not sharded:
        assert state is not None
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        return
    from torch.distributed.checkpoint.state_dict import (
        StateDictOptions,
        set_model_state_dict,
        set_optimizer_state_dict,
    )

    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
    set_model_state_dict(model, state["model"] if state else {}, options=options)
    set_optimizer_state_dict(model, optimizer, state["optimizer"] if state else {}, options=options)
