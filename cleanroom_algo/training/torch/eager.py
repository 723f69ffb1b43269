"""Optimizers and DDP without torch's compiler.

Both import it when they are used, which takes as long as importing torch.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

_COMPILER = "torch._dynamo"
_USERS = (_COMPILER, "torch.distributed.fsdp")  # sharded models use parts of it


class _NoCompiler(ModuleType):
    """Answers what optimizers and DDP ask of the compiler if nothing is compiled; else passes on to the compiler."""

    @property
    def utils(self) -> ModuleType:
        """The compiler's functions for other parts of torch."""
        return _NoUtils(f"{_COMPILER}.utils")

    def graph_break(self, *_: Any) -> None:
        """Do nothing: there is no graph."""

    def disable(self, function: Callable[..., Any], *_: Any, **__: Any) -> Callable[..., Any]:
        """Return the function unchanged, because nothing is compiled."""
        return function

    def __getattr__(self, name: str) -> Any:
        return getattr(_compiler(), name)


class _NoUtils(ModuleType):
    def get_optimize_ddp_mode(self) -> str:
        """Return the default: code that sets another mode has loaded the compiler."""
        return "ddp_optimizer"

    def __getattr__(self, name: str) -> Any:
        return getattr(_compiler().utils, name)


def _compiler() -> ModuleType:
    sys.modules.pop(_COMPILER, None)
    return importlib.import_module(_COMPILER)


@contextmanager
def without_compiler() -> Iterator[None]:
    """Keep the code in the block from importing torch's compiler; if it is loaded, it is used."""
    if any(name in sys.modules for name in _USERS):
        yield
        return
    sys.modules[_COMPILER] = stand_in = _NoCompiler(_COMPILER)
    try:
        yield
    finally:
        if sys.modules.get(_COMPILER) is stand_in:
            del sys.modules[_COMPILER]
