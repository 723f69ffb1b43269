"""Whole tracebacks in the log, with whatever rows they quote: for runs on data that the reader may see.

The failure file never has them: it reaches members who may not.
"""

from __future__ import annotations

import logging
import os
import traceback
from pathlib import Path

from cleanroom_algo.contract.settings import Settings

_PACKAGE = Path(__file__).resolve().parents[1]
_PYTHON = Path(os.__file__).resolve().parent
_log = logging.getLogger(__name__)
_logged: set[str] = set()  # the last lines of tracebacks


def configure_tracebacks(settings: Settings) -> None:
    """Let the log have whole tracebacks, or none, as the setting `tracebacks` says."""
    _log.disabled = settings.tracebacks != "whole"


def log_traceback(error: BaseException) -> None:
    """Log an exception with its traceback from the algorithm's first line on, where the setting allows it."""
    if _log.disabled:
        return
    trace = error.__traceback__
    while trace is not None and is_library(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    lines = traceback.format_exception(type(error), error, trace or error.__traceback__)
    _logged.add(lines[-1].rstrip("\n"))
    _log.error("%s", "".join(lines).rstrip("\n"))


def is_logged(text: str) -> bool:
    """Whether a text, the reason of a failure, begins as a traceback ended that this process has logged."""
    return text.partition("\n")[0] in _logged


def is_library(filename: str) -> bool:
    """Whether a source file belongs to this package, to an installed library or to Python."""
    path = Path(filename)
    installed = {"site-packages", "dist-packages", "importlib"} & set(path.parts)
    return (
        bool(installed)
        or filename.startswith("<")
        or path.is_relative_to(_PACKAGE)
        or path.resolve().is_relative_to(_PYTHON)
    )


_log.disabled = True  # until the setting is known
