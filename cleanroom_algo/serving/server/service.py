"""One loaded model and everything a process needs to answer with it."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from cleanroom_algo.contract.algorithm import find_class, load_algorithm
from cleanroom_algo.contract.environment import InferenceEnvironment
from cleanroom_algo.errors import AlgorithmClassError, CleanroomError, ServerStartError
from cleanroom_algo.serving.artifacts import Artifacts
from cleanroom_algo.serving.codecs.media_types import Format
from cleanroom_algo.serving.merging import Merger
from cleanroom_algo.serving.predictor import Predictor, says_nothing
from cleanroom_algo.serving.scoring.scorer import Scorer, Tally
from cleanroom_algo.serving.server.admission import Admission
from cleanroom_algo.serving.server.request_metrics import Metrics
from cleanroom_algo.serving.server.sizing import (
    DISCARDS,
    ExecutionParameters,
    ServerPlan,
    execution_parameters,
)

log = logging.getLogger("cleanroom_algo.serving")

WARM_UP_ROWS = 4096  # about 1 MB of CSV: enough to start every thread pool and to tell a rate
WARM_UP_SECONDS = 0.2  # a rate measured over this long is good enough, and start-up stays short


def load_predictor(source: str, artifacts: Artifacts) -> Predictor:
    """Import the algorithm and load its model; whatever its code raises goes through.

    Args:
        source: the algorithm: a file, a folder or a module name.
        artifacts: the model directory.

    Raises:
        AlgorithmNotFoundError: there is no algorithm.
        AlgorithmClassError: it does not define one Predictor.
        ManifestError: the model directory is not one that a Trainer wrote.
    """
    predictor = find_class(load_algorithm(source), Predictor)()
    if says_nothing(predictor):
        raise AlgorithmClassError(
            f"{type(predictor).__name__} does not say how rows are predicted",
            expected="a Predictor that overrides `predict_arrays` or `predict`",
            fix="define one of them",
        )
    predictor.artifacts = artifacts
    predictor.load(artifacts)
    return predictor


@dataclass
class Service:
    """What the application answers from.

    Attributes:
        scorer: bytes to bytes.
        environment: of the container.
        plan: of the server.
        admission: of this process.
        merger: of its small requests.
        metrics: of this process.
        ready: whether a prediction has succeeded in this process.
        suspect: whether one has failed since.
        parameters: what /execution-parameters answers; known once the warm-up has measured.
        reading: bounds the seconds of a read from a connection's socket; the server sets it.
    """

    scorer: Scorer
    environment: InferenceEnvironment
    plan: ServerPlan
    admission: Admission = field(init=False)
    merger: Merger = field(init=False)
    metrics: Metrics = field(init=False)
    ready: bool = False
    suspect: bool = False
    parameters: ExecutionParameters | None = None
    reading: Callable[[Any, float], AbstractContextManager[None]] = lambda _connection, _seconds: nullcontext()

    def __post_init__(self) -> None:
        self.admission = Admission(
            predictions=self.plan.predictions,
            queue=self.plan.queue,
            buffer_bytes=self.plan.buffer_bytes,
            discards=DISCARDS,
        )
        self.merger = Merger(self.scorer, self.admission.predicting)
        self.metrics = Metrics(enabled=self.environment.settings.serve_prometheus)

    @classmethod
    def load(cls, environment: InferenceEnvironment, plan: ServerPlan) -> Service:
        """Load the algorithm and the model of a container.

        Raises:
            CleanroomError: they are not there or do not fit; whatever the algorithm raises goes through.
        """
        settings = environment.settings
        artifacts = Artifacts(environment.paths.model)
        predictor = load_predictor(settings.algorithm, artifacts)
        placeholder = settings.serve_placeholder if settings.serve_bad_records == "placeholder" else None
        return cls(Scorer(predictor, artifacts.schema, placeholder=placeholder), environment, plan)

    def warm_up(self) -> None:
        """Predict invented rows, as requests would, until all is warm and the rate is known.

        Raises:
            ServerStartError: the model predicts NaN.
            CleanroomError: it does not predict.
        """
        rows, rate, spent = 1, 0.0, 0.0
        first = self._answer(self._sample_body(rows))  # the first ever: imports, thread pools, caches
        self.scorer.respond_to_few(self._sample_body(rows), Tally())  # the way of a few rows, as warm
        if first.nan:
            raise ServerStartError(
                "the model predicts NaN for the first row of the warm-up",
                expected="a number; NaN usually comes from weights that are NaN, left by a training that diverged",
                fix="train again with a lower learning rate, or return rows that may be predicted from "
                "`Predictor.sample`",
            )
        while spent < WARM_UP_SECONDS:
            body = self._sample_body(rows)
            start = time.perf_counter()
            self._answer(body)
            seconds = time.perf_counter() - start
            rate = max(rate, len(body) / seconds)
            spent += seconds
            rows = min(rows * 8, WARM_UP_ROWS)
        self.parameters = execution_parameters(self.plan, self.environment, rate)
        self.ready = True

    def is_healthy(self) -> bool:
        """Return whether a prediction would work now.

        It did in the warm-up; after one has failed since, another is tried before the question is answered.
        """
        if self.suspect:
            try:
                self._answer(self._sample_body(1))
            except Exception:
                return False
            self.suspect = False
        return self.ready

    def _answer(self, body: bytes) -> Tally:
        tally = Tally()
        self.scorer.respond([body], Format.CSV, Format.CSV, tally=tally).close()
        return tally

    def _sample_body(self, rows: int) -> bytes:
        out = io.BytesIO()
        sample: pl.DataFrame = self.scorer.predictor.sample(rows)
        sample.write_csv(out, include_header=False)
        return out.getvalue()


def describe(error: BaseException) -> str:
    """Return an error for the log: all of ours; of another only its type, as its message may quote a row."""
    return str(error) if isinstance(error, CleanroomError) else type(error).__name__
