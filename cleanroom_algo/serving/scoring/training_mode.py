"""Finds torch modules in training mode, in which the prediction of a row may be random or depend on other rows.

The mode does not matter for a module whose code does not use it, such as a linear layer.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

from cleanroom_algo.errors import TrainingModeError

if TYPE_CHECKING:
    import torch

    from cleanroom_algo.serving.predictor import Predictor

_NAMED = 5  # in one error: enough to find the place


def require_evaluation_mode(predictor: Predictor) -> None:
    """Check the modules that a predictor holds, in its attributes and in lists, tuples, sets and dicts of them.

    Raises:
        TrainingModeError: a module depends on its mode, is in training mode, and is not among the predictor's
            `training_modules`.
    """
    if "torch" not in sys.modules:
        return
    found = [
        f"{path}.{name}" if name else path
        for path, module in _modules(vars(predictor), "")
        for name, part in module.named_modules()
        if part.training and _depends_on_mode(type(part))
    ]
    unwanted = [path for path in found if not _is_below(path, predictor.training_modules)]
    if unwanted:
        further = f" and {len(unwanted) - _NAMED} more" if len(unwanted) > _NAMED else ""
        raise TrainingModeError(
            f"after `load`, {len(unwanted)} module(s) are in training mode: {', '.join(unwanted[:_NAMED])}{further}",
            expected="evaluation mode: in training mode, dropout is random and batch normalization mixes rows",
            fix=f"call `self.{_first_name(unwanted[0])}.eval()` at the end of `load`, or name what must stay in "
            "training mode in the class attribute `training_modules`",
        )


def _modules(values: Mapping[Any, Any], path: str) -> Iterator[tuple[str, torch.nn.Module]]:
    """Yield the modules among values, each with the expression that leads to it."""
    import torch

    for key, value in values.items():
        at = f"{path}[{key!r}]" if path else str(key)
        if isinstance(value, torch.nn.Module):
            yield at, value
        elif isinstance(value, dict):
            yield from _modules(value, at)
        elif isinstance(value, (list, tuple, set, frozenset)):
            yield from _modules(dict(enumerate(value)), at)


def _depends_on_mode(kind: type[torch.nn.Module]) -> bool:
    """Whether the methods of a class use `training`; methods that are not Python functions may use it."""
    import torch

    if issubclass(kind, torch.jit.ScriptModule):
        return True
    own = kind.__mro__[: kind.__mro__.index(torch.nn.Module)]
    methods = [inspect.unwrap(value) for each in own for value in vars(each).values() if callable(value)]
    return any("training" in _names(method.__code__) for method in methods if isinstance(method, FunctionType))


def _names(code: CodeType) -> set[str]:
    inner = (each for each in code.co_consts if isinstance(each, CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _first_name(path: str) -> str:
    return path.partition(".")[0].partition("[")[0]


def _is_below(path: str, wanted: tuple[str, ...]) -> bool:
    return any(path == each or path.startswith((f"{each}.", f"{each}[")) for each in wanted)
