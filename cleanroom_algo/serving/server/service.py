"""One loaded model and everything that a process needs to answer with it."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field

from cleanroom_algo.channels.formats.csv.writing import csv_of
from cleanroom_algo.contract.algorithm import load_algorithm
from cleanroom_algo.contract.environment import InferenceEnvironment
from cleanroom_algo.contract.processes import imports_for_good
from cleanroom_algo.contract.redaction import Redactor
from cleanroom_algo.contract.script import inference_script
from cleanroom_algo.errors import ServerStartError
from cleanroom_algo.serving.artifacts import Artifacts
from cleanroom_algo.serving.codecs.media_types import MediaType
from cleanroom_algo.serving.scoring.prediction import load_predictor
from cleanroom_algo.serving.scoring.scorer import RequestStats, Scorer
from cleanroom_algo.serving.scoring.script import InferenceScript
from cleanroom_algo.serving.server.admission import Admission
from cleanroom_algo.serving.server.request_metrics import RequestMetrics
from cleanroom_algo.serving.server.sizing import ExecutionParameters, ServerPlan, execution_parameters

log = logging.getLogger("cleanroom_algo.serving")

WARM_UP_ROWS = 4096  # about 1 MB of CSV: enough to start every thread pool and to measure a rate
WARM_UP_SECONDS = 0.2  # a rate measured over this time is good enough, and the start stays short


@dataclass
class Service:
    """What the application uses to answer.

    Attributes:
        scorer: from bytes to bytes: with a Predictor, or with a script.
        environment: of the container.
        plan: of the server.
        admission: of this process.
        metrics: of this process.
        ready: whether a prediction has succeeded in this process.
        suspect: whether a prediction has failed since.
        parameters: the answer of /execution-parameters; known after the warm-up.
        unknown: columns for which the log has told that their categories are unknown.
    """

    scorer: Scorer | InferenceScript
    environment: InferenceEnvironment
    plan: ServerPlan
    admission: Admission = field(init=False)
    metrics: RequestMetrics = field(init=False)
    ready: bool = False
    suspect: bool = False
    parameters: ExecutionParameters | None = None
    unknown: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.admission = Admission(
            predictions=self.plan.predictions,
            queue=self.plan.queue,
            buffer_bytes=self.plan.buffer_bytes,
        )
        self.metrics = RequestMetrics(enabled=self.environment.settings.serve_prometheus)

    @classmethod
    def load(cls, environment: InferenceEnvironment, plan: ServerPlan, redact: Redactor) -> Service:
        """Load the algorithm and the model of a container.

        Args:
            environment: of the container.
            plan: of the server.
            redact: describes the algorithm's exceptions.

        Raises:
            CleanroomError: they do not exist or do not fit; exceptions of the algorithm pass through.
        """
        settings = environment.settings
        script = inference_script(environment)
        if script is not None:
            return cls(InferenceScript.load(script, environment.paths.model, redact), environment, plan)
        artifacts = Artifacts(environment.paths.model)
        with imports_for_good():
            load_algorithm(settings.algorithm)
        predictor = load_predictor(settings.algorithm, artifacts)
        placeholder = settings.serve_placeholder if settings.serve_bad_records == "placeholder" else None
        schema = artifacts.schema
        scorer = Scorer(predictor, schema, placeholder=placeholder, redact=redact.with_names(schema.names))
        return cls(scorer, environment, plan)

    def warm_up(self) -> None:
        """Predict invented rows like those of requests until everything is warm and the rate is known.

        The rows of a script are not known, so it is ready as soon as its model is loaded, as in the toolkit.

        Raises:
            ServerStartError: the model predicts NaN.
            CleanroomError: it does not predict.
        """
        rate = _warm_up(self.scorer) if isinstance(self.scorer, Scorer) else None
        self.parameters = execution_parameters(self.plan, self.environment, rate)
        self.ready = True

    def is_healthy(self) -> bool:
        """Return whether a prediction would work now.

        The warm-up has shown it. If a prediction has failed since, another one is tried first. For a script, no rows
        can be invented, so it stays healthy.
        """
        if self.suspect and isinstance(self.scorer, Scorer):
            try:
                _answer(self.scorer, _sample_body(self.scorer, 1))
            except Exception:
                return False
            self.suspect = False
        return self.ready


def _warm_up(scorer: Scorer) -> float:
    """Return how many bytes of CSV per second a predictor answers.

    Raises:
        ServerStartError: the model predicts NaN.
    """
    rows, rate, spent = 1, 0.0, 0.0
    first = _answer(scorer, _sample_body(scorer, rows))  # the first one includes imports, thread pools and caches
    if first.nan:
        raise ServerStartError(
            "the model predicts NaN for the first row of the warm-up",
            expected="a number; NaN usually means that training diverged and left NaN in the weights",
            fix="train again with a lower learning rate; or, if the invented rows are not valid input, override "
            "`Predictor.sample`",
        )
    while spent < WARM_UP_SECONDS:
        body = _sample_body(scorer, rows)
        start = time.perf_counter()
        _answer(scorer, body)
        seconds = time.perf_counter() - start
        rate = max(rate, len(body) / seconds)
        spent += seconds
        rows = min(rows * 8, WARM_UP_ROWS)
    return rate


def _answer(scorer: Scorer, body: bytes) -> RequestStats:
    stats = RequestStats()
    scorer.respond([body], MediaType.CSV, MediaType.CSV, stats=stats).close()
    return stats


def _sample_body(scorer: Scorer, rows: int) -> bytes:
    """Return sample rows as CSV, written as the schema declares it."""
    return csv_of(scorer.predictor.sample(rows), scorer.schema.csv, header=False)
