"""Creates random reviews: data/train for training, data/new for prediction."""

from pathlib import Path

import numpy as np
import polars as pl

GOOD, BAD = ["great", "lovely", "excellent", "fun"], ["awful", "boring", "poor", "dull"]
OTHER = ["the", "a", "film", "plot", "actor", "scene", "music", "was", "with", "quite"]


def make_rows(count: int, seed: int) -> pl.DataFrame:
    """Return reviews with words that show whether they are good."""
    random = np.random.default_rng(seed)
    positive = random.random(count) < 0.5
    reviews = [
        " ".join(random.permutation([*random.choice(OTHER, 8), *random.choice(GOOD if good else BAD, 2)]))
        for good in positive
    ]
    return pl.DataFrame({"review": reviews, "positive": positive})


if __name__ == "__main__":
    for name, rows in (("train", make_rows(1000, seed=0)), ("new", make_rows(100, seed=1).drop("positive"))):
        Path("data", name).mkdir(parents=True, exist_ok=True)
        rows.write_csv(Path("data", name, "part-0.csv"))
