"""Loader processes, a rank's own and those of somebody else's DataLoader: each row once, and none outlives its rank."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from torch.utils.data import DataLoader

from cleanroom_algo.data.dataset import ChannelDataset
from cleanroom_algo.data.world import World
from cleanroom_algo.errors import LoaderLostError, RowMismatchError
from tests.data.support import SCHEMA, channel, xs

READER = """
import sys
from pathlib import Path
from torch.utils.data import DataLoader
from cleanroom_algo import ChannelDataset, World
from cleanroom_algo.contract.channel import Channel
from cleanroom_algo.contract.paths import Paths
from tests.data.support import SCHEMA

if __name__ == "__main__":
    source = Channel("train", Paths(Path(sys.argv[1])))
    own = iter(ChannelDataset(source, SCHEMA, World(), batch_size=1, workers=1))
    batches = ChannelDataset(source, SCHEMA, World(), batch_size=1)
    foreign = iter(DataLoader(batches, batch_size=None, num_workers=1, multiprocessing_context="forkserver"))
    next(own), next(foreign)
    print("reading", flush=True)
    sys.stdin.read()
"""


def test_loader_processes_read_every_row_once(tmp_path: Path) -> None:
    dataset = ChannelDataset(channel(tmp_path, [30, 50, 3]), SCHEMA, World(), batch_size=8, workers=2)

    assert sorted(xs(dataset)) == list(range(83))
    assert dataset.rows == 83


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


def test_workers_that_stay_hear_of_the_next_epoch(tmp_path: Path) -> None:
    source = channel(tmp_path, [30, 50, 3])
    own = ChannelDataset(source, SCHEMA, World(), batch_size=8, shuffle=True, workers=1)
    dataset = ChannelDataset(source, SCHEMA, World(), batch_size=8, shuffle=True)
    loader = DataLoader(
        dataset, batch_size=None, num_workers=1, multiprocessing_context="forkserver", persistent_workers=True
    )
    orders = []
    for epoch in (0, 1, 2):
        own.set_epoch(epoch)
        dataset.set_epoch(epoch)
        orders.append(xs(loader))
        assert orders[-1] == xs(own)

    assert sorted(orders[2]) == list(range(83))
    assert len({tuple(order) for order in orders}) == 3


def test_no_loader_process_outlives_a_rank_that_is_killed(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    channel(tmp_path, [500])
    temporary = tmp_path_factory.mktemp("t")  # a short name: it holds a socket, whose path has 107 bytes at most
    script = tmp_path / "reader.py"
    script.write_text(READER)
    command = [sys.executable, str(script), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "TMPDIR": str(temporary)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"reading\n"
        processes = psutil.Process(reader.pid).children(recursive=True)
        reader.kill()

    assert len(processes) >= 3  # the fork server, and a loader process of each
    assert not psutil.wait_procs(processes, timeout=30)[1]


def test_a_loader_process_that_is_killed_is_told(tmp_path: Path) -> None:
    dataset = ChannelDataset(channel(tmp_path, [500]), SCHEMA, World(), batch_size=1, workers=1)
    iterator = iter(dataset)
    next(iterator)
    for child in psutil.Process().children():
        if "forkserver" in " ".join(child.cmdline()):
            for loader in child.children():
                loader.kill()

    with pytest.raises(LoaderLostError, match="one of 1 of this rank, ended before the epoch did"):
        list(iterator)
