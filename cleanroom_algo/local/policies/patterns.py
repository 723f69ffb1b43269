"""Compiles regular expressions of users."""

from __future__ import annotations

import re
import warnings


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Return a compiled pattern, without warnings about its style.

    Raises:
        re.error: it is not a regular expression.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # "[[" is valid, and users should not get a warning about it
        return re.compile(pattern)
