"""Whole trainings of several hosts, one rank on each: torch is imported once, and the ranks are forked from there."""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

from tests.preloaded import PreloadedProcess
from tests.training.support import Container, Ended

LIMIT = 200


def run_jobs(*jobs: Sequence[Container], preload: str = "torch") -> list[list[Ended]]:
    """Run jobs one after another, the hosts of each side by side; return how each host's rank ended.

    A library that is named in `preload` is imported once, too. The failure text of a rank stands at the end of what it
    wrote to standard error.
    """
    told = []
    for hosts in jobs:
        for host in hosts:
            host.lay_out()
        told.append([host.environment() for host in hosts])
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
        process = PreloadedProcess("tests.training.ranks", json.dumps(told), folder, preload, env=environment)
        _, err = process.communicate(timeout=LIMIT * (1 + len(jobs)))
        assert process.returncode == 0, err
        return [
            [_ended(Path(folder), f"{number}-{rank}") for rank in range(len(hosts))]
            for number, hosts in enumerate(jobs)
        ]


def _ended(folder: Path, name: str) -> Ended:
    status, out, err = ((folder / f"{name}.{kind}").read_text() for kind in ("status", "out", "err"))
    return Ended(int(status), out, err)


def main(jobs: list[list[dict[str, str]]], folder: Path, preload: str) -> None:
    """Fork the ranks of each job, and wait for them."""
    from torch import _dynamo  # what is imported here costs the ranks nothing; optimizers need this

    from cleanroom_algo.training.process import rank
    from cleanroom_algo.training.process.exchange_server import ExchangeServer
    from cleanroom_algo.training.torch import loop

    del _dynamo, rank, loop
    importlib.import_module(preload)
    for number, hosts in enumerate(jobs):
        children = {}
        server = ExchangeServer("127.0.0.1", 0, ranks=len(hosts))
        for place, variables in enumerate(hosts):
            name = f"{number}-{place}"
            child = os.fork()
            if not child:
                os._exit(be_rank(place, len(hosts), variables, folder, name, server.port))
            children[child] = name
        server.start()  # its threads would be missing in the ranks
        for child, name in children.items():
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            (folder / f"{name}.status").write_text(str(status))
        server.close(failed=False)


def be_rank(rank: int, ranks: int, variables: dict[str, str], folder: Path, name: str, port: int) -> int:
    """Train as one rank; return its exit status."""
    from cleanroom_algo.contract.environment import Environment
    from cleanroom_algo.contract.redaction import Redactor
    from cleanroom_algo.training.process.job import EXCHANGE_VARIABLE, Job
    from cleanroom_algo.training.process.logs import configure_logging
    from cleanroom_algo.training.process.rank import report_of, run_rank
    from cleanroom_algo.training.signals import StopRequest

    for kind, stream in (("out", sys.stdout), ("err", sys.stderr)):
        os.dup2(os.open(folder / f"{name}.{kind}", os.O_WRONLY | os.O_CREAT, 0o600), stream.fileno())
    faulthandler.dump_traceback_later(LIMIT, exit=True)
    os.environ.update(variables)
    os.environ.update({EXCHANGE_VARIABLE: f"127.0.0.1:{port}", "MASTER_ADDR": "127.0.0.1"})
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(ranks))
    stop = StopRequest()
    try:
        environment = Environment.read()
        configure_logging(environment.settings)
        report = run_rank(Job.load(environment), 0, 1, stop)
    except BaseException as error:
        traceback.print_exc()
        report = report_of(error, rank, stop, Redactor())
    print(report.text, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    return report.exit_code


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
