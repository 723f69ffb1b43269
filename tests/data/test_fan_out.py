"""One pipe, several ranks: every row once, nobody waits for ever, and the first error is the true one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleanroom_algo.contract.channel import Channel, Distribution, InputMode
from cleanroom_algo.contract.paths import Paths
from cleanroom_algo.data.plan import readers_of
from cleanroom_algo.data.tables import deal, rebatched
from cleanroom_algo.data.world import World

RANK = """
import faulthandler, json, os, sys
faulthandler.dump_traceback_later(90, exit=True)
from itertools import islice
from pathlib import Path
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.contract.channel import Channel, Distribution, InputMode
from cleanroom_algo.contract.paths import Paths
from cleanroom_algo.data.fan_out import Stream, read_share
from cleanroom_algo.data.world import World
from cleanroom_algo.errors import CleanroomError

root, distribution, hosts, ranks, rank, wanted, rows = json.loads(sys.argv[1])
channel = Channel("train", Paths(Path(root)), input_mode=InputMode.PIPE, distribution=Distribution(distribution))
stream = Stream(channel, Schema.of(target="y", x="int64", y="float32"), 0, timeout=30)
tables = read_share(stream, World(hosts, rank // ranks, ranks, rank % ranks), rows=rows)
seen = []
try:
    for table in islice(tables, wanted):
        seen += table["x"].to_list()
        print("some", flush=True)
    tables.close()
    print(json.dumps(seen))
except CleanroomError as error:
    print(error.code)
"""


def pipe_of(root: Path) -> Path:
    fifo = Channel("train", Paths(root), input_mode=InputMode.PIPE).fifo(0)
    fifo.parent.mkdir(parents=True)
    os.mkfifo(fifo)
    return fifo


class Feeder(threading.Thread):
    """Writes text into a pipe, repeatedly if asked, until it is done or nobody reads."""

    def __init__(self, fifo: Path, text: str, times: int = 1) -> None:
        super().__init__(daemon=True)
        self.fifo, self.text, self.times = fifo, text, times
        self.refused = False
        self.start()

    def run(self) -> None:
        try:
            with self.fifo.open("wb", buffering=0) as pipe:
                for _ in range(self.times):
                    pipe.write(self.text.encode())
        except BrokenPipeError:
            self.refused = True


@contextmanager
def ranks_on(
    root: Path,
    *,
    ranks: int,
    hosts: int = 1,
    host: int = 0,
    distribution: str = "ShardedByS3Key",
    wanted: tuple[int | None, ...] = (None,) * 8,
    rows: int = 8,
) -> Iterator[list[subprocess.Popen[str]]]:
    """Start the ranks of one host; whatever becomes of them, they leave nothing behind."""
    started = []
    temporary = root / "tmp"
    temporary.mkdir()
    for local in range(ranks):
        words = json.dumps([str(root), distribution, hosts, ranks, host * ranks + local, wanted[local], rows])
        command = [sys.executable, "-c", RANK, words]
        environment = {**os.environ, "TMPDIR": str(temporary)}
        started.append(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        )
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            for stream in (process.stdout, process.stderr):
                assert stream is not None
                stream.close()
            process.wait()
        assert not list(temporary.iterdir())


def answer(process: subprocess.Popen[str]) -> str:
    """Return a rank's last line; an error where it was the watchdog that ended it."""
    out, err = process.communicate(timeout=120)
    assert "Timeout (" not in err, err
    return out.strip().rpartition("\n")[2]


def lines(count: int, start: int = 0) -> str:
    return "".join(f"{number},{number % 2}\n" for number in range(start, start + count))


@given(
    st.lists(st.integers(0, 40), max_size=12),
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(1, 9),
    st.sampled_from(Distribution),
)
def test_every_row_goes_to_one_rank_and_shares_are_even(
    heights: list[int], hosts: int, ranks: int, rows: int, distribution: Distribution
) -> None:
    total = sum(heights)
    numbers = iter(range(total))
    schema = {"x": pl.Int64}
    tables = [pl.DataFrame({"x": [next(numbers) for _ in range(height)]}, schema) for height in heights]
    got: dict[tuple[int, int], list[int]] = {}
    for host in range(hosts):
        shares = [readers_of(World(hosts, host, ranks, local), distribution) for local in range(ranks)]
        for local, share in enumerate(shares):
            mine = got.setdefault((host, local), [])
            for table in rebatched(iter(tables), share.count * rows):
                mine += list(deal(table, share.count))[share.index]["x"].to_list()

    for host in range(hosts) if distribution is Distribution.SHARDED_BY_S3_KEY else [0]:
        own = [rows for (at, _), rows in got.items() if distribution is Distribution.FULLY_REPLICATED or at == host]
        assert sorted(number for each in own for number in each) == list(range(total))
        assert max(map(len, own)) - min(map(len, own)) <= 1


def test_the_ranks_of_a_host_share_its_pipe(tmp_path: Path) -> None:
    Feeder(pipe_of(tmp_path), lines(1003))
    with ranks_on(tmp_path, ranks=3) as started:
        shares = [json.loads(answer(process)) for process in started]

    assert sorted(number for share in shares for number in share) == list(range(1003))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_all_ranks_of_all_hosts_share_a_replicated_pipe(tmp_path: Path) -> None:
    shares = []
    for host in range(2):
        root = tmp_path / str(host)
        Feeder(pipe_of(root), lines(500))
        with ranks_on(root, ranks=2, hosts=2, host=host, distribution="FullyReplicated") as started:
            shares += [json.loads(answer(process)) for process in started]

    assert sorted(number for share in shares for number in share) == list(range(500))
    assert [len(share) for share in shares] == [125] * 4


def test_a_rank_that_wants_no_more_does_not_stop_the_others(tmp_path: Path) -> None:
    Feeder(pipe_of(tmp_path), lines(100_000))
    with ranks_on(tmp_path, ranks=3, wanted=(None, 2, None), rows=1000) as started:
        shares = [json.loads(answer(process)) for process in started]

    assert [len(share) for share in shares][1] == 2000
    assert len(shares[0]) == 33_334
    assert len(shares[2]) in {33_333, 33_332}


def test_the_reader_that_wants_no_more_ends_the_epoch_for_all(tmp_path: Path) -> None:
    feeder = Feeder(pipe_of(tmp_path), lines(10_000), times=1000)
    with ranks_on(tmp_path, ranks=2, wanted=(2, None), rows=1000) as started:
        answers = [answer(process) for process in started]
    feeder.join(30)

    assert len(json.loads(answers[0])) == 2000
    assert answers[1] == "CR-DAT-003"
    assert feeder.refused


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_rank_ends_the_others(tmp_path: Path, victim: int) -> None:
    feeder = Feeder(pipe_of(tmp_path), lines(10_000), times=100_000)
    with ranks_on(tmp_path, ranks=3, rows=1000) as started:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "some\n"
        started[victim].send_signal(signal.SIGKILL)
        answers = [answer(process) for process in started if process is not started[victim]]
    feeder.join(30)

    assert answers == ["CR-DAT-003"] * 2
    assert feeder.refused


def test_the_reader_keeps_its_own_error(tmp_path: Path) -> None:
    Feeder(pipe_of(tmp_path), lines(50_000) + "abc,1\n" + lines(50_000))
    with ranks_on(tmp_path, ranks=2, rows=1000) as started:
        answers = [answer(process) for process in started]

    assert answers == ["CR-SCH-002", "CR-DAT-003"]


def test_a_slow_rank_holds_the_writer_back(tmp_path: Path) -> None:
    """With one rank stopped, what has been read is bounded; when it goes on, every row arrives."""
    fifo = pipe_of(tmp_path)
    written = 0
    with ranks_on(tmp_path, ranks=2, rows=100) as started:
        started[1].send_signal(signal.SIGSTOP)
        descriptor = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
        os.set_blocking(descriptor, False)
        stopper = threading.Event()
        block = lines(1000).encode()
        quiet = 0
        while quiet < 20 and written < 1 << 30:  # a second without a byte taken
            try:
                written += os.write(descriptor, block)
                quiet = 0
            except BlockingIOError:
                quiet += 1
                stopper.wait(0.05)
        os.close(descriptor)
        started[1].send_signal(signal.SIGKILL)

    assert 0 < written < 64 << 20


def test_ranks_that_never_come_are_named(tmp_path: Path) -> None:
    from cleanroom_algo.channels.schema import Schema
    from cleanroom_algo.data.fan_out import Stream, read_share
    from cleanroom_algo.errors import PipeReaderLostError

    pipe_of(tmp_path)
    channel = Channel("train", Paths(tmp_path), input_mode=InputMode.PIPE)
    stream = Stream(channel, Schema.of(target="y", x="int64", y="float32"), 0, timeout=0.2)

    with pytest.raises(PipeReaderLostError, match=r"rank\(s\) 1, 2 of this host did not come"):
        next(read_share(stream, World(ranks_per_host=3)))
    with pytest.raises(PipeReaderLostError, match="the first rank of this host did not open"):
        next(read_share(replace(stream, timeout=0.1), World(ranks_per_host=3, local_rank=1)))
