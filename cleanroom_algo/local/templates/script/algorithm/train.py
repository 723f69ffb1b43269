"""An unchanged training script for SageMaker's script mode: a line through points, by least squares."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import polars as pl


def main() -> None:
    """Read the channel, fit the line, and write it to the model directory."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--ridge", type=float, default=0.0)
    parser.add_argument("--train", type=Path, default=os.environ.get("SM_CHANNEL_TRAIN"))
    parser.add_argument("--model-dir", type=Path, default=os.environ.get("SM_MODEL_DIR"))
    arguments, _ = parser.parse_known_args()

    rows = pl.concat([pl.read_csv(path) for path in sorted(arguments.train.iterdir())])
    x, y = rows["x"], rows["y"]
    slope = ((x - x.mean()) * (y - y.mean())).sum() / (((x - x.mean()) ** 2).sum() + arguments.ridge)
    line = {"slope": slope, "intercept": y.mean() - slope * x.mean()}
    print(f"[metric] slope={line['slope']} intercept={line['intercept']}")
    (arguments.model_dir / "line.json").write_text(json.dumps(line))


if __name__ == "__main__":
    main()
