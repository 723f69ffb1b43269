"""The plain-text log of training processes; it names files, sizes and tensors, never rows or hyperparameters."""

from __future__ import annotations

import logging
import sys


def configure_logging(level: str) -> None:
    """Log plain lines to standard error."""
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr)
