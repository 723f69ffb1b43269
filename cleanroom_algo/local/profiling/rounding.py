"""Round numbers, for the ticks of axes and the edges of histograms."""

from __future__ import annotations

import math


def round_step(least: float) -> float:
    """Return the next round number: 1, 2, 2.5 or 5, times a power of ten."""
    size = 10.0 ** math.floor(math.log10(least))
    return float(next(factor * size for factor in (1, 2, 2.5, 5, 10) if factor * size >= least * (1 - 1e-9)))
