"""Creates random points near a line: data/train for training, data/new for prediction."""

from pathlib import Path

import numpy as np
import polars as pl


def make_rows(count: int, seed: int) -> pl.DataFrame:
    """Return points near the line y = 2 x + 1."""
    random = np.random.default_rng(seed)
    x = random.uniform(-5, 5, count)
    return pl.DataFrame({"x": x, "y": 2 * x + 1 + random.normal(0, 0.1, count)})


if __name__ == "__main__":
    for name, rows in (("train", make_rows(1000, seed=0)), ("new", make_rows(100, seed=1).drop("y"))):
        Path("data", name).mkdir(parents=True, exist_ok=True)
        rows.write_csv(Path("data", name, "part-0.csv"))
