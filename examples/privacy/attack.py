"""The three models of the guide to privacy, attacked by their loss: `python -m examples.privacy.attack [SEEDS]`.

It trains each model with the seeds 0 to SEEDS - 1 (by default 5) in this process, and prints the AUC of each attack.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Mapping
from typing import Final

from cleanroom_algo.local.audit.scores import scores_of
from cleanroom_algo.local.audit.statistics import separation
from cleanroom_algo.testing import load_predictor, predict, run_trainer
from examples.privacy.algorithm import Fit, Probability
from examples.privacy.data import rows

MODELS: Final[Mapping[str, Mapping[str, object]]] = {
    "remembers its rows": {"width": 128, "epochs": 60},
    "learns, but remembers little": {},
    "private": {"private": True, "noise_multiplier": 1.0, "epochs": 20},
}


def auc(hyperparameters: Mapping[str, object], seed: int) -> float:
    """Return how well members can be told from others, if rows and model have this seed."""
    members, others = rows(seed)
    with contextlib.redirect_stdout(io.StringIO()):  # metric lines
        run = run_trainer(Fit, train=members, hyperparameters={**hyperparameters, "seed": seed})
    predictor = load_predictor(Probability, run)
    inside, outside = (scores_of(predict(predictor, table), table["y"]).values for table in (members, others))
    return separation(inside, outside).auc


def main(seeds: int = 5) -> None:
    """Print the AUCs."""
    for name, hyperparameters in MODELS.items():
        found = sorted(auc(hyperparameters, seed) for seed in range(seeds))
        print(f"{name:30}", ", ".join(f"{each:.2f}" for each in found))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
