"""A training script of one's own, as `torchrun` starts it: DDP, then fully_shard, with uneven shards.

The loop is that of docs/guides/channels.md; a copy of the model is trained on what all ranks have in each step.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from cleanroom_algo import ChannelDataset, World
from cleanroom_algo.contract.channel import Channel, Distribution
from cleanroom_algo.contract.paths import Paths
from tests.data.support import SCHEMA


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(1, 3), nn.Tanh(), nn.Linear(3, 1)).double()


def main(folder: Path) -> None:
    dist.init_process_group("gloo")
    train(folder, "ddp", workers=int(dist.get_rank() == 0))  # each imports torch anew
    train(folder, "fsdp", workers=0)
    dist.destroy_process_group()


def train(folder: Path, kind: str, workers: int) -> None:
    rank, size = dist.get_rank(), dist.get_world_size()
    source = Channel("train", Paths(folder / f"host-{rank}"), distribution=Distribution.SHARDED_BY_S3_KEY)
    dataset = ChannelDataset(source, SCHEMA, World(size, rank), batch_size=4, shuffle=True, workers=workers)
    model, whole = small(), small()
    if kind == "ddp":
        model = nn.parallel.DistributedDataParallel(model)
    else:
        from torch.distributed.fsdp import fully_shard  # loader processes import this file, but do without this

        fully_shard(model)
    optimizer, of_whole = (torch.optim.SGD(each.parameters(), 0.1) for each in (model, whole))
    seen: list[int] = []
    for epoch in range(2):
        dataset.set_epoch(epoch)
        for batch in dataset:
            assert batch.target is not None
            seen += batch.numeric[:, 0].int().tolist()
            numeric, target = batch.numeric.double() / 50, batch.target.double()
            rows = torch.tensor(float(batch.rows))
            dist.all_reduce(rows)
            loss = binary_cross_entropy_with_logits(model(numeric).squeeze(1), target, reduction="sum")
            (loss * size / rows).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()
            of_all: list[Any] = [None] * size
            dist.all_gather_object(of_all, (numeric, target))
            numeric, target = (torch.cat(parts) for parts in zip(*of_all, strict=True))
            of_all_rows: Tensor = binary_cross_entropy_with_logits(whole(numeric).squeeze(1), target)
            of_all_rows.backward()  # type: ignore[no-untyped-call]
            of_whole.step()
            of_whole.zero_grad()
    for found, expected in zip(model.parameters(), whole.parameters(), strict=True):
        full = found.full_tensor() if kind == "fsdp" else found  # type: ignore[attr-defined]
        torch.testing.assert_close(full, expected, rtol=1e-9, atol=1e-12)
    (folder / f"{kind}-{rank}").write_text(json.dumps(seen))


if __name__ == "__main__":
    faulthandler.dump_traceback_later(120, exit=True)
    main(Path(sys.argv[1]))
    gc.collect()  # DDP still holds the group, whose threads may abort the process while Python ends
