"""Creates random flowers: data/train for training, data/new for prediction."""

from pathlib import Path

import numpy as np
import polars as pl

MEANS = {"setosa": (1.5, 0.3), "versicolor": (4.3, 1.3), "virginica": (5.6, 2.1)}


def make_rows(count: int, seed: int) -> pl.DataFrame:
    """Return flowers with petals that depend on the species."""
    random = np.random.default_rng(seed)
    species = random.choice(list(MEANS), count)
    means = np.array([MEANS[name] for name in species])
    petals = means + random.normal(0, 0.2, (count, 2))
    return pl.DataFrame({"length": petals[:, 0], "width": petals[:, 1], "species": species})


if __name__ == "__main__":
    for name, rows in (("train", make_rows(1000, seed=0)), ("new", make_rows(100, seed=1).drop("species"))):
        Path("data", name).mkdir(parents=True, exist_ok=True)
        rows.write_csv(Path("data", name, "part-0.csv"))
