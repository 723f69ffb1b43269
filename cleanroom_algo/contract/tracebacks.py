"""Whole tracebacks in the log, with whatever rows they quote: for runs on data that the reader may see.

The failure file never has them: it reaches members who may not.
"""

from __future__ import annotations

import logging

from cleanroom_algo.contract.settings import Settings

_log = logging.getLogger(__name__)


def configure_tracebacks(settings: Settings) -> None:
    """Let the log have whole tracebacks, or none, as the setting `tracebacks` says."""
    _log.disabled = settings.tracebacks != "whole"


def log_traceback(error: BaseException) -> None:
    """Log an exception with its traceback, where the setting allows it."""
    _log.error("the exception as it was raised", exc_info=error)


_log.disabled = True  # until the setting is known
