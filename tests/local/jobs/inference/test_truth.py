"""The predictions of a job are those of the model in process, bit for bit, however the job is cut and spread."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cleanroom_algo.local.jobs.inference.client import Client, Retries
from cleanroom_algo.local.jobs.inference.transform import InferenceProgress, TransferProgress, Transform
from cleanroom_algo.local.objects.reference import ObjectRef
from cleanroom_algo.local.plans.inference_plan import HeaderMode, InferencePlan, Transfer, spread_objects
from cleanroom_algo.local.plans.training_plan import AlgorithmSource
from cleanroom_algo.serving.artifacts import Artifacts
from cleanroom_algo.serving.scoring.prediction import answer, load_predictor
from tests.serving.fixtures import container, server, start_server
from tests.serving.support import Container, RunningServer, Start, table, to_port

__all__ = ["container", "server", "start_server"]

ROWS = 3000


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    return table(ROWS, seed=9)


@pytest.fixture(scope="module")
def truth(container: Container, frame: pl.DataFrame) -> list[bytes]:
    predictor = load_predictor(str(container.algorithm), Artifacts(container.root / "model"))
    return answer(predictor, frame).write_csv(include_header=False).encode().splitlines(keepends=True)


@given(
    cuts=st.lists(st.integers(0, ROWS), max_size=4),
    payload_bytes=st.sampled_from([0, 40, 64, 300, 1024, 1500, 9000, 70_000, 6_000_000]),
    instances=st.integers(1, 4),
    concurrency=st.integers(1, 6),
    header=st.sampled_from([None, "first-chunk", "none", "every"]),
    final=st.booleans(),
    crlf=st.booleans(),
    blank=st.booleans(),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_job_predicts_what_the_model_predicts(
    tmp_path_factory: pytest.TempPathFactory,
    server: RunningServer,
    frame: pl.DataFrame,
    truth: list[bytes],
    cuts: list[int],
    payload_bytes: int,
    instances: int,
    concurrency: int,
    header: HeaderMode | None,
    final: bool,
    crlf: bool,
    blank: bool,
) -> None:
    folder = tmp_path_factory.mktemp("job")
    if payload_bytes in {40, 64}:  # a request for each record, about: few of them will do
        frame, cuts, payload_bytes = frame.head(60), [cut % 60 for cut in cuts], payload_bytes + 20
    bounds = [0, *sorted(cuts), frame.height]
    references = []
    for number, (start, end) in enumerate(itertools.pairwise(bounds)):
        text = frame[start:end].write_csv(include_header=header is not None, line_terminator="\r\n" if crlf else "\n")
        if blank and text:  # an empty line within, which is not a record
            first, line_end, rest = text.partition("\n")
            text = first + line_end + ("\r\n" if crlf else "\n") + rest
        content = (text if final else text.removesuffix("\n")).encode()
        path = folder / f"{number}"
        path.write_bytes(content)
        references.append(ObjectRef(f"{number}", path, len(content)))
    plan = InferencePlan(
        job_name="job",
        job_arn="arn",
        run_directory=folder,
        source=AlgorithmSource(str(folder), None, None),
        model=folder,
        hosts=spread_objects(references, instances),
        has_header=header is not None,
        header=header or "first-chunk",
    )
    moved = TransferProgress(0, None, lambda _: None)
    warnings: list[tuple[str, ...]] = []

    def run(number: int) -> list[object]:
        client = Client(to_port(server.port), content_type="text/csv", accept=None, retries=Retries(3, 60))
        transfer = Transfer(payload_bytes, concurrency)
        outputs = folder / "outputs"
        transform = Transform(
            plan, transfer, client, moved, outputs, lambda *each: warnings.append(each), threading.Event()
        )
        return list(transform.run(plan.hosts[number].objects))

    with ThreadPoolExecutor(instances) as pool:
        failed = [failure for failures in pool.map(run, range(instances)) for failure in failures]
    assert failed == []
    assert warnings == []
    for number, (start, end) in enumerate(itertools.pairwise(bounds)):
        output = (folder / "outputs" / f"{number}.out").read_bytes()
        assert output == b"".join(truth[start:end])


def test_a_job_loses_and_doubles_nothing_where_workers_are_killed(
    tmp_path: Path, container: Container, start_server: Start, frame: pl.DataFrame, truth: list[bytes]
) -> None:
    server = start_server(container, CLEANROOM_ALGO_SERVE_WORKERS="2")
    references = []
    for number in range(3):
        path = tmp_path / f"{number}"
        path.write_text(frame[number * 1000 : (number + 1) * 1000].write_csv(include_header=False))
        references.append(ObjectRef(f"{number}", path, path.stat().st_size))
    plan = InferencePlan(
        job_name="job",
        job_arn="arn",
        run_directory=tmp_path,
        source=AlgorithmSource(str(tmp_path), None, None),
        model=tmp_path,
        hosts=spread_objects(references, 1),
    )
    due = list(range(500, 3000, 500))  # records answered

    def kill_at_times(progress: InferenceProgress) -> None:
        if due and progress.records >= due[0]:
            due.pop(0)
            os.kill(server.workers()[0], signal.SIGKILL)

    moved = TransferProgress(sum(each.size for each in references), None, kill_at_times)
    client = Client(to_port(server.port), content_type="text/csv", accept=None, retries=Retries(3, 60))
    transform = Transform(plan, Transfer(300, 4), client, moved, tmp_path / "outputs", print, threading.Event())
    assert transform.run(plan.hosts[0].objects) == []
    assert not due
    for number in range(3):
        output = (tmp_path / "outputs" / f"{number}.out").read_bytes()
        assert output == b"".join(truth[number * 1000 : (number + 1) * 1000])
    assert server.stop() == 0
