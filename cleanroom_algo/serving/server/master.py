"""gunicorn, embedded: its master loads the model, its workers answer."""

from __future__ import annotations

import gc
import logging
import os
import socket
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger

from cleanroom_algo.contract.environment import InferenceEnvironment
from cleanroom_algo.errors import ServerStartError
from cleanroom_algo.errors.exit_codes import ExitCode
from cleanroom_algo.serving.server import request_metrics as metrics
from cleanroom_algo.serving.server.app import create_app
from cleanroom_algo.serving.server.connection_counts import Shares
from cleanroom_algo.serving.server.invocation import invoke, invoke_together
from cleanroom_algo.serving.server.reports import Phase, Reports, how_ended
from cleanroom_algo.serving.server.resources import stay_on
from cleanroom_algo.serving.server.service import Service
from cleanroom_algo.serving.server.sizing import ServerPlan
from cleanroom_algo.serving.server.worker import BoundedWorker

log = logging.getLogger("cleanroom_algo.serving")

DRAIN_SECONDS = 25  # the platform kills 30 s after SIGTERM (SageMaker developer guide, hosting services)
KEEPALIVE_SECONDS = 75  # longer than a client's pause between two requests of a job


class _Logger(Logger):  # type: ignore[misc]
    """gunicorn's own messages, in the form of all the others."""

    def setup(self, cfg: Any) -> None:
        """Set the level, as gunicorn does, and leave the writing to the root logger."""
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


class _Arbiter(Arbiter):  # type: ignore[misc]
    """gunicorn's master, which knows how its workers ended when `child_exit` is called, and does not reload."""

    def reap_workers(self) -> None:
        """Look at the workers that have ended, and take leave of them as gunicorn does."""
        for pid, worker in self.WORKERS.items():
            if hasattr(os, "waitid"):  # not on every macOS
                ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if ended is not None:
                    killed = ended.si_code != os.CLD_EXITED
                    worker.how_ended = how_ended(-ended.si_status if killed else ended.si_status)
        super().reap_workers()

    def handle_hup(self) -> None:
        """End as after SIGTERM: the model is not loaded anew, and who hangs up wants no server left behind."""
        self.handle_term()


class Server(BaseApplication):  # type: ignore[misc]
    """The production server.

    Args:
        environment: of the container.
        plan: of the server.
        service: the loaded model, or None where each worker loads its own.
        listener: what `bind` returned.
        reports: to the process above.
    """

    def __init__(
        self,
        environment: InferenceEnvironment,
        plan: ServerPlan,
        service: Service | None,
        listener: socket.socket,
        reports: Reports,
    ) -> None:
        self.environment = environment
        self.listener = listener
        self.plan = plan
        self.service = service
        self.reports = reports
        self._shares = Shares(2 * plan.workers)  # gunicorn forks a further one at each SIGTTIN
        super().__init__()

    def load_config(self) -> None:
        """Set gunicorn's settings; it reads no file, argument or variable of its own."""
        settings = {
            "bind": f"fd://{self.listener.detach()}",
            "worker_class": BoundedWorker,  # threads: parsing and torch release the GIL, and /ping stays alive
            "workers": self.plan.workers,
            "threads": self.plan.threads,
            "timeout": 0,  # gunicorn's heartbeat sees no stuck thread; the worker's own deadlines do
            "graceful_timeout": DRAIN_SECONDS,
            "keepalive": KEEPALIVE_SECONDS,
            "max_requests": 0,  # recycling a worker within a job only makes requests wait
            "preload_app": False,  # the model is loaded before this class exists, where that is safe
            "control_socket_disable": True,  # it would want a writable home folder
            "accesslog": None,  # a line for each of 100,000 requests tells less than the counts
            "logger_class": _Logger,
            "loglevel": self.environment.settings.log_level.lower(),
            "limit_request_fields": 64,
            "forwarder_headers": "",  # headers of proxies are further headers, which must be ignored, like any others
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
            SystemExit: the server, or in a forked process that process, has ended.
        """
        _Arbiter(self).run()

    def load(self) -> Callable[..., Any]:
        """Return the application of a worker, with the model loaded and warm."""
        try:
            if self.service is None:
                self.reports.phase(Phase.LOADING)
                self.service = Service.load(self.environment, self.plan)
            self.reports.phase(Phase.WARMING_UP)
            configure_compute(self.plan.compute_threads)
            self.service.metrics.start()
            self.service.warm_up()
        except BaseException as error:  # a panic of native code, too, is no Exception
            self.reports.failed(error)
            sys.exit(ExitCode.ALGORITHM_FAILED)
        if self.service.parameters is not None:
            log.info("/execution-parameters: %s", self.service.parameters.reason)
        gc.collect()
        gc.freeze()  # a collection over the objects of torch and polars stops all threads for 50 ms
        return create_app(self.service)

    def _pre_fork(self, _server: Arbiter, worker: BoundedWorker) -> None:
        worker.share = self._shares.claim()

    def _post_fork(self, _server: Arbiter, worker: BoundedWorker) -> None:
        if own := self.plan.own_cores:
            stay_on(own[worker.share.place % len(own)])

    def _post_worker_init(self, worker: BoundedWorker) -> None:
        assert self.service is not None
        self.service.reading = worker.reading
        worker.invoke = partial(invoke, self.service)
        worker.invoke_together = partial(invoke_together, self.service)
        worker.watch(self.service.admission, self.environment.settings.serve_timeout_seconds)
        self.reports.phase(Phase.SERVING)

    def _child_exit(self, _server: Arbiter, worker: BoundedWorker) -> None:
        self._shares.take_back(worker.share)
        if self.environment.settings.serve_prometheus:
            metrics.forget_process(worker.pid)
        self.reports.ended(worker.pid, worker.how_ended)

    def _worker_exit(self, _server: Arbiter, _worker: BoundedWorker) -> None:
        if self.service is not None and self.service.metrics.requests:
            log.info(self.service.metrics.line())


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that holds an address, and does not listen yet.

    Raises:
        ServerStartError: another process has the address, or this one may not have it.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise ServerStartError(
            f"{host}:{port} cannot be listened on: {error.strerror}",
            expected="a port that no other process has (8080, or SAGEMAKER_BIND_TO_PORT)",
            fix="end the other server, or choose another port",
        ) from None
    return listener


def configure_compute(threads: int) -> None:
    """Set how many threads torch computes with, where there is torch."""
    if find_spec("torch") is None:
        return
    import torch

    torch.set_num_threads(threads)
