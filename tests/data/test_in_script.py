"""The dataset in a script of one's own under torchrun, without a Trainer: DDP and fully_shard, with uneven shards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from cleanroom_algo.contract.channel import Distribution
from tests.data.support import channel

# The loop is that of docs/guides/channels.md; a copy of the model is trained on what all ranks have in each step.
SCRIPT = """
import faulthandler, gc, json, sys
from pathlib import Path
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits
from cleanroom_algo import ChannelDataset, World
from cleanroom_algo.contract.channel import Channel, Distribution
from cleanroom_algo.contract.paths import Paths
from tests.data.support import SCHEMA

faulthandler.dump_traceback_later(120, exit=True)
folder = Path(sys.argv[1])

def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(1, 3), nn.Tanh(), nn.Linear(3, 1)).double()

def main():
    dist.init_process_group("gloo")
    train("ddp", workers=int(dist.get_rank() == 0))  # each imports torch anew
    train("fsdp", workers=0)
    dist.destroy_process_group()

def train(kind, workers):
    rank, size = dist.get_rank(), dist.get_world_size()
    source = Channel("train", Paths(folder / f"host-{rank}"), distribution=Distribution.SHARDED_BY_S3_KEY)
    dataset = ChannelDataset(source, SCHEMA, World(size, rank), batch_size=4, shuffle=True, workers=workers)
    model, whole = small(), small()
    if kind == "ddp":
        model = nn.parallel.DistributedDataParallel(model)
    else:
        from torch.distributed.fsdp import fully_shard
        fully_shard(model)
    optimizer, of_whole = (torch.optim.SGD(each.parameters(), 0.1) for each in (model, whole))
    seen = []
    for epoch in range(2):
        dataset.set_epoch(epoch)
        for batch in dataset:
            seen += batch.numeric[:, 0].int().tolist()
            numeric, target = batch.numeric.double() / 50, batch.target.double()
            rows = torch.tensor(float(batch.rows))
            dist.all_reduce(rows)
            loss = binary_cross_entropy_with_logits(model(numeric).squeeze(1), target, reduction="sum")
            (loss * size / rows).backward()
            optimizer.step()
            optimizer.zero_grad()
            of_all = [None] * size
            dist.all_gather_object(of_all, (numeric, target))
            numeric, target = (torch.cat(parts) for parts in zip(*of_all))
            binary_cross_entropy_with_logits(whole(numeric).squeeze(1), target).backward()
            of_whole.step()
            of_whole.zero_grad()
    full = [p.full_tensor() if kind == "fsdp" else p for p in model.parameters()]
    for found, expected in zip(full, whole.parameters()):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    (folder / f"{kind}-{rank}").write_text(json.dumps(seen))

if __name__ == "__main__":
    main()
    gc.collect()  # DDP still holds the group, whose threads may abort the process while Python ends
"""


def test_gradients_are_those_of_all_rows(tmp_path: Path) -> None:
    for host, rows in enumerate(([40, 9], [7], [])):
        channel(tmp_path / f"host-{host}", rows, Distribution.SHARDED_BY_S3_KEY)
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "3", "--log-dir", str(tmp_path)]
    meeting = ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"]

    done = subprocess.run(
        [*torchrun, *meeting, str(script), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
        timeout=240,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    for kind in ("ddp", "fsdp"):
        seen = [json.loads((tmp_path / f"{kind}-{rank}").read_text()) for rank in range(3)]
        assert Counter(seen[0]) == dict.fromkeys(range(49), 2)
        assert Counter(seen[1]) == dict.fromkeys(range(7), 2)
        assert seen[2] == []
