"""The dataset: each row exactly once per epoch, equal steps on every rank, the same order for the same seed."""

import json
import os
import threading
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from torch.utils.data import DataLoader

from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.contract.channel import Channel, Distribution, InputMode
from cleanroom_algo.contract.paths import Paths
from cleanroom_algo.data.batch import Batch
from cleanroom_algo.data.dataset import ChannelDataset
from cleanroom_algo.data.world import World
from cleanroom_algo.errors import DataStateError, RowMismatchError
from tests.data.ranks import Layout, run

SCHEMA = Schema.of(target="y", x="float32", y="float32")


def channel(root: Path, rows: list[int], distribution: Distribution = Distribution.FULLY_REPLICATED) -> Channel:
    """Write a channel with an object for each number of rows; x counts the rows."""
    made = Channel("train", Paths(root), distribution=distribution)
    made.path.mkdir(parents=True)
    number = 0
    for position, count in enumerate(rows):
        lines = [f"{number + i},{(number + i) % 2}\n" for i in range(count)]
        (made.path / f"part-{position:05}").write_text("".join(lines))
        number += count
    return made


def xs(dataset: ChannelDataset) -> list[int]:
    return [int(x) for batch in dataset for x in batch.numeric[:, 0].tolist()]


def test_alone_it_yields_every_row_in_order(tmp_path: Path) -> None:
    dataset = ChannelDataset(channel(tmp_path, [5, 0, 7, 1]), SCHEMA, World(), batch_size=4)

    batches = list(dataset)

    assert [batch.rows for batch in batches] == [4, 4, 4, 1]
    assert [int(x) for batch in batches for x in batch.numeric[:, 0]] == list(range(13))
    assert batches[0].target is not None
    assert batches[0].target.tolist() == [0.0, 1.0, 0.0, 1.0]
    assert (dataset.rows, dataset.steps) == (13, 4)


def test_shuffling_is_a_permutation_that_depends_on_seed_and_epoch_only(tmp_path: Path) -> None:
    source = channel(tmp_path, [50, 50])

    def order(seed: int, epoch: int) -> list[int]:
        dataset = ChannelDataset(source, SCHEMA, World(), batch_size=8, shuffle=True, seed=seed, shuffle_rows=30)
        dataset.set_epoch(epoch)
        return xs(dataset)

    assert sorted(order(1, 0)) == list(range(100))
    assert order(1, 0) == order(1, 0)
    assert len({tuple(order(seed, epoch)) for seed in (1, 2) for epoch in (0, 1)}) == 4


@pytest.mark.parametrize("stop", [0, 1, 5, 12, 13])
def test_a_resumed_epoch_repeats_no_row_and_misses_none(tmp_path: Path, stop: int) -> None:
    source = channel(tmp_path, [40, 60])

    def dataset() -> ChannelDataset:
        return ChannelDataset(source, SCHEMA, World(), batch_size=8, shuffle=True, seed=3, shuffle_rows=30)

    whole = [batch.numeric[:, 0].tolist() for batch in dataset()]
    first = dataset()
    head = [batch.numeric[:, 0].tolist() for batch in islice(first, stop)]
    second = dataset()
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))

    assert head + [batch.numeric[:, 0].tolist() for batch in second] == whole


def test_a_position_of_another_run_is_refused(tmp_path: Path) -> None:
    source = channel(tmp_path, [4])
    state = ChannelDataset(source, SCHEMA, World(), batch_size=2, seed=1).state_dict()

    with pytest.raises(DataStateError):
        ChannelDataset(source, SCHEMA, World(), batch_size=2, seed=2).load_state_dict(state)


def test_loader_processes_read_every_row_once(tmp_path: Path) -> None:
    dataset = ChannelDataset(channel(tmp_path, [30, 50, 3]), SCHEMA, World(), batch_size=8, workers=2)

    assert sorted(xs(dataset)) == list(range(83))
    assert dataset.rows == 83


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


@pytest.mark.parametrize(("hosts", "ranks"), [(1, 4), (2, 2), (5, 4)])
def test_replicated_rows_are_seen_once_over_all_ranks(tmp_path: Path, hosts: int, ranks: int) -> None:
    channel(tmp_path, [1, 100, 7])

    seen = run(Layout([str(tmp_path)] * hosts, "FullyReplicated", ranks))

    assert sorted(row for each in seen for row in each.rows) == list(range(108))
    assert len({len(each.batches) for each in seen}) == 1


@pytest.mark.parametrize("ranks", [1, 2])
def test_an_object_that_vanished_before_some_ranks_looked_ends_all_of_them(tmp_path: Path, ranks: int) -> None:
    roots = [tmp_path / name for name in "ab"]
    for root in roots:
        channel(root, [8, 8, 8])
    (roots[1] / "input/data/train/part-00001").unlink()

    with pytest.raises(AssertionError, match="listed different objects") as caught:
        run(Layout([str(root) for root in roots], "FullyReplicated", ranks))

    assert str(caught.value).count("CR-DAT-005") >= 2 * ranks
    assert f"rank {ranks}: 2 object(s)" in str(caught.value)


