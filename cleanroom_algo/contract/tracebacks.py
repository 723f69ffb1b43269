"""Complete tracebacks in the log, which may quote rows: for runs on data that the reader may see.

The failure file never contains them, because members who may not see the data read it.
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
    """Turn complete tracebacks in the log on or off, as the setting `tracebacks` says."""
    _log.disabled = settings.tracebacks != "whole"


def log_traceback(error: BaseException) -> None:
    """Log an exception with its traceback from the algorithm's first line on, if the setting allows it."""
    if _log.disabled:
        return
    trace = error.__traceback__
    while trace is not None and is_library(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    lines = traceback.format_exception(type(error), error, trace or error.__traceback__)
    _logged.add(lines[-1].rstrip("\n"))
    _log.error("%s", "".join(lines).rstrip("\n"))


def is_logged(text: str) -> bool:
    """Whether the reason of a failure begins like the last line of a traceback that this process has logged."""
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


_log.disabled = True  # until the setting is read
