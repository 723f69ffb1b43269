"""The dataset in a script of one's own, without a Trainer: DDP and fully_shard, with uneven shards."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

from cleanroom_algo.contract.channel import Distribution
from tests.data.support import channel
from tests.preloaded import PreloadedProcess
from tests.serving.support import free_port


def test_gradients_are_those_of_all_rows(tmp_path: Path) -> None:
    for host, rows in enumerate(([40, 9], [7], [])):
        channel(tmp_path / f"host-{host}", rows, Distribution.SHARDED_BY_S3_KEY)
    of_torchrun = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "3"}
    variables = {**os.environ, **of_torchrun, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}

    ranks = [
        PreloadedProcess("tests.data.script", str(tmp_path), env={**variables, "RANK": str(rank)}) for rank in range(3)
    ]
    told = [each.communicate(timeout=240) for each in ranks]

    assert [each.returncode for each in ranks] == [0, 0, 0], told
    for kind in ("ddp", "fsdp"):
        seen = [json.loads((tmp_path / f"{kind}-{rank}").read_text()) for rank in range(3)]
        assert Counter(seen[0]) == dict.fromkeys(range(49), 2)
        assert Counter(seen[1]) == dict.fromkeys(range(7), 2)
        assert seen[2] == []
