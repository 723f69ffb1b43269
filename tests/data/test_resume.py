"""Resuming in mid-epoch, with the same layout or another one: no row twice, none lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.contract.channel import Channel, Distribution, InputMode
from cleanroom_algo.contract.paths import Paths
from cleanroom_algo.data.dataset import ChannelDataset
from cleanroom_algo.data.resume import Segment, in_turn, inherited, part_of
from cleanroom_algo.data.tables import rebatched
from cleanroom_algo.data.world import World
from cleanroom_algo.errors import DataStateError
from tests.data.ranks import Layout, run

SCHEMA = Schema.of(target="y", x="float32", y="float32")
layouts = st.tuples(st.integers(1, 5), st.integers(1, 4))


def channel(root: Path, rows: list[int], distribution: Distribution, start: int = 0) -> int:
    """Write a channel with an object for each number of rows; x counts the rows from `start` on."""
    made = Channel("train", Paths(root), distribution=distribution)
    made.path.mkdir(parents=True)
    for position, count in enumerate(rows):
        lines = [f"{start + row},{row % 2}\n" for row in range(count)]
        (made.path / f"part-{position:05}").write_text("".join(lines))
        start += count
    return start


@given(layouts, layouts, st.sampled_from(Distribution), st.integers(0, 30), st.integers(1, 5))
def test_what_is_left_over_goes_on_once(
    before: tuple[int, int], after: tuple[int, int], distribution: Distribution, rows: int, batch: int
) -> None:
    if distribution is Distribution.SHARDED_BY_S3_KEY:
        after = (before[0], after[1])
    past = Segment(*before, 1, 0)
    taken: list[tuple[int, int]] = []
    for rank in range(after[0] * after[1]):
        now = World(after[0], rank // after[1], after[1], rank % after[1])
        for share in inherited(past, now, distribution):
            if distribution is Distribution.SHARDED_BY_S3_KEY:
                assert share.of.host_rank == now.host_rank
            left = pl.DataFrame({"row": list(range(rows))}, {"row": pl.Int64})
            for part in part_of(rebatched(iter([left]), batch), share, batch):
                taken += [(share.of.rank, row) for row in part["row"]]

    assert sorted(taken) == [(rank, row) for rank in range(before[0] * before[1]) for row in range(rows)]


class _Numbers(IterableDataset[int]):
    """Worker w yields its own numbers, as many as are asked of it."""

    def __init__(self, counts: list[int]) -> None:
        super().__init__()
        self.counts = counts

    def __iter__(self) -> Iterator[int]:
        worker = get_worker_info()
        assert worker is not None
        yield from range(worker.id * 1000, worker.id * 1000 + self.counts[worker.id])


@pytest.mark.parametrize("counts", [[3, 3], [5, 1], [0, 4]])
def test_loaders_take_turns_as_torchs_do(counts: list[int]) -> None:
    loader = DataLoader(
        _Numbers(counts), batch_size=None, num_workers=len(counts), multiprocessing_context="forkserver"
    )
    mine = in_turn(
        [iter([pl.DataFrame({"x": [w * 1000 + i]}) for i in range(count)]) for w, count in enumerate(counts)]
    )

    assert [table["x"][0] for table in mine] == list(loader)


@pytest.mark.parametrize("workers", [(0, 2), (2, 0), (2, 1)])
@pytest.mark.parametrize("stop", [1, 7])
def test_another_number_of_workers(tmp_path: Path, workers: tuple[int, int], stop: int) -> None:
    channel(tmp_path, [40, 33, 30], Distribution.FULLY_REPLICATED)
    source = Channel("train", Paths(tmp_path))

    def dataset(count: int) -> ChannelDataset:
        return ChannelDataset(source, SCHEMA, World(), batch_size=8, shuffle=True, shuffle_rows=30, workers=count)

    first, second = dataset(workers[0]), dataset(workers[1])
    head = [x for batch in islice(first, stop) for x in batch.numeric[:, 0].tolist()]
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    tail = [x for batch in second for x in batch.numeric[:, 0].tolist()]

    assert sorted(head + tail) == list(range(103))
    second.set_epoch(1)
    assert sum(batch.rows for batch in second) == 103


@pytest.mark.parametrize(
    "chain",
    [
        [(1, 2, 0), (1, 2, 0)],
        [(2, 2, 0), (1, 1, 0)],
        [(1, 1, 0), (5, 1, 0)],
        [(1, 3, 0), (2, 2, 0), (1, 2, 0)],
        [(1, 2, 0), (1, 4, 2)],
        [(5, 4, 0), (3, 4, 0), (4, 3, 0)],
    ],
    ids=str,
)
def test_killed_ranks_of_one_layout_are_followed_by_another(tmp_path: Path, chain: list[tuple[int, int, int]]) -> None:
    total = channel(tmp_path, [90, 1, 57, 0, 52, 200], Distribution.FULLY_REPLICATED)
    rows: list[int] = []
    state: dict[str, Any] | None = None
    for position, (hosts, ranks, workers) in enumerate(chain):
        stop = 0 if position == len(chain) - 1 else 3
        roots = [str(tmp_path)] * hosts
        seen = run(Layout(roots, "FullyReplicated", ranks, workers, state=state, stop=stop))
        assert {len(each.batches) for each in seen} == ({stop} if stop else {len(seen[0].batches)})
        rows += [row for each in seen for row in each.rows]
        state = seen[0].state

    assert sorted(rows) == list(range(total))


@pytest.mark.parametrize("before", [2, 3])
def test_sharded_hosts_go_on_with_other_ranks(tmp_path: Path, before: int) -> None:
    sharded = Distribution.SHARDED_BY_S3_KEY
    roots = [str(tmp_path / name) for name in "abcd"]
    total = 0
    for root, rows in zip(roots, ([60, 41], [12], [], [9, 9, 9]), strict=True):
        total = channel(Path(root), list(rows), sharded, total)

    head = run(Layout(roots, sharded, before, stop=4))
    tail = run(Layout(roots, sharded, 5 - before, state=head[0].state))

    assert sorted(row for each in head + tail for row in each.rows) == list(range(total))


def test_sharded_objects_do_not_move_to_other_hosts(tmp_path: Path) -> None:
    sharded = Distribution.SHARDED_BY_S3_KEY
    channel(tmp_path, [8], sharded)
    source = Channel("train", Paths(tmp_path), distribution=sharded)
    state = ChannelDataset(source, SCHEMA, World(hosts=2), batch_size=2).state_dict()

    with pytest.raises(DataStateError, match=r"lie on 1 host\(s\), those of the position on 2"):
        ChannelDataset(source, SCHEMA, World(), batch_size=2).load_state_dict(state)


def test_what_is_left_of_a_pipe_stays_with_its_readers(tmp_path: Path) -> None:
    source = Channel("train", Paths(tmp_path), input_mode=InputMode.PIPE)
    state = ChannelDataset(source, SCHEMA, World(ranks_per_host=2), batch_size=2).state_dict()

    with pytest.raises(DataStateError, match="another number of hosts or ranks"):
        ChannelDataset(source, SCHEMA, World(), batch_size=2).load_state_dict(state)


def test_a_position_in_another_order_is_refused(tmp_path: Path) -> None:
    channel(tmp_path, [8], Distribution.FULLY_REPLICATED)
    source = Channel("train", Paths(tmp_path))
    state = ChannelDataset(source, SCHEMA, World(), batch_size=2, shuffle=True).state_dict()

    with pytest.raises(DataStateError, match="shuffling"):
        ChannelDataset(source, SCHEMA, World(), batch_size=2).load_state_dict(state)
