"""Starting the ranks of this host, if the job has several, and saying how all of them together ended.

Ranks are processes of their own, with the variables that torchrun sets. torchrun itself would import torch, which
boosted trees do not need; nor does this process import the algorithm, with all that it imports. There are no restarts,
because a job that lost a rank must end with this rank's own reason.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from cleanroom_algo.contract.environment import Environment
from cleanroom_algo.contract.failure import cut
from cleanroom_algo.data.exchange import not_met
from cleanroom_algo.training.process.conclusion import conclude
from cleanroom_algo.training.process.exchange_server import Cause, ExchangeServer
from cleanroom_algo.training.process.host_link import HostLink
from cleanroom_algo.training.process.job import EXCHANGE_VARIABLE, RUN_DIRECTORY_VARIABLE, STOP_FILE, Job
from cleanroom_algo.training.process.reports import RankReport, read_reports
from cleanroom_algo.training.rank_run import LOOPBACK
from cleanroom_algo.training.signals import Phase, StopRequest

RANK_MODULE = "cleanroom_algo.training.process.rank"
_CAUSE_SECONDS = 15.0  # another host's launcher needs a moment to see how its rank ended
_END_SECONDS = 5.0  # for ranks whose peers are gone
_POLL_SECONDS = 0.05
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # NVIDIA's, AMD's, and those of WSL
_PORT = 7777  # what sagemaker-training's launcher uses


def ranks_per_host(environment: Environment) -> int:
    """Return the setting, or one rank for each GPU, or one; for an own `fit` one if there is no setting."""
    setting = environment.settings.ranks_per_host
    if setting is not None or not any(map(os.path.exists, _GPU_DEVICES)):  # nothing needs to be imported
        return setting or 1
    if Job.load(environment).trainer.has_own_fit():
        return 1
    import torch

    return max(1, torch.cuda.device_count())


def run_ranks(environment: Environment, ranks: int, stop: StopRequest) -> RankReport:
    """Run the ranks of this host to their end.

    Args:
        environment: what the platform gave.
        ranks: of this host.
        stop: whether the job was asked to end.

    Returns:
        "done", "stopped", or "failed" with the first cause on any host.
    """
    stop.enter(Phase.WAITING)  # the ranks know what there is to save
    with stop.temporary_folder("cleanroom-run-") as directory:
        os.environ[RUN_DIRECTORY_VARIABLE] = str(directory)
        stop.listen(lambda number: _forward(directory, number))
        return _launch(environment, ranks, directory, stop)


def _launch(environment: Environment, ranks: int, directory: Path, stop: StopRequest) -> RankReport:
    resources = environment.resources
    host, port = endpoint(environment)
    first = resources.host_rank * ranks
    server: ExchangeServer | None = None
    if resources.host_rank == 0:
        try:
            server = ExchangeServer(host if host in LOOPBACK else "", port, ranks=ranks * resources.host_count)
        except OSError as error:
            told = not_met(f"{host}:{port} cannot be opened ({error.strerror})")
            return RankReport.failed(first, str(told), told.exit_code)
        server.start()
        port = server.port
    _prepare_environ(environment, ranks, (host, port))
    link = HostLink(
        (host, port),
        host=resources.current_host,
        first_host=resources.first_host,
        act=lambda: _forward(directory, signal.SIGTERM),
    )
    exit_codes = _run_to_end(range(first, first + ranks), directory, link)
    report = conclude(resources.current_host, range(first, first + ranks), read_reports(directory), exit_codes, stop)
    report = _with_first_cause(report, link, resources.current_host, stop)
    link.leave()
    if server is not None:
        server.close(failed=report.outcome == "failed")
    return report


def _run_to_end(ranks: range, directory: Path, link: HostLink) -> dict[int, int]:
    """Run ranks; return the status of those that did not end with 0, by rank.

    When a rank or another host fails, the ranks are asked to end, and killed after some seconds: what they run may
    never return to Python.
    """
    running = {rank: start_rank(_variables(rank, ranks)) for rank in ranks}
    exit_codes: dict[int, int] = {}
    deadline: float | None = None
    while running:
        for rank, process in list(running.items()):
            if (status := process.poll()) is None:
                continue
            del running[rank]
            if status:
                exit_codes[rank] = status
        if deadline is None and (exit_codes or link.cause(0)):
            deadline = time.monotonic() + _END_SECONDS
            _forward(directory, signal.SIGTERM)
        elif deadline is not None and time.monotonic() > deadline:
            for process in running.values():
                process.kill()
        time.sleep(_POLL_SECONDS)
    return exit_codes


def start_rank(variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a rank with these variables beside those of this process."""
    return subprocess.Popen([sys.executable, "-m", RANK_MODULE], env={**os.environ, **variables})


