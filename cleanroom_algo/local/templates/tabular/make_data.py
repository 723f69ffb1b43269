"""Creates random customers: data/train for training, data/new for prediction."""

from pathlib import Path

import numpy as np
import polars as pl


def make_rows(count: int, seed: int) -> pl.DataFrame:
    """Return customers who leave if they are new and pay much."""
    random = np.random.default_rng(seed)
    months = random.integers(1, 48, count)
    spending = random.gamma(4.0, 10.0, count).round(2)
    odds = 0.1 * (spending - 40) - 0.2 * (months - 24)
    return pl.DataFrame(
        {
            "plan": random.choice(["basic", "family", "business"], count),
            "months": months,
            "spending": pl.Series(spending).set(pl.Series(random.random(count) < 0.05), None),
            "left": odds + random.normal(0, 0.5, count) > 0,
        }
    )


if __name__ == "__main__":
    for name, rows in (("train", make_rows(2000, seed=0)), ("new", make_rows(200, seed=1).drop("left"))):
        Path("data", name).mkdir(parents=True, exist_ok=True)
        rows.write_csv(Path("data", name, "part-0.csv"))
