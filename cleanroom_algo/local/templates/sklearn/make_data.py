"""Creates random weather observations: data/train for training, data/new for prediction."""

from pathlib import Path

import numpy as np
import polars as pl


def make_rows(count: int, seed: int) -> pl.DataFrame:
    """Return observations; it rains if the humidity is high and the pressure is low."""
    random = np.random.default_rng(seed)
    humid, pressure = random.uniform(30, 100, count), random.normal(1013, 8, count)
    return pl.DataFrame(
        {
            "origin": random.choice(["EWR", "JFK", "LGA"], count),
            "temp": random.normal(55, 18, count).round(1),
            "dewp": random.normal(41, 18, count).round(1),
            "humid": humid.round(1),
            "wind_speed": random.gamma(3, 3.5, count).round(1),
            "pressure": pl.Series(pressure.round(1)).set(pl.Series(random.random(count) < 0.05), None),
            "visib": random.uniform(0, 10, count).round(1),
            "rain": 0.1 * (humid - 75) - 0.2 * (pressure - 1013) + random.normal(0, 0.5, count) > 0,
        }
    )


if __name__ == "__main__":
    for name, rows in (("train", make_rows(2000, seed=0)), ("new", make_rows(200, seed=1).drop("rain"))):
        Path("data", name).mkdir(parents=True, exist_ok=True)
        rows.write_csv(Path("data", name, "part-0.csv"))
