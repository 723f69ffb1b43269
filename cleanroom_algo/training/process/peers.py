"""The ranks of an own `fit` that runs on every host: joined, and watching each other.

An engine that waits for the rows of a host may never notice that the host is gone (LightGBM's does not). So each rank
waits in a thread for the last message of the next one.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from cleanroom_algo.data.world import World
from cleanroom_algo.errors import RankLostError
from cleanroom_algo.training.process.job import RUN_DIRECTORY_VARIABLE
from cleanroom_algo.training.process.reports import RankReport

_OWN_SECONDS = 3.0  # for the engine to notice it by itself, and for the main thread to end normally


@contextlib.contextmanager
def joined(world: World) -> Iterator[None]:
    """Join the other ranks, where there are any, and end this process when one of them is gone."""
    if world.size == 1:
        yield
        return
    import torch
    import torch.distributed as dist

    from cleanroom_algo.training.torch.collectives import barrier, process_group
    from cleanroom_algo.training.torch.devices import pick_device

    with process_group(world.size, pick_device(world.local_rank)):
        group = dist.new_group(backend="gloo", timeout=timedelta(days=30))  # as long as a job may take
        watch = threading.Thread(target=_watch, args=(world, group), name="peers", daemon=True)
        watch.start()
        yield
        barrier()
        dist.send(torch.ones(1), (world.rank - 1) % world.size, group=group)
        watch.join()  # until the next rank has sent its last message, too


def _watch(world: World, group: Any) -> None:
    import torch
    import torch.distributed as dist

    peer = (world.rank + 1) % world.size
    try:
        dist.recv(torch.zeros(1), peer, group=group)
    except RuntimeError:
        time.sleep(_OWN_SECONDS)
        error = RankLostError(
            f"rank {peer} ended while this rank was waiting for it",
            expected="ranks that run until the end",
            fix="read the log of the other hosts; one of them ended, was stopped, or ran out of memory",
        )
        report = RankReport.failed(world.rank, str(error), error.exit_code, lost_others=True)
        report.write(Path(os.environ[RUN_DIRECTORY_VARIABLE]))
        os._exit(error.exit_code)
