"""Starting the ranks of this host, and saying how all of them together ended.

One rank in all runs in this process. Several run under torchrun's elastic launcher, which starts and watches them;
there are no restarts, as a job that lost a rank must end with the rank's own reason.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
from pathlib import Path

from cleanroom_algo.contract.environment import Environment
from cleanroom_algo.contract.failure import cut
from cleanroom_algo.errors import CleanroomError, RankLostError, RendezvousError
from cleanroom_algo.errors.exit_codes import ExitCode
from cleanroom_algo.training.process.conclusion import conclude
from cleanroom_algo.training.process.failure_exchange import (
    RENDEZVOUS_SECONDS,
    Cause,
    FailureExchange,
    endpoint,
    free_port,
    interface,
)
from cleanroom_algo.training.process.job import RUN_DIRECTORY_VARIABLE, STOP_FILE, Job
from cleanroom_algo.training.process.reports import RankReport, read_reports
from cleanroom_algo.training.signals import Phase, StopRequest

_RANK_MODULE = "cleanroom_algo.training.process.rank"
_CAUSE_SECONDS = 15.0  # another host's launcher needs a moment to see how its rank ended
_END_SECONDS = 10  # for ranks whose peers are gone


def ranks_per_host(job: Job) -> int:
    """Return the setting, or one rank per GPU, or one; of an own `fit`, one unless it is distributed and set."""
    if job.trains_alone:
        return 1
    if job.environment.settings.ranks_per_host is not None:
        return job.environment.settings.ranks_per_host
    if job.trainer.has_own_fit():
        return 1
    import torch

    return max(1, torch.cuda.device_count())


def run_ranks(job: Job, stop: StopRequest) -> RankReport:
    """Run the ranks of this host to their end.

    Returns:
        "done", "stopped", or "failed" with the first cause on any host.
    """
    ranks = ranks_per_host(job)
    resources = job.environment.resources
    if job.trains_alone or ranks * resources.host_count == 1:
        from cleanroom_algo.training.process.rank import run_rank

        return run_rank(job, 0, ranks, stop)
    stop.enter(Phase.WAITING)  # the ranks know what there is to save
    with stop.temporary_folder("cleanroom-run-") as directory:
        os.environ[RUN_DIRECTORY_VARIABLE] = str(directory)
        stop.listen(lambda number: _forward(directory, number))
        stop.waits = lambda: directory.exists() and not any(directory.glob("[pr]*-*"))  # neither pid nor report
        return _launch(job.environment, ranks, directory, stop)


def _launch(environment: Environment, ranks: int, directory: Path, stop: StopRequest) -> RankReport:
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    resources = environment.resources
    host, port = endpoint(environment)
    if resources.host_count == 1 and environment.settings.rendezvous is None:
        port = free_port()
    _prepare_environ(environment, ranks)
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # it repeats what the reports say better
    config = LaunchConfig(
        min_nodes=resources.host_count,
        max_nodes=resources.host_count,
        nproc_per_node=ranks,
        logs_specs=DefaultLogsSpecs(log_dir=str(directory / "torch")),  # nobody removes its default
        run_id=environment.job_name or "training",
        rdzv_backend="static",
        rdzv_endpoint=f"{host}:{port}",
        rdzv_configs={"rank": resources.host_rank, "timeout": RENDEZVOUS_SECONDS},
        max_restarts=0,
        monitor_interval=0.1,
        start_method="spawn",
        signals_to_handle="SIGHUP",  # SIGTERM and SIGINT are ours: a step must be allowed to end
        shutdown_timeout=_END_SECONDS,
    )
    others = tuple(name for name in resources.hosts if name != resources.current_host)
    first = resources.host_rank * ranks
    place = f"{host}:{port}"
    try:
        exchange = FailureExchange(
            host, port, host_name=resources.current_host, others=others, serve=resources.host_rank == 0
        )
    except (RuntimeError, OSError) as error:
        return _not_met(first, f"{place} cannot be opened", error)
    exchange.watch(lambda: _forward(directory, signal.SIGTERM))
    exit_codes: dict[int, int] = {}
    try:
        elastic_launch(config, sys.executable)("-m", _RANK_MODULE)
    except ChildFailedError as error:
        exit_codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
    except (RuntimeError, OSError) as error:
        return _not_met(first, f"{resources.host_count} hosts did not meet at {place}", error)
    report = conclude(resources.current_host, range(first, first + ranks), read_reports(directory), exit_codes, stop)
    if report.outcome == "stopped" and not stop and exchange.cause(0) is not None:
        report = RankReport.failed(first, "", ExitCode.ALGORITHM_FAILED, lost_others=True)
    report = _with_first_cause(report, exchange, resources.current_host)
    exchange.leave(failed=report.outcome == "failed")
    return report


def _with_first_cause(report: RankReport, exchange: FailureExchange, host: str) -> RankReport:
    """Agree with the other hosts on the first cause; where this host has none of its own, take theirs."""
    if report.outcome != "failed":
        return report
    if not report.lost_others:
        own = Cause(cut(f"{report.text}\n  on host {host}, rank {report.rank}"), report.exit_code)
        return RankReport.failed(report.rank, *exchange.publish_cause(own))
    found = exchange.cause(_CAUSE_SECONDS) or Cause(str(_lost(report, host)), report.exit_code)
    return RankReport.failed(report.rank, *found)


def _lost(report: RankReport, host: str) -> CleanroomError:
    return RankLostError(
        f"rank {report.rank} on {host} lost the connection to the other ranks, and no host reported a reason",
        expected="ranks on other hosts that run until the end",
        fix="read the log of the other hosts; one of them ended, was stopped, or ran out of memory",
    )


def _not_met(rank: int, what: str, error: Exception) -> RankReport:
    told = RendezvousError(
        f"{what} ({type(error).__name__})",
        expected=f"every host of resourceconfig.json within {RENDEZVOUS_SECONDS} s, on a free port",
        fix="find the host that failed earlier, or set another address in CLEANROOM_ALGO_RENDEZVOUS",
    )
    return RankReport.failed(rank, str(told), told.exit_code)


def _prepare_environ(environment: Environment, ranks: int) -> None:
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
