"""Creates random values by group: data/train for training, data/new for prediction."""

from pathlib import Path

import numpy as np
import polars as pl


def make_rows(count: int, seed: int) -> pl.DataFrame:
    """Return values near 1 in group a, near 2 in group b."""
    random = np.random.default_rng(seed)
    group = random.choice(["a", "b"], count)
    return pl.DataFrame({"group": group, "value": np.where(group == "a", 1, 2) + random.normal(0, 0.1, count)})


if __name__ == "__main__":
    for name, rows in (("train", make_rows(1000, seed=0)), ("new", make_rows(100, seed=1).drop("value"))):
        Path("data", name).mkdir(parents=True, exist_ok=True)
        rows.write_csv(Path("data", name, "part-0.csv"))
