"""Tables to batches: cut to size, with the bits of the rows' own features."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cleanroom_algo.channels.features import Features
from cleanroom_algo.channels.fitting import FeaturesFitter
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.data import batch
from cleanroom_algo.data.batch import Batch, batches
from cleanroom_algo.data.tables import multiples

SCHEMA = Schema.of(target="y", x="float32?", day="date32", word="string?", y="int32")


def table(rows: int) -> pl.DataFrame:
    random = np.random.default_rng(rows)
    columns = {
        "x": [None if each < -1 else each for each in random.standard_normal(rows, dtype=np.float32).tolist()],
        "day": random.integers(0, 20_000, rows),
        "word": [("a", "b", "c", None)[each] for each in random.integers(0, 4, rows)],
        "y": range(rows),
    }

    return pl.DataFrame(columns, strict=False).cast(pl.Schema(SCHEMA.polars_schema()))


def fitted() -> Features:
    fitter = FeaturesFitter(SCHEMA, min_count=1)
    fitter.update(table(50))
    return fitter.finish()


FEATURES = fitted()
ROWS = table(450)


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "GROUP_ROWS", 24)


@given(st.lists(st.integers(0, 90), max_size=5), st.integers(1, 40), st.booleans())
@settings(max_examples=30)
def test_batches_have_their_size_their_order_and_the_bits_of_their_rows(
    heights: list[int], rows: int, drop_last: bool
) -> None:
    whole = ROWS.head(sum(heights))
    frames, start = [], 0
    for height in heights:
        frames.append(whole.slice(start, height))
        start += height
    found = list(batches(multiples(iter(frames), rows), FEATURES, rows, drop_last=drop_last))
    least = rows if drop_last else 1
    wanted = [Batch.of(FEATURES.transform(part)) for part in whole.iter_slices(rows) if part.height >= least]
    assert [each.rows for each in found] == [each.rows for each in wanted]
    for ours, theirs in zip(found, wanted, strict=True):
        assert torch.equal(ours.numeric, theirs.numeric)
        assert torch.equal(ours.categorical, theirs.categorical)
        assert ours.target is not None
        assert theirs.target is not None
        assert torch.equal(ours.target, theirs.target)


def test_what_is_written_to_a_batch_does_not_reach_another() -> None:
    first, second = batches(iter([table(20)]), FEATURES, 10)
    before = second.numeric.clone()
    first.numeric.fill_(7)
    assert torch.equal(second.numeric, before)
