"""Starting a module of this folder in a Python of its own, which knows neither this environment nor its packages."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

# Not as a script: that would be compiled at every start. The folder comes last, so that it hides no module of Python's.
_START = "import sys; sys.path.append({folder!r}); import {name}; {name}.run()"


def isolated_python(module: ModuleType) -> list[str]:
    """Return the words that call a module's `run`; its arguments follow.

    Args:
        module: which imports nothing but the standard library.
    """
    path = Path(str(module.__file__))
    return [sys.executable, "-I", "-S", "-c", _START.format(folder=str(path.parent), name=path.stem)]
