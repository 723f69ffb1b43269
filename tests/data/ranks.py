"""Real gloo ranks, of any layout, that read a channel: torch is imported once and the ranks are forked from there."""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import tempfile
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path

from cleanroom_algo.contract.processes import run_program
from tests.preloaded import PreloadedProcess

LIMIT = 180


@dataclass
class Layout:
    """What the ranks are to do: read the channel in `roots` (one for each host), each in steps of 4 rows.

    Attributes:
        counted: whether ranks say afterwards how many steps they were to take.
    """

    roots: list[str]
    distribution: str
    ranks: int = 1
    workers: int = 0
    uneven: str = "weight"
    counted: bool = False
    shuffle: bool = True


@dataclass
class Seen:
    """What one rank saw.

    Attributes:
        batches: the rows of each, by number.
        steps: what the dataset said, where it was asked.
    """

    batches: list[list[int]]
    steps: int | None

    @property
    def rows(self) -> list[int]:
        """All rows."""
        return [row for batch in self.batches for row in batch]


def run(layout: Layout) -> list[Seen]:
    """Run the ranks to their end; fails with their stacks where one does not end."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
        process = PreloadedProcess("tests.data.ranks", json.dumps(asdict(layout)), folder, env=environment)
        _, told = process.communicate(timeout=2 * LIMIT)
        assert process.returncode == 0, told
        seen = []
        for rank in range(len(layout.roots) * layout.ranks):
            lines = [json.loads(line) for line in Path(folder, f"rank-{rank}").read_text().splitlines()]
            steps = lines.pop() if layout.counted else None
            seen.append(Seen(lines, steps))
    return seen


def main(layout: Layout, folder: Path) -> int:
    """Fork the ranks and wait for them; each leaves what it saw in the folder."""
    from torch.utils import data  # what is imported here costs the ranks nothing

    from cleanroom_algo.data import dataset

    del data, dataset
    children = {}
    for rank in range(len(layout.roots) * layout.ranks):
        child = os.fork()
        if not child:
            faulthandler.dump_traceback_later(LIMIT, exit=True)
            try:
                read(layout, rank, folder)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        children[child] = rank
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    print(statuses, file=sys.stderr)
    return int(any(statuses))


def read(layout: Layout, rank: int, folder: Path) -> None:
    """Be one rank."""
    import torch.distributed as dist

    from cleanroom_algo.channels.schema import Schema
    from cleanroom_algo.contract.channel import Channel, Distribution
    from cleanroom_algo.contract.paths import Paths
    from cleanroom_algo.data.dataset import ChannelDataset
    from cleanroom_algo.data.world import World

    world = World(len(layout.roots), rank // layout.ranks, layout.ranks, rank % layout.ranks)
    if world.size > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world.size)
    paths = Paths(Path(layout.roots[world.host_rank]))
    dataset = ChannelDataset(
        Channel("train", paths, distribution=Distribution(layout.distribution)),
        Schema.of(target="y", x="float32", y="float32"),
        world,
        batch_size=4,
        shuffle=layout.shuffle,
        seed=5,
        shuffle_rows=16,
        workers=layout.workers,
        uneven=layout.uneven,  # type: ignore[arg-type]
    )
    with (folder / f"rank-{rank}").open("w") as out:
        for batch in dataset:
            print(json.dumps(batch.numeric[:, 0].int().tolist()), file=out)
        if layout.counted:
            print(dataset.steps, file=out)
    if world.size > 1:
        dist.destroy_process_group()


if __name__ == "__main__":
    run_program(lambda: main(Layout(**json.loads(sys.argv[1])), Path(sys.argv[2])))