@pytest.mark.parametrize("ranks", [1, 3])
def test_ranks_with_a_long_way_to_go_agree_from_time_to_time(tmp_path: Path, ranks: int) -> None:
    """Some ranks run out in the middle of a window, others after many of them."""
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
    assert "_loader_rows" not in vars(dataset)


def test_iterating_again_begins_anew_and_after_a_resume_too(tmp_path: Path) -> None:
    dataset = ChannelDataset(channel(tmp_path, [10]), SCHEMA, World(), batch_size=4)

    assert xs(dataset) == xs(dataset) == list(range(10))
    dataset.load_state_dict(dataset.after(1))
    assert xs(dataset) == list(range(4, 10))
    assert xs(dataset) == list(range(10))


def test_pipes_are_taken_one_after_another_whatever_the_epoch(tmp_path: Path) -> None:
    source = Channel("train", Paths(tmp_path), InputMode.PIPE)
    source.fifo(0).parent.mkdir(parents=True)
    for number in range(3):
        os.mkfifo(source.fifo(number))
    feeder = threading.Thread(
        target=lambda: [source.fifo(number).write_text(f"{number},1\n") for number in range(3)], daemon=True
    )
    feeder.start()
    dataset = ChannelDataset(source, SCHEMA, World(), batch_size=4, pipe_timeout=30)

    assert xs(dataset) == [0]
    assert xs(dataset) == [1]
    resumed = ChannelDataset(source, SCHEMA, World(), batch_size=4, pipe_timeout=30, first_pipe=2)
    resumed.load_state_dict(dataset.state_dict() | {"epoch": 7, "segments": [[1, 1, 1, 0]]})
    assert (xs(resumed), resumed.epoch) == ([2], 7)
    feeder.join(30)


@pytest.mark.filterwarnings("ignore")  # of torchdata, about torch
@pytest.mark.parametrize("workers", [0, 2])
def test_it_is_a_source_for_a_stateful_data_loader(tmp_path: Path, workers: int) -> None:
    from torchdata.stateful_dataloader import StatefulDataLoader  # type: ignore[import-untyped]

    dataset = ChannelDataset(channel(tmp_path, [30, 50, 3]), SCHEMA, World(), batch_size=8, shuffle=True)

    def loader() -> Any:
        options = {"multiprocessing_context": "forkserver"} if workers else {}
        return StatefulDataLoader(dataset, batch_size=None, num_workers=workers, **options)

    def rows(batches: Iterable[Batch]) -> list[int]:
        return [int(x) for batch in batches for x in batch.numeric[:, 0]]

    first = loader()
    iterator = iter(first)
    head = rows(next(iterator) for _ in range(5))
    state = json.loads(json.dumps(first.state_dict())) if not workers else first.state_dict()
    second = loader()
    second.load_state_dict(state)

    assert sorted(head + rows(second)) == list(range(83))
    assert sorted(rows(loader())) == list(range(83))


def test_processes_of_somebody_elses_loader_are_refused_where_ranks_must_agree(tmp_path: Path) -> None:
    dataset = ChannelDataset(channel(tmp_path, [8]), SCHEMA, World(ranks_per_host=2), batch_size=2)
    loader = DataLoader(dataset, batch_size=None, num_workers=1, multiprocessing_context="forkserver")

    with pytest.raises(RuntimeError, match="ForeignLoaderError: CR-DAT-004"):  # torch's own words around ours
        next(iter(loader))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # of Python 3.12
def test_forked_loader_processes_are_refused_in_place_of_hanging(tmp_path: Path) -> None:
    dataset = ChannelDataset(channel(tmp_path, [8]), SCHEMA, World(), batch_size=2)
    loader = DataLoader(dataset, batch_size=None, num_workers=1, multiprocessing_context="fork")

    with pytest.raises(RuntimeError, match="forkserver"):
        next(iter(loader))


def test_a_fault_in_a_loader_process_keeps_its_code_and_place(tmp_path: Path) -> None:
    source = channel(tmp_path, [30, 50])
    with (source.path / "part-00001").open("a") as file:
        file.write("abc,1\n")

    with pytest.raises(RowMismatchError) as caught:
        list(ChannelDataset(source, SCHEMA, World(), batch_size=8, workers=2))

    assert [problem.path for problem in caught.value.problems] == ["train/part-00001:51:x"]


def test_objects_that_are_not_shared_are_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = channel(tmp_path, [3] * 40)
    dataset = ChannelDataset(source, SCHEMA, World(ranks_per_host=4, local_rank=1), batch_size=4)
    opened: list[str] = []
    real = Path.open

    def recorded(path: Path, *words: Any, **more: Any) -> Any:
        opened.append(path.name)
        return real(path, *words, **more)

    monkeypatch.setattr(Path, "open", recorded)

    batches = list(dataset._own(0))  # without the other ranks

    assert sum(batch.rows for batch in batches) == 3 * len(opened)
    assert len(opened) in range(9, 12)
    assert opened == [f"part-{int(opened[0][-5:]) + place:05}" for place in range(len(opened))]
