"""An own `fit` on every host: what it is given there, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from safetensors.numpy import load_file

from tests.training.ranks import run_jobs
from tests.training.support import Container, algorithm, csv_rows, feed, finish, listing, two_hosts, wait_for_line

ALGORITHM = """
import numpy as np
import os
from safetensors.numpy import save_file
from cleanroom_algo import Schema, Trainer


class Sums(Trainer):
    schema = Schema.of(target="late", carrier="string", distance="float64?", hour="int32", late="bool")
    distributed = True
    batch_size = 64
"""
LOOKS = """
def fit(self):
    own = self.table()
    self.features = self.fit_features()
    seen = sum(batch.height for batch in self.batches())
    parts = [own.height, self.table(whole=True).height, seen, sum(batch.rows for batch in self.dataset())]
    addresses = self.addresses()
    assert len(set(addresses)) == self.world.hosts and addresses == self.all_gather(addresses)[0]
    self.total = self.all_reduce(np.array(parts))
    self.smallest = self.all_reduce(np.array(parts), "min")
    self.steps = np.array([len(set(self.all_gather(len(list(self.dataset())))))])
    self.log(rows=own.height)

def save(self, directory):
    words = np.array(self.features.cardinalities)
    arrays = {"total": self.total, "smallest": self.smallest, "steps": self.steps, "words": words}
    save_file(arrays, directory / "sums.safetensors")
"""


def test_hosts_share_each_row_once_in_every_way_of_reading(tmp_path: Path) -> None:
    code = algorithm(tmp_path, LOOKS, ALGORITHM)
    sharded = two_hosts(tmp_path / "sharded", code, [{"a": csv_rows(300)}, {}])
    replicated = two_hosts(tmp_path / "same", code, [{}, {}])
    for host in replicated:
        files = {"a": csv_rows(200), "b": csv_rows(100, 5)}
        host.channel("rows", files, S3DistributionType="FullyReplicated").channels.pop("train")
    alone = Container(tmp_path / "alone", code).channel("train", {"a": csv_rows(300)})
    piped = two_hosts(tmp_path / "piped", code, [{}, {}])
    for host, rows in zip(piped, (csv_rows(300), ""), strict=True):
        host.channels["train"]["TrainingInputMode"] = "Pipe"
        for epoch in range(6):  # one for each way of reading
            feed(host, epoch, rows.encode())
    ended = run_jobs(sharded, replicated, [alone], piped)
    assert [host.status for hosts in ended for host in hosts] == [0] * 7, ended
    for hosts, whole in ((sharded, 600), (replicated, 600), ([alone], 300), (piped, 600)):
        found = load_file(hosts[0].model / "sums.safetensors")
        assert found["total"].tolist() == [300, whole, 300, 300]
        assert (found["steps"].tolist(), found["words"].tolist()) == ([1], [4])
        assert [listing(host.model) for host in hosts[1:]] == [[]] * (len(hosts) - 1)
    assert load_file(sharded[0].model / "sums.safetensors")["smallest"].tolist() == [0, 300, 0, 0]
    assert [len(host.metrics("rows")) for host in ended[0]] == [1, 0]


def test_one_host_needs_no_torch(tmp_path: Path) -> None:
    body = """
def fit(self):
    self.total = self.all_reduce(np.array([len(self.all_gather(self.table().height)), self.stopping]))
    import sys
    assert "torch" not in sys.modules

def save(self, directory):
    (directory / "total").write_text(str(self.total.tolist()))
"""
    host = Container(tmp_path / "host", algorithm(tmp_path, body, ALGORITHM)).channel("train", {"a": csv_rows(30)})
    host.lay_out()
    ended = subprocess.run(
        [sys.executable, "-m", "cleanroom_algo.training", "train"],
        env={**os.environ, **host.environment()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert (host.model / "total").read_text() == "[1, 0]"


WAITS = """
def fit(self):
    assert not self.stopping
    if self.world.rank:
        print("lost in native code", flush=True)
        import ctypes
        mutex = ctypes.create_string_buffer(64)
        for _ in range(2):  # the second time for ever, as an engine waits for a host that is gone
            ctypes.CDLL(None).pthread_mutex_lock(mutex)
    self.all_gather(None)

def save(self, directory):
    pass
"""


def test_a_host_that_is_killed_whole_ends_one_that_waits_in_native_code(tmp_path: Path) -> None:
    code = algorithm(tmp_path, WAITS, ALGORITHM)
    hosts = two_hosts(tmp_path, code, [{"a": csv_rows(30)}, {"b": csv_rows(30)}])
    first, second = (host.start() for host in hosts)
    wait_for_line(second, "lost in native code")
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    second.send_signal(signal.SIGTERM)  # as the platform does
    assert finish(second, 30).status == 143
