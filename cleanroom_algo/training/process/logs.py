"""The plain-text log of training processes; it names files, sizes and tensors, never rows or hyperparameters."""

from __future__ import annotations

import logging
import os
import sys

from cleanroom_algo.contract.settings import Settings
from cleanroom_algo.contract.tracebacks import configure_tracebacks


def configure_logging(settings: Settings) -> None:
    """Log plain lines to standard error."""
    logging.basicConfig(level=settings.log_level, format="%(message)s", stream=sys.stderr)
    configure_tracebacks(settings)


def quiet_torch() -> None:
    """Leave out what torch's C++ side warns of, in this process and its ranks; to be called before torch is imported.

    Where addresses have no names, as in networks without a name server, each connection of hosts would be a warning.
    """
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
