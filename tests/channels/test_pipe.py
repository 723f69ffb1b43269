"""Pipe mode with real named pipes and real writers: processes and threads that come late, die, or never come."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cleanroom_algo.channels.formats import recordio
from cleanroom_algo.channels.modes.pipe import Pipe, read_pipe
from cleanroom_algo.channels.objects import list_objects
from cleanroom_algo.channels.records import read_records
from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.contract.channel import Channel, InputMode
from cleanroom_algo.contract.paths import Paths
from cleanroom_algo.errors import (
    CorruptObjectError,
    NotFilesError,
    PipeInUseError,
    PipeTimeoutError,
    RowMismatchError,
)
from tests.channels.support import squeeze

SCHEMA = Schema.of(a="int64", b="string?", c="float64?")
Feed = Callable[[Channel, int, list[bytes]], None]


@pytest.fixture
def channel(tmp_path: Path) -> Channel:
    paths = Paths(tmp_path)
    paths.data.mkdir(parents=True)
    return Channel("train", paths, InputMode.PIPE)


@pytest.fixture
def feed() -> Iterator[Feed]:
    threads: list[threading.Thread] = []

    def start(channel: Channel, epoch: int, parts: list[bytes]) -> None:
        def run() -> None:
            path = channel.fifo(epoch)
            if not path.exists():
                os.mkfifo(path)
            try:
                with path.open("wb") as file:
                    for part in parts:
                        file.write(part)
            except BrokenPipeError:
                pass

        threads.append(threading.Thread(target=run))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def read_channel(
    channel: Channel, schema: Schema, *, epoch: int, batch_rows: int, timeout: float
) -> Generator[pl.DataFrame]:
    with Pipe(channel, epoch, timeout=timeout) as pipe:
        yield from read_pipe(pipe, schema, batch_rows=batch_rows)


def rows(channel: Channel, epoch: int = 0, schema: Schema = SCHEMA) -> list[tuple[object, ...]]:
    frames = list(read_channel(channel, schema, epoch=epoch, batch_rows=1000, timeout=20))
    return pl.concat([pl.DataFrame(schema=schema.polars_schema()), *frames]).rows()


def parquet(start: int, count: int) -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame({"a": range(start, start + count), "b": ["x"] * count, "c": [0.5] * count}).write_parquet(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "parts",
    [
        [b"1,x,2\n", b"2,y,3\n"],
        [b"a,b,c\n1,x,2\n", b"a,b,c\n2,y,3\n", b"a,b,c\n"],
        [b"c,a,b\r\n2,1,x\r\n", b"c,a,b\r\n3,2,y\r\n"],
        [b"a,b,c\n1,x,2", b"a,b,c\n2,y,3"],
        [b"\xef\xbb\xbfa,b,c\n1,x,2\n", b"\xef\xbb\xbfa,b,c\n2,y,3\n"],
        [b"\xef\xbb\xbfa,b,c\n1,x,2", b"\xef\xbb\xbfa,b,c\n2,y,3"],
        [squeeze(b"a,b,c\n1,x,2\n"), squeeze(b"a,b,c\n2,y,3\n")],
        [b'{"a":1,"b":"x","c":2}\n', b'{"a":2,"b":"y","c":3}\n'],
        [b'{"a":1,"b":"x","c":2}', b'{"a":2,"b":"y","c":3}'],
        [recordio.pack(b"a,b,c\n1,x,2"), recordio.pack(b"a,b,c\n2,y,3")],
    ],
)
def test_joined_objects(channel: Channel, feed: Feed, parts: list[bytes]) -> None:
    feed(channel, 0, parts)
    assert rows(channel) == [(1, "x", 2.0), (2, "y", 3.0)]


def test_joined_parquet(channel: Channel, feed: Feed) -> None:
    feed(channel, 0, [parquet(0, 3000), parquet(3000, 0), parquet(3000, 500)])
    assert [row[0] for row in rows(channel)] == list(range(3500))


def test_epochs_follow_each_other_and_the_next_pipe_may_come_late(channel: Channel, feed: Feed) -> None:
    for epoch in range(3):
        timer = threading.Timer(0.05, feed, (channel, epoch, [b"%d,x,2\n" % epoch]))
        timer.start()
        assert rows(channel, epoch) == [(epoch, "x", 2.0)]
        timer.join()


def test_an_epoch_without_a_byte_has_no_rows(channel: Channel, feed: Feed) -> None:
    feed(channel, 0, [])
    assert rows(channel) == []


def test_many_blocks_stay_in_order_and_headers_far_in_are_dropped(channel: Channel, feed: Feed) -> None:
    part = b"".join(b"%d,some words,0.25\n" % n for n in range(100_000))
    feed(channel, 0, [b"a,b,c\n" + part] * 6)
    frames = list(read_channel(channel, SCHEMA, epoch=0, batch_rows=4096, timeout=20))
    assert pl.concat(frames).get_column("a").to_list() == list(range(100_000)) * 6


def test_rows_are_handed_on_while_the_writer_is_slow(channel: Channel) -> None:
    os.mkfifo(channel.fifo(0))
    go_on = threading.Event()

    def run() -> None:
        with channel.fifo(0).open("wb", buffering=0) as file:
            file.write(b"1,x,2\n" * 1000)
            go_on.wait(20)
            file.write(b"2,x,2\n")

    writer = threading.Thread(target=run)
    writer.start()
    frames = read_channel(channel, SCHEMA, epoch=0, batch_rows=10_000, timeout=20)
    assert next(frames).height == 1000  # although the pipe is neither full nor closed
    go_on.set()
    assert sum(frame.height for frame in frames) == 1
    writer.join(20)


def test_closing_does_not_wait_for_a_silent_writer(channel: Channel) -> None:
    os.mkfifo(channel.fifo(0))
    writer = os.open(channel.fifo(0), os.O_RDWR)
    try:
        os.write(writer, b"1,x,2\n" * 100)
        frames = read_channel(channel, SCHEMA, epoch=0, batch_rows=100, timeout=600)
        assert next(frames).height == 100
        frames.close()
        assert not [thread for thread in threading.enumerate() if thread.name.startswith(("prefetch", "decode"))]
    finally:
        os.close(writer)


def test_cancel_ends_the_data_from_another_thread(channel: Channel) -> None:
    os.mkfifo(channel.fifo(0))
    with Pipe(channel, 0, timeout=600) as pipe:
        timer = threading.Timer(0.05, pipe.cancel)
        timer.start()
        assert list(pipe.chunks()) == []
        timer.join()


def test_two_channels_at_once(tmp_path: Path, feed: Feed) -> None:
    paths = Paths(tmp_path)
    paths.data.mkdir(parents=True)
    channels = [Channel(name, paths, InputMode.PIPE) for name in ("train", "validation")]
    data = b"1,x,2\n" * 500_000
    for channel in channels:
        feed(channel, 0, [data])
    first, second = (read_channel(c, SCHEMA, epoch=0, batch_rows=50_000, timeout=20) for c in channels)
    assert sum(a.height + b.height for a, b in zip(first, second, strict=True)) == 1_000_000


def test_closing_early_ends_the_epoch_for_the_writer(channel: Channel, feed: Feed) -> None:
    feed(channel, 0, [b"1,x,2\n" * 5_000_000])  # the fixture waits for the writer to get EPIPE
    frames = read_channel(channel, SCHEMA, epoch=0, batch_rows=100, timeout=20)
    assert next(frames).height == 100
    frames.close()
    feed(channel, 1, [b"2,y,3\n"])
    assert rows(channel, 1) == [(2, "y", 3.0)]


def test_no_pipe_no_writer_and_a_silent_writer_end_in_an_error(channel: Channel) -> None:
    with pytest.raises(PipeTimeoutError, match="did not appear"):
        Pipe(channel, 0, timeout=0.05)
    os.mkfifo(channel.fifo(0))
    with pytest.raises(PipeTimeoutError, match="has no writer"):
        list(read_channel(channel, SCHEMA, epoch=0, batch_rows=10, timeout=0.05))
    writer = os.open(channel.fifo(0), os.O_RDWR)
    try:
        os.write(writer, b"1,x,2\n")
        with pytest.raises(PipeTimeoutError, match="went silent"):
            list(read_channel(channel, SCHEMA, epoch=0, batch_rows=10, timeout=0.05))
    finally:
        os.close(writer)


def test_a_pipe_that_is_over_is_not_waited_for(channel: Channel) -> None:
    """The platform has gone on: somebody else in this container has read it."""
    os.mkfifo(channel.fifo(3))

    with pytest.raises(PipeTimeoutError, match="train_2 is over: there is a later one"):
        Pipe(channel, 2, timeout=600)

    os.mkfifo(Channel("train_4", channel.paths, InputMode.PIPE).fifo(0))  # of another channel
    with pytest.raises(PipeTimeoutError, match="did not appear"):
        Pipe(channel, 4, timeout=0.05)


@pytest.mark.process
def test_a_second_reader_is_refused_in_this_process_and_in_others(channel: Channel, feed: Feed) -> None:
    feed(channel, 0, [b"1,x,2\n"])
    with Pipe(channel, 0, timeout=20) as pipe:
        with pytest.raises(PipeInUseError):
            Pipe(channel, 0, timeout=20)
        script = (
            "import sys; from pathlib import Path; from cleanroom_algo.channels.modes.pipe import Pipe;"
            "from cleanroom_algo.contract.channel import Channel, InputMode;"
            "from cleanroom_algo.contract.paths import Paths;"
            "Pipe(Channel('train', Paths(Path(sys.argv[1])), InputMode.PIPE), 0, timeout=20)"
        )
        run = subprocess.run(
            [sys.executable, "-c", script, str(channel.paths.root)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "CR-CHN-008" in run.stderr
        assert b"".join(pipe.chunks()) == b"1,x,2\n"  # the refused ones took nothing


def test_a_file_in_place_of_the_pipe_is_told(channel: Channel) -> None:
    channel.fifo(0).write_bytes(b"1,x,2\n")
    with pytest.raises(NotFilesError):
        Pipe(channel, 0)
    with pytest.raises(NotFilesError):
        list_objects(channel)


@pytest.mark.process
@pytest.mark.parametrize("made", [False, True])
def test_a_signal_ends_the_waiting(channel: Channel, made: bool) -> None:
    if made:
        os.mkfifo(channel.fifo(0))
    script = (
        "import signal, sys; from pathlib import Path; from cleanroom_algo.channels.modes.pipe import Pipe, read_pipe;"
        "from cleanroom_algo.channels.schema import Schema;"
        "from cleanroom_algo.contract.channel import Channel, InputMode;"
        "from cleanroom_algo.contract.paths import Paths;"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); print('ready', flush=True);"
        "pipe = Pipe(Channel('train', Paths(Path(sys.argv[1])), InputMode.PIPE), 0, timeout=60).__enter__();"
        "list(read_pipe(pipe, Schema.of(a='int8'), batch_rows=1))"
    )
    command = [sys.executable, "-c", script, str(channel.paths.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 7


@pytest.mark.process
@pytest.mark.parametrize(
    ("data", "error"),
    [
        (squeeze(b"1,x,2\n" * 10_000)[:-9], CorruptObjectError),
        (recordio.pack(b"1,x,2\n" * 1000)[:-5], CorruptObjectError),
        (parquet(0, 100)[:-4], CorruptObjectError),
        (b"1,x,2\n" * 1000 + b"1,x", RowMismatchError),
        (b"1,x,2\n" * 1000 + b'1,"x', RowMismatchError),
        (b'{"a":1}\n' * 1000 + b'{"a":', RowMismatchError),
    ],
)
def test_a_writer_that_is_killed_inside_an_object_is_noticed_where_the_format_tells(
    channel: Channel, tmp_path: Path, data: bytes, error: type[Exception]
) -> None:
    os.mkfifo(channel.fifo(0))
    (tmp_path / "data").write_bytes(data)
    script = (
        "import os, signal, sys; f = open(sys.argv[1], 'wb', buffering=0); f.write(open(sys.argv[2], 'rb').read());"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(channel.fifo(0)), str(tmp_path / "data")]):
        with pytest.raises(error) as caught:
            rows(channel)
        assert "train_0" in str(caught.value)


@pytest.mark.parametrize("mode", InputMode)
def test_records_of_ones_own_are_read_in_every_mode(channel: Channel, feed: Feed, mode: InputMode) -> None:
    values = np.arange(60, dtype=np.float32).reshape(20, 3)
    channel = replace(channel, input_mode=mode)
    parts = [b"".join(recordio.pack(row.tobytes()) for row in half) for half in (values[:7], values[7:])]
    if mode is InputMode.PIPE:
        feed(channel, 0, parts)
    else:
        channel.path.mkdir()
        for number, part in enumerate(parts):
            (channel.path / f"part-{number}").write_bytes(part)

    found = [records.copy().view(np.float32) for records in read_records(channel)]

    assert np.array_equal(np.concatenate(found), values)


def test_a_record_of_ones_own_that_is_cut_short_is_told(channel: Channel, feed: Feed) -> None:
    feed(channel, 0, [recordio.pack(b"whole"), recordio.pack(b"halved")[:12]])
    with pytest.raises(CorruptObjectError, match="train_0"):
        list(read_records(channel))
