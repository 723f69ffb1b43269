"""Creates random ratings: data/train for training, data/new for prediction."""

from pathlib import Path

import numpy as np
import polars as pl

USERS, ITEMS = 200, 50


def make_rows(count: int, seed: int) -> pl.DataFrame:
    """Return ratings of items by users with hidden tastes, which are the same for every seed."""
    tastes = np.random.default_rng(7)
    users, items = tastes.normal(size=(USERS, 2)), tastes.normal(size=(ITEMS, 2))
    random = np.random.default_rng(seed)
    user, item = random.integers(0, USERS, count), random.integers(0, ITEMS, count)
    rating = 3 + (users[user] * items[item]).sum(1) + random.normal(0, 0.1, count)
    return pl.DataFrame({"user_id": 1000 + user, "item_id": 10 + item, "rating": rating.clip(1, 5).round(1)})


if __name__ == "__main__":
    for name, rows in (("train", make_rows(8000, seed=0)), ("new", make_rows(200, seed=1).drop("rating"))):
        Path("data", name).mkdir(parents=True, exist_ok=True)
        rows.write_csv(Path("data", name, "part-0.csv"))
