"""Compiling regular expressions that others wrote."""

from __future__ import annotations

import re
import warnings


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Return a compiled pattern, whatever Python may come to think of its style.

    Raises:
        re.error: it is not a regular expression.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # "[[" is legal, and its meaning is not this program's to mend
        return re.compile(pattern)
