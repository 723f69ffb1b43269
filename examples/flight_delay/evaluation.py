"""How good predictions are, beside a baseline that knows next to nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from examples.flight_delay.algorithm import SCHEMA


def read_parts(folder: Path) -> pl.DataFrame:
    """Return the rows of a channel's CSV part files, in the order of their names; with or without headers."""
    parts = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return pl.concat(_read_part(part) for part in parts)


def read_predictions(outputs: Sequence[Path]) -> NDArray[np.float64]:
    """Return what the `.out` files of an inference job hold, one probability a line, in the order of their names."""
    return np.concatenate([np.loadtxt(path, ndmin=1, delimiter=",") for path in sorted(outputs)])


def area_under_curve(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """Return the probability that a late flight has the higher score of a late and a punctual one; ties count half.

    Args:
        scores: shape (rows,).
        truth: shape (rows,).
    """
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]  # the mean rank of equal scores
    late, punctual = int(truth.sum()), int((~truth).sum())
    return float((ranks[truth].sum() - late * (late + 1) / 2) / (late * punctual))


def baseline(training: pl.DataFrame, held_out: pl.DataFrame, by: Sequence[str] = ("hour",)) -> NDArray[np.float64]:
    """Return for each held-out flight the share of late ones at its hour in training."""
    shares = training.group_by(by).agg(pl.col("late").mean().alias("share"))
    joined = held_out.join(shares, on=list(by), how="left", maintain_order="left")
    return joined["share"].fill_null(pl.lit(training["late"].mean())).to_numpy()


def _read_part(path: Path) -> pl.DataFrame:
    with path.open(encoding="utf-8") as file:
        first = file.readline().strip()
    return pl.read_csv(path, has_header=first == ",".join(SCHEMA.names), schema=SCHEMA.polars_schema())
