"""Rows whose label is mostly chance, so that a model that knows it well has remembered it.

`python -m examples.privacy.data FOLDER [SEED]` writes members.csv and others.csv.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl

from examples.privacy.algorithm import NAMES

ROWS = 300


def rows(seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return members and others: 300 rows each, of one distribution."""
    draw = np.random.default_rng(seed)
    numbers = draw.normal(size=(2 * ROWS, len(NAMES)))
    labels = numbers[:, :4].sum(axis=1) + draw.normal(0, 4, 2 * ROWS) > 0
    table = pl.DataFrame(numbers, schema=NAMES).with_columns(y=pl.Series(labels))
    return table.head(ROWS), table.tail(ROWS)


def main(folder: Path, seed: int = 0) -> None:
    """Write the files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in zip(("members.csv", "others.csv"), rows(seed), strict=True):
        table.write_csv(folder / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
