"""Damaged data on two ranks: a coded error that says where, in the failure file; all ranks end, and nothing hangs."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from cleanroom_algo.errors.status_codes import NOT_STARTED
from tests.channels.support import squeeze
from tests.training.support import Container, Ended, algorithm, run_all, two_hosts

ALGORITHM = """
import faulthandler, os
if "LOCAL_RANK" in os.environ:  # not in the launcher, of which ranks are forked: its watchdog would be missing in them
    faulthandler.dump_traceback_later(100, exit=True)
from torch import nn
from cleanroom_algo import Hyperparameters, Schema, Trainer


class Params(Hyperparameters):
    epochs: int = 1
    batch_size: int = 100


class Line(Trainer):
    schema = Schema.of(target="y", x="float32", y="float32")
    hyperparameters = Params
    shuffle = False

    def fit_features(self):  # so that the ranks meet the data in the training loop
        from cleanroom_algo.channels.features import Features  # not before: polars would start threads in the launcher
        return Features.plain(self.schema)

    def model(self):
        return nn.Linear(1, 1)

    def loss(self, model, batch):
        return nn.functional.mse_loss(model(batch.numeric).squeeze(1), batch.target)
"""
VANISH = """
def loss(self, model, batch):
    for path in sorted(self.environment.channels["train"].path.iterdir())[1:]:
        path.unlink(missing_ok=True)
    return nn.functional.mse_loss(model(batch.numeric).squeeze(1), batch.target)
"""
ROWS = b"".join(b"%d.25,%d\n" % (row, row % 2) for row in range(20_000))
SECRET = b"secret-word"


def parquet() -> bytes:
    buffer = io.BytesIO()
    pl.read_csv(ROWS, new_columns=["x", "y"]).cast(pl.Float32).write_parquet(buffer)
    return buffer.getvalue()


def container(tmp_path: Path, body: str = "") -> Container:
    made = Container(tmp_path / "ml", algorithm(tmp_path, body, ALGORITHM))
    made.variables["CLEANROOM_ALGO_RANKS_PER_HOST"] = "2"
    return made


def check(made: Container, ended: Ended, code: str, place: str, status: int = 3) -> None:
    """Check that the ranks ended by themselves, with one true cause."""
    assert "Timeout (" not in ended.err, ended.err  # the watchdog: the stacks of a rank that hangs
    assert ended.status == status, ended.err
    assert made.failure.startswith(code), made.failure
    assert place in made.failure
    assert SECRET.decode() not in made.failure + ended.err + ended.out
    assert not list(made.model.glob("*"))


@pytest.mark.parametrize(
    ("last", "code", "place"),
    [
        pytest.param(squeeze(ROWS)[:-700], "CR-CHN-005", "train/b: the gzip data is truncated", id="gzip"),
        pytest.param(ROWS + b"1,2,%b\n" % SECRET + ROWS, "CR-SCH-002", "train/b:20001", id="wide"),
    ],
)
def test_a_damaged_object(tmp_path: Path, last: bytes, code: str, place: str) -> None:
    made = container(tmp_path).channel("train", {"a": ROWS, "b": last})
    check(made, made.run(), code, place)


def test_the_first_rows_of_every_channel_are_read_before_training(tmp_path: Path) -> None:
    made = container(tmp_path).channel("train", {"a": ROWS}).channel("validation", {"a": b"x,z\n1,2\n"})
    ended = made.run()
    check(made, ended, "CR-SCH-002", "validation/a:1:y")
    assert NOT_STARTED in ended.err
    assert "[metric]" not in ended.out


def test_an_object_that_vanishes(tmp_path: Path) -> None:
    body = VANISH.strip()
    made = container(tmp_path, body).channel("train", dict.fromkeys("abcd", ROWS))
    check(made, made.run(), "CR-CHN-003", "train/")


def test_a_channel_that_no_configuration_names(tmp_path: Path) -> None:
    body = "def model(self):\n    return self.table('trian') and None"
    made = container(tmp_path, body).channel("train", {"a": ROWS})
    check(made, made.run(), "CR-CON-006", "trian")


def _killed(data: bytes) -> Callable[[Path], None]:
    """Return a writer that comes with some bytes and is gone."""

    def feed(fifo: Path) -> None:
        try:
            with fifo.open("wb", buffering=0) as pipe:
                pipe.write(data)
        except BrokenPipeError:
            pass  # the reader had seen enough

    return feed


@pytest.mark.parametrize(
    ("data", "code", "place"),
    [
        pytest.param(ROWS + b"1,2\n3", "CR-SCH-002", "train_0:20002", id="row"),
        pytest.param(parquet() + parquet()[:-4], "CR-CHN-005", "train_0[object 1]", id="parquet"),
    ],
)
def test_a_pipe_whose_writer_dies(tmp_path: Path, data: bytes, code: str, place: str) -> None:
    made = container(tmp_path)
    made.channels["train"] = {"TrainingInputMode": "Pipe"}
    fifo = made.root / "input" / "data" / "train_0"
    fifo.parent.mkdir(parents=True)
    os.mkfifo(fifo)
    feeder = threading.Thread(target=_killed(data), args=(fifo,), daemon=True)
    feeder.start()
    check(made, made.run(), code, place)
    feeder.join(30)
    assert not feeder.is_alive()


def _feed_all(made: Container, epochs: list[bytes]) -> None:
    """Have the pipes of a host fed in turn, as long as somebody reads them."""
    made.channels["train"]["TrainingInputMode"] = "Pipe"
    fifos = [made.root / "input" / "data" / f"train_{number}" for number in range(len(epochs))]
    for fifo in fifos:
        os.mkfifo(fifo)

    def feed() -> None:
        for fifo, data in zip(fifos, epochs, strict=True):
            _killed(data)(fifo)

    threading.Thread(target=feed, daemon=True).start()


HALF = ROWS[: ROWS.index(b"\n", len(ROWS) // 2) + 1]
"""What a writer has written that died between two rows."""
HALF_ROWS = HALF.count(b"\n")


@pytest.mark.parametrize(
    ("distribution", "first", "second", "told"),
    [
        # Of the first epoch only the other host's pipe tells that something is missing.
        pytest.param("FullyReplicated", [ROWS], [HALF], "train_0 of host 2 of 2", id="host"),
        pytest.param("ShardedByS3Key", [ROWS, ROWS], [ROWS, HALF], "train_1 of host 2 of 2", id="epoch"),
    ],
)
def test_a_pipe_whose_writer_dies_between_two_rows(
    tmp_path: Path, distribution: str, first: list[bytes], second: list[bytes], told: str
) -> None:
    hosts = two_hosts(tmp_path, algorithm(tmp_path, text=ALGORITHM), [{}, {}], epochs="2")
    for made, epochs in zip(hosts, (first, second), strict=True):
        made.variables["CLEANROOM_ALGO_RANKS_PER_HOST"] = "2"
        made.channels["train"]["S3DistributionType"] = distribution
        _feed_all(made, epochs)

    ended = run_all(hosts)

    for made, each in zip(hosts, ended, strict=True):
        check(made, each, "CR-DAT-007", f"{told}: {HALF_ROWS} rows")


def test_features_are_not_fitted_on_half_a_pipe(tmp_path: Path) -> None:
    text = ALGORITHM.replace("def fit_features", "def _unused")
    made = container(tmp_path)
    made.algorithm = algorithm(tmp_path, text=text)
    made.channels["train"] = {}
    (made.root / "input" / "data").mkdir(parents=True)
    _feed_all(made, [HALF, ROWS])
    check(made, made.run(), "CR-DAT-007", f"an epoch before: {HALF_ROWS} rows")
