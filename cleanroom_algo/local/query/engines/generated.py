"""Replaces a query's rows by generated ones, for the result of any engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from cleanroom_algo.local.query.engines.database import identifier, open_database, quoted, types
from cleanroom_algo.local.query.plan import SyntheticPlan
from cleanroom_algo.local.query.synthetic.generate import generate


def replace_result(draft: Path, plan: SyntheticPlan) -> float:
    """Replace the table `result` of a folder's database by generated rows; return the score of the attack on them.

    Raises:
        SyntheticDataError: CR-JOB-406. SyntheticDataExposedError: CR-JOB-407.
    """
    path = draft / "rows.parquet"
    with open_database(draft) as connection:
        kinds = types(connection, "result")
        connection.execute(f"COPY result TO {quoted(str(path))} (FORMAT parquet)")
        made, score = generate(pl.read_parquet(path), plan, np.random.default_rng())
        made.write_parquet(path)
        shown = ", ".join(f"CAST({identifier(name)} AS {kind}) AS {identifier(name)}" for name, kind in kinds)
        rows = f"SELECT {shown} FROM read_parquet({quoted(str(path))})"  # noqa: S608
        connection.execute(f"CREATE OR REPLACE TABLE result AS {rows}")
    path.unlink()
    return score
