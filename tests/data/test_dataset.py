"""The dataset: each row exactly once per epoch, equal steps on every rank, the same order for the same seed."""

import json
import os
import subprocess
import sys
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.contract.channel import Channel, Distribution
from cleanroom_algo.contract.paths import Paths
from cleanroom_algo.data.dataset import ChannelDataset
from cleanroom_algo.data.world import World
from cleanroom_algo.errors import DataStateError

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


RANK = """
import json, sys
import faulthandler
faulthandler.dump_traceback_later(60, exit=True)
import torch.distributed as dist
from pathlib import Path
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.contract.channel import Channel, Distribution
from cleanroom_algo.contract.paths import Paths
from cleanroom_algo.data.dataset import ChannelDataset
from cleanroom_algo.data.world import World

roots, distribution, uneven, hosts, ranks, rank = json.loads(sys.argv[1])
dist.init_process_group("gloo", init_method="file://" + sys.argv[2], rank=rank, world_size=hosts * ranks)
world = World(hosts, rank // ranks, ranks, rank % ranks)
channel = Channel("train", Paths(Path(roots[world.host_rank])), distribution=Distribution(distribution))
dataset = ChannelDataset(channel, Schema.of(target="y", x="float32", y="float32"), world, batch_size=4,
                         uneven=uneven, shuffle=True)
batches = [[int(x) for x in batch.numeric[:, 0]] for batch in dataset]
print(json.dumps([dataset.steps, batches]))
dist.destroy_process_group()
"""


def run_ranks(
    tmp_path: Path, roots: list[Path], distribution: Distribution, uneven: str, ranks: int
) -> list[tuple[int, list[list[int]]]]:
    """Run real gloo ranks and return what each saw: its steps and the rows of its batches."""
    hosts = len(roots)
    environ = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                RANK,
                json.dumps([[str(root) for root in roots], distribution, uneven, hosts, ranks, rank]),
                str(tmp_path / "store"),
            ],
            stdout=subprocess.PIPE,
            env=environ,
            text=True,
        )
        for rank in range(hosts * ranks)
    ]
    try:
        outputs = [process.communicate(timeout=120)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * len(processes)
    return [tuple(json.loads(output)) for output in outputs]


@pytest.mark.parametrize("uneven", ["weight", "drop", "pad"])
def test_uneven_shards_take_equal_steps(tmp_path: Path, uneven: str) -> None:
    # Host 1 holds a tenth of host 0's rows, host 2 none at all.
    sharded = Distribution.SHARDED_BY_S3_KEY
    roots = [tmp_path / f"host-{number}" for number in range(3)]
    for root, rows in zip(roots, ([40], [4], []), strict=True):
        channel(root, list(rows), sharded)

    seen = run_ranks(tmp_path, roots, sharded, uneven, ranks=1)

    steps = {"weight": 10, "drop": 0, "pad": 10}[uneven]
    assert [len(batches) for _, batches in seen] == [steps] * 3
    assert {given for given, _ in seen} == {steps}
    if uneven == "weight":
        assert [sum(map(len, batches)) for _, batches in seen] == [40, 4, 0]
    if uneven == "pad":
        assert Counter(row for batch in seen[1][1] for row in batch) == dict.fromkeys(range(4), 10)


@pytest.mark.parametrize(("hosts", "ranks"), [(1, 4), (2, 2)])
def test_replicated_rows_are_seen_once_over_all_ranks(tmp_path: Path, hosts: int, ranks: int) -> None:
    channel(tmp_path / "data", [1, 100, 7])

    seen = run_ranks(tmp_path, [tmp_path / "data"] * hosts, Distribution.FULLY_REPLICATED, "weight", ranks)

    assert sorted(row for _, batches in seen for batch in batches for row in batch) == list(range(108))
    assert len({len(batches) for _, batches in seen}) == 1
