"""The dataset: each row exactly once per epoch, equal steps on every rank, the same order for the same seed."""

import os
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cleanroom_algo.contract.channel import Channel, Distribution, InputMode
from cleanroom_algo.contract.paths import Paths
from cleanroom_algo.data.dataset import ChannelDataset
from cleanroom_algo.data.row_counts import PipesRead
from cleanroom_algo.data.world import World
from cleanroom_algo.errors import PipeInUseError
from tests.data.ranks import Layout, run
from tests.data.support import SCHEMA, channel, feed, xs


def test_alone_it_yields_every_row_in_order(tmp_path: Path) -> None:
    dataset = ChannelDataset(channel(tmp_path, [5, 0, 7, 1]), SCHEMA, World(), batch_size=4)

    batches = list(dataset)

    assert [batch.rows for batch in batches] == [4, 4, 4, 1]
    assert [int(x) for batch in batches for x in batch.numeric[:, 0]] == list(range(13))
    assert batches[0].target is not None
    assert batches[0].target.tolist() == [0.0, 1.0, 0.0, 1.0]
    assert (dataset.rows, dataset.steps) == (13, 4)


@pytest.mark.parametrize("workers", [0, 2])
def test_last_batches_that_are_smaller_can_be_left_out(tmp_path: Path, workers: int) -> None:
    source = channel(tmp_path, [5, 9, 7])

    dataset = ChannelDataset(source, SCHEMA, World(), batch_size=4, shuffle=True, drop_last=True, workers=workers)

    sizes = [batch.rows for batch in dataset]
    assert set(sizes) == {4}
    assert len(sizes) == dataset.steps == sum(rows // 4 for rows in dataset.loader_rows or [])


def test_shuffling_is_a_permutation_that_depends_on_seed_and_epoch_only(tmp_path: Path) -> None:
    source = channel(tmp_path, [50, 50])

    def order(seed: int, epoch: int) -> list[int]:
        dataset = ChannelDataset(source, SCHEMA, World(), batch_size=8, shuffle=True, seed=seed, shuffle_rows=30)
        dataset.set_epoch(epoch)
        return xs(dataset)

    assert sorted(order(1, 0)) == list(range(100))
    assert order(1, 0) == order(1, 0)
    assert len({tuple(order(seed, epoch)) for seed in (1, 2) for epoch in (0, 1)}) == 4


@pytest.mark.parametrize("uneven", ["weight", "drop", "pad"])
def test_uneven_shards_take_equal_steps(tmp_path: Path, uneven: str) -> None:
    # Host 1 holds a tenth of host 0's rows, host 2 none at all.
    sharded = Distribution.SHARDED_BY_S3_KEY
    roots = [tmp_path / f"host-{number}" for number in range(3)]
    for root, rows in zip(roots, ([40], [4], []), strict=True):
        channel(root, list(rows), sharded)

    seen = run(Layout([str(root) for root in roots], sharded, uneven=uneven, counted=True))

    steps = {"weight": 10, "drop": 0, "pad": 10}[uneven]
    assert [len(each.batches) for each in seen] == [steps] * 3
    assert {each.steps for each in seen} == {steps}
    if uneven == "weight":
        assert [len(each.rows) for each in seen] == [40, 4, 0]
    if uneven == "pad":
        assert Counter(seen[1].rows) == dict.fromkeys(range(4), 10)


@pytest.mark.parametrize(("hosts", "ranks"), [(1, 3), (3, 2)])
def test_replicated_rows_are_seen_once_over_all_ranks(tmp_path: Path, hosts: int, ranks: int) -> None:
    channel(tmp_path, [1, 100, 7])

    seen = run(Layout([str(tmp_path)] * hosts, "FullyReplicated", ranks))

    assert sorted(row for each in seen for row in each.rows) == list(range(108))
    assert len({len(each.batches) for each in seen}) == 1


def test_an_object_that_vanished_before_some_ranks_looked_ends_all_of_them(tmp_path: Path) -> None:
    ranks = 2
    roots = [tmp_path / name for name in "ab"]
    for root in roots:
        channel(root, [8, 8, 8])
    (roots[1] / "input/data/train/part-00001").unlink()

    with pytest.raises(AssertionError, match="listed different objects") as caught:
        run(Layout([str(root) for root in roots], "FullyReplicated", ranks))

    assert str(caught.value).count("CR-DAT-005") >= 2 * ranks
    assert f"rank {ranks}: 2 object(s)" in str(caught.value)


def test_ranks_with_a_long_way_to_go_agree_from_time_to_time(tmp_path: Path) -> None:
    """Some ranks run out in the middle of a window, others after many of them."""
    ranks = 2
    sharded = Distribution.SHARDED_BY_S3_KEY
    roots = [tmp_path / name for name in "ab"]
    channel(roots[0], [4 * 150 * ranks], sharded)
    channel(roots[1], [4 * 70 * ranks], sharded)

    seen = run(Layout([str(root) for root in roots], sharded, ranks))

    assert len({len(each.batches) for each in seen}) == 1
    assert 150 <= len(seen[0].batches) <= 170  # shares differ by up to an eighth
    assert sum(len(each.rows) for each in seen) == 4 * 220 * ranks


def test_the_first_batch_does_not_wait_for_the_rows_to_be_counted(tmp_path: Path) -> None:
    source = channel(tmp_path, [20, 20])
    with (source.path / "part-00001").open("a") as file:
        file.write("not a number at all,1\n")
    dataset = ChannelDataset(source, SCHEMA, World(), batch_size=4)

    assert next(iter(dataset)).rows == 4
    assert "loader_rows" not in vars(dataset)


def test_iterating_again_begins_anew(tmp_path: Path) -> None:
    dataset = ChannelDataset(channel(tmp_path, [10]), SCHEMA, World(), batch_size=4)

    assert xs(dataset) == xs(dataset) == list(range(10))


def test_pipes_are_taken_one_after_another_whatever_the_epoch(tmp_path: Path) -> None:
    source = Channel("train", Paths(tmp_path), InputMode.PIPE)
    source.fifo(0).parent.mkdir(parents=True)
    for number in range(3):
        os.mkfifo(source.fifo(number))
    feeder = threading.Thread(
        target=lambda: [source.fifo(number).write_text(f"{number},1\n") for number in range(3)], daemon=True
    )
    feeder.start()
    pipes = PipesRead()
    first, second = (
        ChannelDataset(source, SCHEMA, World(), batch_size=4, pipe_timeout=30, pipes=pipes) for _ in range(2)
    )

    assert xs(first) == [0]
    second.set_epoch(7)
    assert xs(second) == [1]
    assert xs(first) == [2]
    feeder.join(30)


def test_a_second_iteration_of_a_pipe_is_refused_while_the_first_is_open(tmp_path: Path) -> None:
    source = Channel("train", Paths(tmp_path), InputMode.PIPE)
    source.fifo(0).parent.mkdir(parents=True)
    for number in range(2):
        os.mkfifo(source.fifo(number))

    def run() -> None:
        for number in range(2):
            feed(source.fifo(number), "7,1\n" * 200_000)

    feeder = threading.Thread(target=run)
    feeder.start()
    dataset = ChannelDataset(source, SCHEMA, World(), batch_size=4, pipe_timeout=60)

    first = iter(dataset)
    next(first)
    with pytest.raises(PipeInUseError, match="while the one before"):
        next(iter(dataset))
    assert xs([next(first)]) == [7] * 4  # it lost nothing
    del first
    assert len(xs(dataset)) == 200_000  # of the second pipe, whole
    feeder.join(30)


def test_objects_that_are_not_shared_are_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = channel(tmp_path, [3] * 40)
    dataset = ChannelDataset(source, SCHEMA, World(ranks_per_host=4, local_rank=1), batch_size=4)
    opened: list[str] = []
    real = Path.open

    def recorded(path: Path, *words: Any, **more: Any) -> Any:
        opened.append(path.name)
        return real(path, *words, **more)

    monkeypatch.setattr(Path, "open", recorded)

    batches = list(dataset._own())  # without the other ranks

    assert sum(batch.rows for batch in batches) == 3 * len(opened)
    assert len(opened) in range(9, 12)
    assert opened == [f"part-{int(opened[0][-5:]) + place:05}" for place in range(len(opened))]
