"""`python -m cleanroom_algo.training [train]`: what a training container runs."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from cleanroom_algo.channels.memory import keep_freed_memory
from cleanroom_algo.contract.environment import Environment
from cleanroom_algo.contract.failure import cut, read_failure, write_failure
from cleanroom_algo.contract.paths import Paths
from cleanroom_algo.contract.processes import imports_for_good
from cleanroom_algo.contract.redaction import Redactor
from cleanroom_algo.contract.script import training_script
from cleanroom_algo.contract.tracebacks import is_logged
from cleanroom_algo.errors.exit_codes import ExitCode
from cleanroom_algo.errors.status_codes import NOT_STARTED
from cleanroom_algo.training.artifacts.writer import ArtifactWriter
from cleanroom_algo.training.process.logs import configure_logging, quiet_torch
from cleanroom_algo.training.process.reports import RankReport
from cleanroom_algo.training.signals import Phase, StopRequest

ARGUMENT = "train"
"""The platform appends it to an image's ENTRYPOINT (SageMaker developer guide, "How Amazon SageMaker runs your training
image")."""

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Train, and say truly how it ended.

    Args:
        argv: the arguments; `train` is accepted, others are an error.

    Returns:
        0 done, 143 stopped after SIGTERM, 130 after SIGINT, else why it failed, as `ExitCode` has it. The failure file
        says the same in words.
    """
    keep_freed_memory()
    stop = StopRequest()
    stop.install()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments not in ([], [ARGUMENT]):
        print(f"usage: {Path(sys.argv[0]).name} [{ARGUMENT}]", file=sys.stderr)
        return ExitCode.USAGE
    paths = Paths.from_environ(os.environ)
    report = _run(stop, paths)
    stop.enter(Phase.ENDING)
    sys.stdout.flush()
    if report.outcome == "failed":
        if not is_logged(report.text):
            print(report.text, file=sys.stderr, flush=True)
        try:
            write_failure(paths, report.text)
        except OSError as error:
            print(f"the failure file cannot be written: {error.strerror}", file=sys.stderr, flush=True)
        return report.exit_code or ExitCode.ALGORITHM_FAILED
    return report.exit_code


def _run(stop: StopRequest, paths: Paths) -> RankReport:
    redact = Redactor()  # made before code of the algorithm runs: what that writes is not its source
    rank = 0
    started = False
    try:
        stop.enter(Phase.STARTING)  # there is nothing to save before a rank's first step
        environment = Environment.read()
        rank = environment.resources.host_rank
        redact = Redactor.of(environment.settings.algorithm, environment.hyperparameters)
        configure_logging(environment.settings)
        script = training_script(environment)
        if script is not None:
            from cleanroom_algo.training.process.script import run_script

            started = True
            redact = Redactor(script.parent, environment.hyperparameters)
            report = run_script(script, environment, stop, redact)
        else:
            quiet_torch()
            from cleanroom_algo.training.process.launch import ranks_per_host, run_ranks

            ranks = ranks_per_host(environment)
            if ranks * environment.resources.host_count > 1:
                started = True  # the ranks import and check the algorithm
                with _base_model(environment, stop):
                    report = run_ranks(environment, ranks, stop)
            else:
                from cleanroom_algo.training.process.job import Job
                from cleanroom_algo.training.process.rank import run_rank

                with imports_for_good():
                    job = Job.load(environment)
                redact = job.redact
                job.check()
                started = True
                with _base_model(environment, stop):
                    report = run_rank(job, 0, 1, stop)
        if report.outcome != "failed":
            cap = environment.settings.max_artifact_gb
            ArtifactWriter.for_job(environment.paths.model, cap).check_final(environment.paths.output_data)
    except BaseException as error:
        from cleanroom_algo.training.process.rank import report_of

        report = report_of(error, rank, stop, redact)
        if report.outcome == "failed" and not started:
            log.error(NOT_STARTED)
    return _with_own_words(report, paths, redact) if report.outcome == "failed" else report


def _with_own_words(report: RankReport, paths: Paths, redact: Redactor) -> RankReport:
    """Return the report with what the algorithm itself wrote into the failure file, whose place it takes."""
    own = read_failure(paths) if paths.failure.is_file() and not paths.failure.is_symlink() else None
    if own is None:
        return report
    with contextlib.suppress(OSError):
        paths.failure.unlink()
    return replace(report, text=cut(redact.describe_text(own)))


@contextlib.contextmanager
def _base_model(environment: Environment, stop: StopRequest) -> Iterator[None]:
    """Unpack the base model once per host, before any rank starts."""
    from cleanroom_algo.training.artifacts.base_model import base_model_channel, unpack_base_model
    from cleanroom_algo.training.process.job import BASE_MODEL_VARIABLE

    channel = base_model_channel(environment)
    if channel is None:
        yield
        return
    with stop.temporary_folder("cleanroom-base-") as scratch:
        os.environ[BASE_MODEL_VARIABLE] = str(unpack_base_model(channel, scratch / "model"))
        log.info("base model: channel %s", channel.name)
        try:
            yield
        finally:
            del os.environ[BASE_MODEL_VARIABLE]
