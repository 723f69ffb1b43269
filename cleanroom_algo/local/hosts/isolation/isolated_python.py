"""Starts a module of this folder in a separate Python without this environment and its packages."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

# Not as a script, which would be compiled at every start. The folder comes last, so that it hides no standard module.
_START = "import sys; sys.path.append({folder!r}); import {name}; {name}.run()"


def isolated_python(module: ModuleType) -> list[str]:
    """Return the words that call a module's `run`; its arguments follow.

    Args:
        module: it must import only the standard library.
    """
    path = Path(str(module.__file__))
    return [sys.executable, "-I", "-S", "-c", _START.format(folder=str(path.parent), name=path.stem)]
