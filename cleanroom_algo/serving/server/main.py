"""`serve`: the program that an inference container runs."""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from cleanroom_algo.channels.memory import keep_freed_memory
from cleanroom_algo.contract.environment import InferenceEnvironment
from cleanroom_algo.contract.tracebacks import configure_tracebacks
from cleanroom_algo.errors import CleanroomError
from cleanroom_algo.errors.exit_codes import ExitCode
from cleanroom_algo.serving.server.parent import limit_start, supervise
from cleanroom_algo.serving.server.report import Report

if TYPE_CHECKING:
    from cleanroom_algo.serving.server.service import Service
    from cleanroom_algo.serving.server.sizing import ServerPlan

log = logging.getLogger("cleanroom_algo.serving")

USAGE = "usage: python -m cleanroom_algo.serving [serve]"


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the model below /opt/ml/model until SIGTERM.

    Args:
        argv: `serve`, as the platform adds it to the image's entry point, or nothing.

    Returns:
        An exit status: 0 after SIGTERM, or 143 if it came before the server was ready; 1 or 3 if the model cannot be
        served; 2 for other arguments.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments not in ([], ["serve"]):
        print(USAGE, file=sys.stderr)
        return ExitCode.USAGE
    keep_freed_memory()  # the serving processes inherit it
    try:
        environment = InferenceEnvironment.read()
    except CleanroomError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    logging.basicConfig(
        level=environment.settings.log_level, format="%(asctime)s [%(process)d] %(levelname)s %(message)s"
    )
    configure_tracebacks(environment.settings)
    status = supervise(environment, partial(_serve, environment))
    if status is None:
        os.environ["CLEANROOM_ALGO_SERVE_PRELOAD"] = "false"
        environment = InferenceEnvironment.read()
        status = supervise(environment, partial(_serve, environment))
    return ExitCode.INTERNAL if status is None else status


def _serve(environment: InferenceEnvironment, report: Report) -> int:
    from cleanroom_algo.serving.artifacts import Artifacts
    from cleanroom_algo.serving.server.resources import affine_cores, cores, gpus, memory_bytes
    from cleanroom_algo.serving.server.sizing import Machine, plan_server

    # Before numpy, torch and polars are imported, because they read these variables once. The master must not start a
    # pool of threads, as its threads would not exist in the forked workers.
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    artifacts = Artifacts(environment.paths.model)
    machine = Machine(cores(), memory_bytes(), gpus(), affine_cores())
    plan = plan_server(machine, artifacts.size_bytes, environment, can_fork=sys.platform == "linux")
    os.environ.setdefault("POLARS_MAX_THREADS", str(plan.compute_threads))

    from cleanroom_algo.serving.server import request_metrics
    from cleanroom_algo.serving.server.master import InferenceServer, bind, configure_compute, tell_failure

    configure_compute(1)
    if environment.settings.serve_prometheus:
        request_metrics.prepare_prometheus()
    try:
        listener = bind(environment.settings.serve_host, environment.port)  # before loading, which takes long
        service = _load_before_fork(environment, plan, report) if plan.preload else None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a panic of native code is not an Exception
        tell_failure(report, error)
        return error.exit_code if isinstance(error, CleanroomError) else ExitCode.ALGORITHM_FAILED
    for reason in plan.reasons:
        log.info(reason)
    master = os.getpid()
    try:
        InferenceServer(environment, plan, service, listener, report).run()
    except SystemExit as end:
        return ExitCode.OK if end.code in {0, None} else ExitCode.ALGORITHM_FAILED
    finally:
        if environment.settings.serve_prometheus and os.getpid() == master:  # forked workers also reach this line
            request_metrics.remove_prometheus()
    return ExitCode.OK


def _load_before_fork(environment: InferenceEnvironment, plan: ServerPlan, report: Report) -> Service:
    """Load the model in the master; restart without that if the master can then not be forked.

    A pool of native threads does not survive a fork (for example, that of polars if `load` reads a table with it): the
    workers would wait for it forever. Only a new process is without the pool.
    """
    import gc

    from cleanroom_algo.serving.server.resources import native_threads
    from cleanroom_algo.serving.server.service import Service

    limit_start(report, environment.settings.serve_start_seconds)
    before = native_threads()
    service = Service.load(environment, plan, report.redact)
    after = native_threads()
    if before is not None and after is not None and after > before and environment.settings.serve_preload is None:
        log.info(
            "loading the model started %d thread(s), which do not survive a fork: each process now loads the model "
            "itself",
            after - before,
        )
        report.want_anew()
        logging.shutdown()
        os._exit(ExitCode.OK)
    faulthandler.cancel_dump_traceback_later()
    gc.collect()
    gc.freeze()  # loaded objects stay: garbage collection in the workers must not write to, and so copy, their pages
    return service
