"""The state of model and optimizer, whether each rank holds all of it or a shard."""

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


def restore_full_state(
    model: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any] | None, *, sharded: bool
) -> None:
    """Take up both states; for a sharded model only the first rank has them."""
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
