"""One rank: a training process."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from multiprocessing.util import get_temp_dir
from pathlib import Path

from cleanroom_algo.channels.memory import keep_freed_memory
from cleanroom_algo.contract.environment import Environment
from cleanroom_algo.contract.failure import cut, failure_text
from cleanroom_algo.contract.processes import imports_for_good, signal_when_orphaned
from cleanroom_algo.contract.redaction import Redactor
from cleanroom_algo.contract.tracebacks import is_library, log_traceback
from cleanroom_algo.data.exchange import rank_lost
from cleanroom_algo.errors import (
    AlgorithmExitError,
    CleanroomError,
    PipeReaderLostError,
    RankLostError,
    RendezvousError,
)
from cleanroom_algo.errors.exit_codes import ExitCode
from cleanroom_algo.errors.status_codes import NOT_STARTED
from cleanroom_algo.training.process.job import BASE_MODEL_VARIABLE, RUN_DIRECTORY_VARIABLE, STOP_FILE, Job, redactor
from cleanroom_algo.training.process.logs import configure_logging
from cleanroom_algo.training.process.peers import joined, torch_joined
from cleanroom_algo.training.process.reports import RankReport
from cleanroom_algo.training.rank_run import RankRun
from cleanroom_algo.training.signals import Phase, StopRequest, TrainingStopped
from cleanroom_algo.training.trainer import Trainer

_LOST = re.compile(r"gloo|NCCL|Connection (closed|reset|refused)|Broken pipe|[Tt]imed out waiting|TCPStore|recvBytes")

log = logging.getLogger(__name__)


def run_rank(job: Job, local_rank: int, ranks: int, stop: StopRequest) -> RankReport:
    """Train in this process.

    Args:
        job: what to train.
        local_rank: of this process within its host, from 0.
        ranks: per host.
        stop: tells when the job is to end.
    """
    resources = job.environment.resources
    rank = resources.host_rank * ranks + local_rank
    base = os.environ.get(BASE_MODEL_VARIABLE)
    try:
        rank_run = RankRun(
            job.environment,
            job.trainer,
            job.params,
            local_rank=local_rank,
            ranks=ranks,
            stop=stop,
            base=Path(base) if base else None,
        )
        train_rank(rank_run)
    except BaseException as error:
        return report_of(error, rank, stop, job.redact, alone=ranks * resources.host_count == 1)
    if stop:
        return RankReport(rank, "stopped", stop.exit_code)
    return RankReport(rank, "done")


def train_rank(rank_run: RankRun) -> Trainer:
    """Do one rank's work, and return its trainer; whatever ends it goes through as it was raised."""
    trainer = rank_run.trainer()
    if trainer.has_own_fit() and not trainer.distributed:
        rank_run.train_alone(trainer)
    elif trainer.has_own_fit():
        with joined(rank_run.world), torch_joined(rank_run.world):
            rank_run.train_together(trainer)
            rank_run.stop.enter(Phase.ENDING)  # whatever comes now, the artifacts are whole
    else:
        from cleanroom_algo.training.torch.loop import train

        with joined(rank_run.world):
            train(rank_run, trainer)
    return trainer


def report_of(
    error: BaseException, rank: int, stop: StopRequest, redact: Redactor, *, alone: bool = True
) -> RankReport:
    """Return what to say about an exception that ended a rank."""
    if isinstance(error, TrainingStopped | KeyboardInterrupt) or (stop.interrupted and isinstance(error, Exception)):
        code = stop.exit_code if stop else ExitCode.INTERRUPTED
        return RankReport(rank, "stopped", code)
    if isinstance(error, SystemExit):
        status = error.code if isinstance(error.code, int) and error.code else ExitCode.ALGORITHM_FAILED
        return RankReport.failed(rank, cut(redact.with_places(str(_left(error)), error)), status)
    if not alone and isinstance(error, RuntimeError) and _LOST.search(str(error)):
        error = rank_lost()
    lost = not alone and isinstance(error, PipeReaderLostError | RankLostError | RendezvousError)
    if not lost and not isinstance(error, CleanroomError):  # which says by itself what is wrong, and where
        log_traceback(error)
    return RankReport.failed(rank, failure_text(error, redact), _exit_code(error), lost_others=lost)


def main() -> int:
    """Run as a process that the launcher started."""
    keep_freed_memory()
    stop = StopRequest()
    stop.install()
    directory = Path(os.environ[RUN_DIRECTORY_VARIABLE])
    local_rank, ranks = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    rank = int(os.environ["RANK"])
    _die_with_launcher()
    redact = Redactor()
    with _known_to_launcher(directory, local_rank, stop):
        try:
            stop.enter(Phase.STARTING)  # there is nothing to save before the first step
            environment = Environment.read()
            redact = redactor(environment)
            configure_logging(environment.settings)
            with imports_for_good():
                job = Job.load(environment)
            if local_rank == 0:
                job.check()
        except BaseException as error:
            report = report_of(error, rank, stop, redact)
            if report.outcome == "failed":
                log.error(NOT_STARTED)
        else:
            report = run_rank(job, local_rank, ranks, stop)
        early = stop.phase.expendable  # before there was something to save
        stop.enter(Phase.ENDING)
        report.write(directory)
    sys.stdout.flush()
    sys.stderr.flush()
    # A rank that ended before there was something to save makes the launcher end the others, which would wait for it.
    return report.exit_code if report.outcome == "failed" or early else 0


@contextlib.contextmanager
def _known_to_launcher(directory: Path, local_rank: int, stop: StopRequest) -> Iterator[None]:
    draft = directory / f".pid-{local_rank}"
    draft.write_text(str(os.getpid()))
    path = draft.rename(directory / f"pid-{local_rank}")
    stop_file = directory / STOP_FILE
    if stop_file.exists():
        stop.request(int(stop_file.read_text() or signal.SIGTERM))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _exit_code(error: BaseException) -> ExitCode:
    if isinstance(error, CleanroomError):
        return error.exit_code
    ours = Path(__file__).resolve().parents[2]
    frames = traceback.extract_tb(error.__traceback__)
    # What no line of the algorithm took part in is a defect of this package.
    if not _own_frames(error) and frames and Path(frames[-1].filename).is_relative_to(ours):
        log.error("%s", "".join(traceback.format_tb(error.__traceback__)))
        return ExitCode.INTERNAL
    return ExitCode.ALGORITHM_FAILED


def _own_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """Return the places in the algorithm that an exception came through."""
    return [frame for frame in traceback.extract_tb(error.__traceback__) if not is_library(frame.filename)]


def _left(error: SystemExit) -> CleanroomError:
    status = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    return AlgorithmExitError(
        f"the algorithm's code called sys.exit with status {status & 0xFF} before its artifacts were saved",
        expected="code that returns when it has finished, and raises an exception when it fails",
        fix="raise an exception that describes the problem",
    )


def _die_with_launcher() -> None:
    """End when the launcher is gone, even by SIGKILL: no process outlives its job."""
    launcher = os.getppid()
    signal_when_orphaned(signal.SIGKILL)
    threading.Thread(target=_watch_parent, args=(launcher,), name="launcher", daemon=True).start()


def _watch_parent(launcher: int) -> None:
    while os.getppid() == launcher:
        time.sleep(1)
    os._exit(ExitCode.INTERNAL)


if __name__ == "__main__":
    status = main()
    shutil.rmtree(get_temp_dir(), ignore_errors=True)  # of loader processes; the interpreter's end would remove it
    # Threads of a broken process group can keep the interpreter from ending.
    os._exit(status)
