"""gunicorn, embedded: its master loads the model, its workers answer requests."""

from __future__ import annotations

import faulthandler
import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
from functools import partial
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from cleanroom_algo.contract.environment import InferenceEnvironment
from cleanroom_algo.contract.failure import failure_text
from cleanroom_algo.contract.processes import signal_when_orphaned
from cleanroom_algo.contract.tracebacks import log_traceback
from cleanroom_algo.errors import CleanroomError, ServerStartError
from cleanroom_algo.errors.exit_codes import ExitCode
from cleanroom_algo.serving.scoring.algorithm_errors import loading_failed
from cleanroom_algo.serving.server import request_metrics
from cleanroom_algo.serving.server.admission import Admission
from cleanroom_algo.serving.server.app import create_app
from cleanroom_algo.serving.server.connection_counts import ConnectionCounts
from cleanroom_algo.serving.server.gunicorn_internals import Master, Worker
from cleanroom_algo.serving.server.parent import cause_of_death, limit_start
from cleanroom_algo.serving.server.report import Failure, Report, Stage
from cleanroom_algo.serving.server.resources import stay_on
from cleanroom_algo.serving.server.service import Service
from cleanroom_algo.serving.server.sizing import ServerPlan

log = logging.getLogger("cleanroom_algo.serving")

DRAIN_SECONDS = 25  # the platform kills 30 s after SIGTERM (SageMaker developer guide, hosting services)
CHECK_SECONDS = 0.25  # between two checks whether a prediction is stuck
KEEPALIVE_SECONDS = 75  # longer than a client's pause between two requests of a job


class _Logger(Logger):  # type: ignore[misc]
    """gunicorn's own messages, in the same form as all others."""

    def setup(self, cfg: Any) -> None:
        """Set the level, as gunicorn does; the root logger writes."""
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