def _variables(rank: int, ranks: range) -> dict[str, str]:
    """Return what torchrun tells a rank, but MASTER_PORT, which is chosen when torch's ranks meet."""
    local = rank - ranks.start
    return {"RANK": str(rank), "LOCAL_RANK": str(local), "GROUP_RANK": str(ranks.start // len(ranks))}


def _with_first_cause(report: RankReport, link: HostLink, host: str, stop: StopRequest) -> RankReport:
    """Agree with the other hosts on the first cause; where this host has none of its own, take theirs."""
    told_to_stop = report.outcome == "stopped" and not stop  # by this launcher, as another host failed
    if report.outcome == "done" or (report.outcome == "stopped" and not (told_to_stop and link.cause(0))):
        return report
    own = Cause(cut(f"{report.text}\n  on host {host}, rank {report.rank}"), report.exit_code)
    if told_to_stop or report.lost_others:
        return RankReport.failed(report.rank, *(link.cause(_CAUSE_SECONDS) or own))
    return RankReport.failed(report.rank, *link.publish(own))


def _prepare_environ(environment: Environment, ranks: int, server: tuple[str, int]) -> None:
    resources = environment.resources
    os.environ[EXCHANGE_VARIABLE] = f"{server[0]}:{server[1]}"
    os.environ["MASTER_ADDR"] = server[0]
    os.environ["WORLD_SIZE"] = str(ranks * resources.host_count)
    os.environ["LOCAL_WORLD_SIZE"] = str(ranks)
    os.environ["GROUP_WORLD_SIZE"] = str(resources.host_count)
    os.environ["TORCHELASTIC_RUN_ID"] = environment.job_name or "training"  # libraries know torchrun's ranks by it
    name = interface(environment)
    if name is not None:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
        os.environ.setdefault("NCCL_SOCKET_IFNAME", name)
    # Ranks that each take every core slow each other down.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // ranks)))


def _forward(directory: Path, number: int) -> None:
    """Pass a signal to the ranks; one that is still starting finds the file."""
    with contextlib.suppress(OSError):
        (directory / STOP_FILE).write_text(str(number))
    for path in directory.glob("pid-*"):
        with contextlib.suppress(OSError, ValueError):
            os.kill(int(path.read_text()), number)


def endpoint(environment: Environment) -> tuple[str, int]:
    """Return host and port of the exchange: the setting, or the first of the sorted hosts, port 7777.

    The port is 0, for any that is free, where there is one host.
    """
    given = environment.settings.rendezvous
    if given is not None:
        host, _, port = given.rpartition(":")
        return host, int(port)
    if environment.resources.host_count == 1:
        return "127.0.0.1", 0
    return environment.resources.first_host, _PORT


def interface(environment: Environment) -> str | None:
    """Return the network interface for torch's collectives: loopback where the ranks meet there, else the platform's.

    None leaves the choice to gloo and nccl: the named interface does not exist, as in local modes of other tools.
    """
    present = {name for _, name in socket.if_nameindex()}
    local = endpoint(environment)[0] in LOOPBACK
    wanted = ["lo", "lo0"] if local else [environment.resources.network_interface_name]
    return next((name for name in wanted if name in present), None)
