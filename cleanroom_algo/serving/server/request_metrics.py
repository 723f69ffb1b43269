"""Counts and times of a process: a line in the log and, if enabled, Prometheus."""

from __future__ import annotations

import os
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cleanroom_algo.serving.scoring.scorer import RequestStats

_DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)


def prepare_prometheus() -> None:
    """Create a new common folder for the processes of this server; call it before any of them imports the client."""
    os.environ[_DIRECTORY_VARIABLE] = tempfile.mkdtemp(prefix="prometheus-")


def forget_process(pid: int) -> None:
    """Remove the gauges of a dead process from the sums."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]


def remove_prometheus() -> None:
    """Remove the common folder."""
    import shutil

    folder = os.environ.pop(_DIRECTORY_VARIABLE, None)
    if folder and Path(folder).name.startswith("prometheus-"):
        shutil.rmtree(folder, ignore_errors=True)


def exposition() -> tuple[bytes, str]:
    """Return the text for Prometheus, of all processes together, and its content type."""
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest, multiprocess

    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry), CONTENT_TYPE_LATEST


@dataclass
class RequestMetrics:
    """Counts the requests of one process.

    Attributes:
        enabled: whether the counts are also for Prometheus.
    """

    enabled: bool = False
    requests: int = 0
    failures: int = 0
    rows: int = 0
    placeholders: int = 0
    nan: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._prometheus: dict[str, Any] = {}

    def start(self) -> None:
        """Open the counters of this process; call it after the fork."""
        if not self.enabled:
            return
        from prometheus_client import Counter, Histogram

        self._prometheus = {
            "requests": Counter("cleanroom_algo_requests", "Requests answered", ["status"]),
            "rows": Counter("cleanroom_algo_rows", "Records predicted"),
            "placeholders": Counter("cleanroom_algo_placeholders", "Records answered by a placeholder"),
            "nan": Counter("cleanroom_algo_nan", "Records whose prediction holds a NaN"),
            "seconds": Histogram("cleanroom_algo_request_seconds", "Seconds per request", buckets=_SECONDS),
        }

    def observe(self, stats: RequestStats, *, status: int, seconds: float) -> None:
        """Count one request."""
        with self._lock:
            self.requests += 1
            self.failures += status >= 400
            self.rows += stats.rows
            self.placeholders += stats.placeholders
            self.nan += stats.nan
            self.seconds += seconds
        if self._prometheus:
            self._prometheus["requests"].labels(str(status)).inc()
            self._prometheus["rows"].inc(stats.rows)
            self._prometheus["placeholders"].inc(stats.placeholders)
            self._prometheus["nan"].inc(stats.nan)
            self._prometheus["seconds"].observe(seconds)

    def line(self) -> str:
        """Return the counts as a metric line in the form of training, for metric definitions that read the log."""
        return (
            f"[metric] serving_requests={self.requests} serving_failures={self.failures} serving_rows={self.rows} "
            f"serving_placeholders={self.placeholders} serving_nan={self.nan} serving_seconds={self.seconds:.3f}"
        )