class InferenceServer(BaseApplication):  # type: ignore[misc]
    """The production server.

    Args:
        environment: of the container.
        plan: of the server.
        service: the loaded model, or None if each worker loads its own.
        listener: what `bind` returned.
        report: to the parent process.
    """

    def __init__(
        self,
        environment: InferenceEnvironment,
        plan: ServerPlan,
        service: Service | None,
        listener: socket.socket,
        report: Report,
    ) -> None:
        self.environment = environment
        self.listener = listener
        self.plan = plan
        self.service = service
        self.report = report
        self._counts = ConnectionCounts(2 * plan.workers)  # gunicorn forks one more at each SIGTTIN
        self._gave_up = False
        super().__init__()

    def load_config(self) -> None:
        """Set gunicorn's settings; it reads no files, arguments or variables."""
        settings = {
            "bind": f"fd://{self.listener.detach()}",
            "worker_class": Worker,  # threads: parsing and torch release the GIL, and /ping can be answered
            "workers": self.plan.workers,
            "threads": self.plan.threads,
            "timeout": 0,  # gunicorn's heartbeat does not detect a stuck thread; the worker's deadlines do
            "graceful_timeout": DRAIN_SECONDS,
            "keepalive": KEEPALIVE_SECONDS,
            "max_requests": 0,  # replacing a worker during a job only makes requests wait
            "preload_app": False,  # the model is loaded before the server is created, if that is safe
            "control_socket_disable": True,  # it would need a writable home folder
            "accesslog": None,  # a line for each of 100,000 requests is less useful than the counts
            "logger_class": _Logger,
            "loglevel": self.environment.settings.log_level.lower(),
            "limit_request_fields": 64,
            "forwarder_headers": "",  # headers of proxies are ignored like other unknown headers
            "pre_fork": self._pre_fork,
            "post_fork": self._post_fork,
            "post_worker_init": self._post_worker_init,
            "child_exit": self._child_exit,
            "worker_exit": self._worker_exit,
        }
        if os.path.isdir("/dev/shm") and os.access("/dev/shm", os.W_OK):  # noqa: PTH112, S108
            settings["worker_tmp_dir"] = "/dev/shm"  # noqa: S108 (heartbeats off a slow overlay disk)
        for name, value in settings.items():
            self.cfg.set(name, value)

    def run(self) -> None:
        """Serve until SIGTERM; never return.

        Raises:
            SystemExit: the server has ended, or a forked process at its end.
        """
        try:
            Master(self).run()
        finally:
            if self._gave_up:
                sys.exit(ExitCode.ALGORITHM_FAILED)

    def load(self) -> Flask:
        """Return the application of a worker, with the model loaded and warm."""
        limit_start(self.report, self.environment.settings.serve_start_seconds)
        try:
            if self.service is None:
                self.service = Service.load(self.environment, self.plan, self.report.redact)
            self.report.reach(Stage.WARMING_UP)
            configure_compute(self.plan.compute_threads)
            self.service.metrics.start()
            self.service.warm_up()
        except BaseException as error:  # a panic of native code is not an Exception
            tell_failure(self.report, error)
            sys.exit(ExitCode.ALGORITHM_FAILED)
        faulthandler.cancel_dump_traceback_later()
        if self.service.parameters is not None:
            log.info("/execution-parameters: %s", self.service.parameters.reason)
        gc.collect()
        gc.freeze()  # a garbage collection of the objects of torch and polars stops all threads for 50 ms
        return create_app(self.service)

    def _pre_fork(self, _server: Master, worker: Worker) -> None:
        worker.place = self._counts.claim()

    def _post_fork(self, _server: Master, worker: Worker) -> None:
        signal_when_orphaned(signal.SIGKILL)  # a worker that hangs does not notice that the master has ended
        if own := self.plan.own_cores:
            stay_on(own[worker.place.number % len(own)])

    def _post_worker_init(self, _worker: Worker) -> None:
        assert self.service is not None
        limit = self.environment.settings.serve_timeout_seconds
        watch = partial(end_when_stuck, self.service.admission, limit)
        threading.Thread(target=watch, name="deadlines", daemon=True).start()
        self.report.reach(Stage.SERVING)

    def _child_exit(self, server: Master, worker: Worker) -> None:
        served = worker.place.serves
        self._counts.take_back(worker.place)
        if self.environment.settings.serve_prometheus:
            request_metrics.forget_process(worker.pid)
        if served or server.ending or self._counts.anybody_serves or self._gave_up:
            return  # gunicorn replaces it if necessary
        # Other processes would fail in the same way. If this one has reported why, its first report counts.
        limit = self.environment.settings.serve_start_seconds
        error = cause_of_death(worker.how_ended, self.report, time.monotonic() - self.report.began, limit)
        self.report.tell(Failure.of(error))
        self._gave_up = True
        os.kill(os.getpid(), signal.SIGTERM)

    def _worker_exit(self, _server: Master, _worker: Worker) -> None:
        if self.service is not None and self.service.metrics.requests:
            log.info(self.service.metrics.line())


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to an address and does not listen yet.

    Raises:
        ServerStartError: another process uses the address, or this process may not use it.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise ServerStartError(
            f"the server cannot listen on {host}:{port}: {error.strerror}",
            expected="a port that no other process uses (8080, or SAGEMAKER_BIND_TO_PORT)",
            fix="stop the other server, or choose another port",
        ) from None
    return listener


def configure_compute(threads: int) -> None:
    """Set the number of threads of torch and other libraries; those that are imported later read a variable."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(threads)


def end_when_stuck(admission: Admission, limit_seconds: float) -> None:
    """End this process when a prediction runs for too long: a thread in native code cannot be stopped otherwise."""
    while admission.longest_running() <= limit_seconds:
        time.sleep(CHECK_SECONDS)
    log.error(
        "a prediction has been running for more than %g s (CLEANROOM_ALGO_SERVE_TIMEOUT_SECONDS): this process ends "
        "and is replaced",
        limit_seconds,
    )
    os._exit(ExitCode.ALGORITHM_FAILED)


def tell_failure(report: Report, error: BaseException) -> None:
    """Report why this process cannot serve, in the log and to the parent process."""
    told = error if isinstance(error, CleanroomError) else loading_failed(error, report.redact)
    log.error("the model cannot be served\n%s", told)
    raised = error.__cause__ if isinstance(error, CleanroomError) else error
    if raised is not None:
        log_traceback(raised)
    report.tell(Failure.of(told, failure_text(error, report.redact)))
