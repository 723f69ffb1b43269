"""Creates random flats: data/train for training, data/new for prediction."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

SURCHARGES = {"center": 150_000, "north": 50_000, "south": 0}


def make_rows(count: int, seed: int) -> pl.DataFrame:
    """Return flats with a price that depends on area, district and age."""
    random = np.random.default_rng(seed)
    area = random.uniform(30, 150, count).round(1)
    district = random.choice(list(SURCHARGES), count)
    days = random.integers(0, 20_000, count)
    price = 3000 * area + np.array([SURCHARGES[name] for name in district]) + 4 * days + random.normal(0, 5000, count)
    built = [date(1970, 1, 1) + timedelta(days=int(each)) for each in days]
    return pl.DataFrame({"area": area, "district": district, "built": built, "price": price.round(-2)})


if __name__ == "__main__":
    for name, rows in (("train", make_rows(2000, seed=0)), ("new", make_rows(200, seed=1).drop("price"))):
        Path("data", name).mkdir(parents=True, exist_ok=True)
        rows.write_csv(Path("data", name, "part-0.csv"))
