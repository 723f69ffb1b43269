"""Batch transform over a real server: the truth of its outputs, and its failures."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.contract.sizes import MB
from cleanroom_algo.errors import CleanroomError, InferenceOutputTooLargeError, InferenceRequestError
from cleanroom_algo.local.jobs.inference.client import Client, Retries
from cleanroom_algo.local.jobs.inference.transform import InferenceProgress, TransferProgress, Transform
from cleanroom_algo.local.objects.reference import ObjectRef
from cleanroom_algo.local.plans.inference_plan import (
    ContainerParameters,
    InferenceHostPlan,
    InferencePlan,
    Transfer,
    decide_transfer,
    spread_objects,
)
from cleanroom_algo.local.plans.training_plan import AlgorithmSource
from tests.serving.support import to_port

Answer = Callable[[bytes], tuple[int, bytes]]


@contextmanager
def container(answer: Answer, parameters: bytes | None = None) -> Iterator[int]:
    """Serve any behaviour over HTTP; yield the port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._reply(404 if parameters is None else 200, parameters or b"")

        def do_POST(self) -> None:
            self._reply(*answer(b"".join(self._body())))

        def _body(self) -> Iterator[bytes]:
            if "Content-Length" in self.headers:
                yield self.rfile.read(int(self.headers["Content-Length"]))
                return
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()

        def _reply(self, status: int, body: bytes) -> None:
            if status == 0:
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    class Quiet(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None: ...

    with Quiet(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def lines(payload: bytes) -> tuple[int, bytes]:
    return 200, b"\n".join(b"p" + line for line in payload.splitlines())


def client(port: int, **changes: object) -> Client:
    settings: dict[str, object] = {
        "content_type": "text/csv",
        "accept": None,
        "retries": Retries(3, 10),
    }
    return Client(to_port(port), **(settings | changes))  # type: ignore[arg-type]


def objects(folder: Path, *contents: bytes) -> tuple[ObjectRef, ...]:
    found = []
    for number, content in enumerate(contents):
        path = folder / f"object-{number}"
        path.write_bytes(content)
        found.append(ObjectRef(f"part/{number}", path, len(content)))
    return tuple(found)


def plan(folder: Path, references: tuple[ObjectRef, ...]) -> InferencePlan:
    return InferencePlan(
        job_name="job",
        job_arn="arn:aws:cleanrooms-ml:us-east-1:111111111111:job",
        run_directory=folder,
        source=AlgorithmSource("algorithm.py", None, None),
        model=folder,
        hosts=(InferenceHostPlan("algo-1", references),),
    )


def transform(
    folder: Path,
    references: tuple[ObjectRef, ...],
    port: int,
    *,
    concurrency: int = 2,
    cap: int | None = None,
    warnings: list[str] | None = None,
    progress: list[InferenceProgress] | None = None,
    payload_bytes: int = MB,
    **planned: Any,
) -> list[tuple[ObjectRef, CleanroomError]]:
    total = sum(reference.size for reference in references)
    moved = TransferProgress(total, cap, (lambda _: None) if progress is None else progress.append)
    own = client(port)
    return Transform(
        replace(plan(folder, references), **planned),
        Transfer(payload_bytes, concurrency),
        own,
        moved,
        folder / "outputs",
        lambda _, text: ([] if warnings is None else warnings).append(text),
        threading.Event(),
    ).run(references)


def left(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder / "outputs").as_posix() for path in (folder / "outputs").rglob("*.*"))


def big(rows: int, width: int) -> bytes:
    return b"".join(b"%0*d\n" % (width - 1, number) for number in range(rows))


def test_outputs_keep_the_order_of_the_records(tmp_path: Path) -> None:
    contents = big(30_000, 100), b"a\nb", b"", big(3, 10)
    progress: list[InferenceProgress] = []
    with container(lines) as port:
        failed = transform(tmp_path, objects(tmp_path, *contents), port, concurrency=4, progress=progress)
    assert failed == []
    assert left(tmp_path) == [f"part/{number}.out" for number in range(4)]
    for number, content in enumerate(contents):
        wanted = b"".join(b"p" + line + b"\n" for line in content.splitlines())
        assert (tmp_path / f"outputs/part/{number}.out").read_bytes() == wanted
    assert progress[-1].records == 30_005
    assert progress[-1].bytes_done == progress[-1].bytes_total
    assert progress[-1].seconds_left == 0
    assert str(progress[-1]).startswith("100%  30,005 rows  ")
    assert str(InferenceProgress(50, 200, 1000, 2.0)) == "25%  1,000 rows  500 rows/s, about 6 s left"


def test_an_object_that_fails_has_no_output_and_others_keep_theirs(tmp_path: Path) -> None:
    def answer(payload: bytes) -> tuple[int, bytes]:
        return (400, b'{"code":"CR-SRV-005","what":"bad","problems":[]}') if b"poison" in payload else lines(payload)

    contents = b"1\n2\n", big(20_000, 100) + b"poison\n" + big(20_000, 100), b"3\n"
    with container(answer) as port:
        failed = transform(tmp_path, objects(tmp_path, *contents), port, concurrency=3)
    assert [reference.key for reference, _ in failed] == ["part/1"]
    assert "status 400 CR-SRV-005 bad" in failed[0][1].what
    assert left(tmp_path) == ["part/0.out", "part/2.out"]


@pytest.mark.parametrize(
    ("planned", "first"),
    [
        ({}, 5),
        ({"has_header": True, "header": "first-chunk"}, 4),
        ({"has_header": True, "header": "every"}, 4),
        ({"has_header": True, "header": "none"}, 3),
    ],
)
def test_the_request_that_failed_is_named_by_its_first_record(
    tmp_path: Path, planned: dict[str, Any], first: int
) -> None:
    """A request holds up to two lines, the header among them; the fifth line holds the poison."""

    def answer(payload: bytes) -> tuple[int, bytes]:
        refusal = {"code": "CR-SRV-005", "what": "records do not fit", "fix": "leave the column out"}
        return (400, json.dumps(refusal).encode()) if b"x" in payload else lines(payload)

    with container(answer) as port:
        ((_, error),) = transform(
            tmp_path, objects(tmp_path, b"1\n2\n3\n4\nx\n6\n"), port, payload_bytes=4, concurrency=3, **planned
        )
    assert error.what.startswith(f"part/0, from record {first} on: a request failed after 1 attempt(s): status 400 CR-")
    assert error.fix == "leave the column out"


def test_a_record_that_fits_no_request_fails_its_object_alone(tmp_path: Path) -> None:
    contents = b"1\n", b"2\n" + b"x" * (MB + 1) + b"\n", b"3\n"
    with container(lines) as port:
        failed = transform(tmp_path, objects(tmp_path, *contents), port)
    assert [(reference.key, error.code) for reference, error in failed] == [("part/1", "CR-JOB-201")]
    assert left(tmp_path) == ["part/0.out", "part/2.out"]


def test_the_cap_on_outputs_leaves_no_part(tmp_path: Path) -> None:
    contents = big(30_000, 100), b"1\n"
    with container(lines) as port, pytest.raises(InferenceOutputTooLargeError):
        transform(tmp_path, objects(tmp_path, *contents), port, cap=2 * MB)
    assert left(tmp_path) == []


@pytest.mark.parametrize("payload_bytes", [20, MB])  # in several requests: a line break is added to each answer
@pytest.mark.parametrize(("below", "fits"), [(-1, True), (0, True), (1, False)])
def test_the_cap_counts_the_bytes_of_the_outputs(tmp_path: Path, payload_bytes: int, below: int, fits: bool) -> None:
    references = objects(tmp_path, b"1,2,3\n" * 10, b"1,2,3\n" * 5)
    size = 15 * len("p1,2,3\n")
    with container(lines) as port:
        if fits:
            assert transform(tmp_path, references, port, cap=size - below, payload_bytes=payload_bytes) == []
            assert sum(path.stat().st_size for path in (tmp_path / "outputs").rglob("*.out")) == size
        else:
            with pytest.raises(InferenceOutputTooLargeError, match=f"{size} bytes"):
                transform(tmp_path, references, port, cap=size - below, payload_bytes=payload_bytes)


def test_the_cap_counts_no_objects_without_an_output(tmp_path: Path) -> None:
    def answer(payload: bytes) -> tuple[int, bytes]:
        return (400, b"") if b"bad" in payload else lines(payload)

    good = b"1,2,3\n" * 9
    with container(answer) as port:
        references = objects(tmp_path, good + b"bad\n", good)
        failed = transform(tmp_path, references, port, cap=len(good) + 9, payload_bytes=6, concurrency=1)
    assert [reference.key for reference, _ in failed] == ["part/0"]
    assert left(tmp_path) == ["part/1.out"]


def without(place: int) -> Answer:
    """Return a server that loses a record of each request."""

    def answer(payload: bytes) -> tuple[int, bytes]:
        records = payload.splitlines()
        del records[place]
        return 200, b"\n".join(records)

    return answer


@pytest.mark.parametrize("place", [0, 1, -1])
@pytest.mark.parametrize(
    ("payload_bytes", "planned"),
    [(0, {}), (8, {}), (MB, {}), (MB, {"has_header": True, "header": "none"})],
)
def test_a_lost_record_fails_its_object_wherever_it_is(
    tmp_path: Path, place: int, payload_bytes: int, planned: dict[str, Any]
) -> None:
    content = b"1\n2\n3\n4\n5\n6\n7\n8\n"
    with container(without(place)) as port:
        failed = transform(tmp_path, objects(tmp_path, content), port, payload_bytes=payload_bytes, **planned)
    assert [error.code for _, error in failed] == ["CR-JOB-207"]
    assert "part/0" in failed[0][1].what
    assert left(tmp_path) == []


def test_a_lost_record_is_a_warning_where_that_is_wished(tmp_path: Path) -> None:
    warnings: list[str] = []
    with container(without(0)) as port:
        references = objects(tmp_path, b"1\n2\n3\n")
        assert transform(tmp_path, references, port, warnings=warnings, lost_rows="warn") == []
    (warning,) = warnings
    assert warning.startswith(
        "part/0, from record 1 on: 3 records were answered by 2 predictions; the output cannot be"
    )


def test_line_breaks_inside_quotes_are_named(tmp_path: Path) -> None:
    with container(without(0)) as port:
        [(_, error)] = transform(tmp_path, objects(tmp_path, b'"a\nb"\n2\n'), port)
    assert (error.code, error.what) == ("CR-JOB-207", "part/0, from record 1 on: 1 line break(s) are inside quotes")


@pytest.mark.parametrize(("header", "failing"), [("first-chunk", ["part/1"]), ("every", [])])
def test_a_header_that_was_sent_explains_one_record(tmp_path: Path, header: str, failing: list[str]) -> None:
    """The second object takes two requests, of which the first alone carries the header, or each does."""
    contents = b"x\n1\n2\n", b"x\n1\n2\n3\n4\n"
    warnings: list[str] = []
    with container(without(0)) as port:
        references = objects(tmp_path, *contents)
        failed = transform(
            tmp_path, references, port, payload_bytes=6, warnings=warnings, has_header=True, header=header
        )
    assert [reference.key for reference, _ in failed] == failing
    assert warnings == []


@pytest.mark.parametrize(
    ("names", "fits"),
    [
        ("a,b", True),
        ("a,b,y", True),
        ("b,a", False),
        ("y,a,b", False),
        (",a,b", False),  # as wide as the table with its target, but it begins with an index
        ("x,y", True),  # these are not the columns of the schema, and the server decides
    ],
)
@pytest.mark.parametrize("sure", [True, False])
def test_rows_without_their_header_are_in_the_order_of_the_schema(
    tmp_path: Path, names: str, *, fits: bool, sure: bool
) -> None:
    """The object takes two requests, of which a Predictor reads the first by names and the second by position."""
    (tmp_path / "algorithm.py").touch()
    source = AlgorithmSource(str(tmp_path) if sure else "image:1")
    content = b"\n".join([names.encode(), *[b"1" + b",1" * names.count(",")] * 6])
    warnings: list[str] = []
    planned: dict[str, Any] = {"has_header": True, "schema": Schema.of(target="y", a="int64", b="int64", y="int64")}
    with container(lines) as port:
        references = objects(tmp_path, content)
        failed = transform(tmp_path, references, port, payload_bytes=20, warnings=warnings, source=source, **planned)
        assert transform(tmp_path, references, port, source=source, **planned) == []  # in one request
    what = [*(error.what for _, error in failed), *warnings]
    assert [len(failed), len(warnings)] == [not fits and sure, not fits and not sure]
    assert fits or "not those of the schema in their order" in what[0]


def test_a_header_that_was_guessed_is_told_where_it_explains_a_missing_prediction(tmp_path: Path) -> None:
    warnings: list[str] = []
    with container(without(0)) as port:
        references = objects(tmp_path, b"good movie,fine\nbad movie,poor\n")
        planned: dict[str, Any] = {"has_header": True, "header_known": False}
        assert transform(tmp_path, references, port, warnings=warnings, **planned) == []
    assert "its first line has no prediction" in warnings[0]
    assert "movie" not in warnings[0]


def test_predictions_are_counted_and_not_the_answer_to_the_header(tmp_path: Path) -> None:
    progress: list[InferenceProgress] = []
    with container(lines) as port:
        transform(tmp_path, objects(tmp_path, b"x\n1\n2\n"), port, progress=progress, has_header=True)
    assert progress[-1].records == 2


def test_more_predictions_than_records_are_told(tmp_path: Path) -> None:
    warnings: list[str] = []
    with container(lambda payload: (200, b"[1,2,3,4]")) as port:
        assert transform(tmp_path, objects(tmp_path, b"1\n2\n3\n"), port, warnings=warnings) == []
    assert "3 records were answered by 4 predictions" in warnings[0]


@pytest.mark.parametrize(("failures", "status"), [(3, 500), (3, 503), (3, 0), (0, 200)])
def test_requests_are_repeated_three_times(failures: int, status: int) -> None:
    seen: list[bytes] = []

    def answer(payload: bytes) -> tuple[int, bytes]:
        seen.append(payload)
        return (status, b"") if len(seen) <= failures else lines(payload)

    with container(answer) as port:
        own = client(port)
        assert own.invoke(b"1").body == b"p1"
        own.close()
    assert len(seen) == failures + 1


@pytest.mark.parametrize(("status", "attempts"), [(500, 4), (0, 4), (400, 1), (413, 1)])
def test_a_request_that_keeps_failing_is_given_up(status: int, attempts: int) -> None:
    seen: list[bytes] = []

    def answer(payload: bytes) -> tuple[int, bytes]:
        seen.append(payload)
        return status, b"a row: 1,2,3"

    with container(answer) as port:
        own = client(port)
        with pytest.raises(InferenceRequestError) as caught:
            own.invoke(b"1")
        own.close()
    assert len(seen) == attempts
    assert f"after {attempts} attempt(s)" in caught.value.what
    assert "1,2,3" not in str(caught.value)
    assert ("maxPayloadInMB lower" in caught.value.fix) == (status == 413)


def test_a_request_without_an_answer_times_out() -> None:
    done = threading.Event()

    def answer(payload: bytes) -> tuple[int, bytes]:
        done.wait(30)
        return lines(payload)

    with container(answer) as port:
        own = client(port, retries=Retries(0, 0.2))
        with pytest.raises(InferenceRequestError, match=r"no answer within 0\.2 s"):
            own.invoke(b"1")
        done.set()
        own.close()


def test_requests_that_wait_for_their_turn_are_not_sent_after_the_end() -> None:
    asked, done = threading.Event(), threading.Event()
    seen: list[bytes] = []

    def answer(payload: bytes) -> tuple[int, bytes]:
        seen.append(payload)
        asked.set()
        done.wait(30)
        return lines(payload)

    with container(answer) as port, ThreadPoolExecutor(1) as pool:
        own = client(port)
        answers = [pool.submit(own.invoke, payload) for payload in (b"1", b"2", b"3")]
        assert asked.wait(30)
        own.cancel()
        for each in answers:
            assert isinstance(each.exception(timeout=10), InferenceRequestError)
        done.set()
        own.close()
    assert seen == [b"1"]


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (None, ContainerParameters()),
        (b'{"MaxConcurrentTransforms": 8, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 6}', (8, 6)),
        (b'{"MaxPayloadInMB": "3"}', (None, 3)),
    ],
)
def test_execution_parameters(body: bytes | None, wanted: object) -> None:
    with container(lines, body) as port:
        found = client(port).parameters()
    assert wanted in (found, (found.max_concurrent_transforms, found.max_payload_mb))


def test_execution_parameters_that_make_no_sense() -> None:
    with container(lines, b"[1]") as port, pytest.raises(InferenceRequestError):
        client(port).parameters()


@pytest.mark.parametrize(
    ("requested", "container_says", "wanted"),
    [
        (None, ContainerParameters(), Transfer(6 * MB, 1)),
        (None, ContainerParameters(4, 2), Transfer(2 * MB, 4)),
        (10, ContainerParameters(4, 2), Transfer(10 * MB, 4)),
        (100, ContainerParameters(4, 2), Transfer(100 * MB, 1)),
        (30, ContainerParameters(8, None), Transfer(30 * MB, 3)),
        (None, ContainerParameters(2, 0), Transfer(0, 2)),
    ],
)
def test_the_request_wins_over_the_container_over_the_default(
    requested: int | None, container_says: ContainerParameters, wanted: Transfer
) -> None:
    assert decide_transfer(requested, container_says) == wanted


def test_objects_go_to_instances_by_key(tmp_path: Path) -> None:
    references = [ObjectRef(key, tmp_path / key, 1) for key in ("c", "a", "b", "d")]
    spread = spread_objects(references, 3)
    assert [(host.name, [o.key for o in host.objects]) for host in spread] == [
        ("algo-1", ["a", "d"]),
        ("algo-2", ["b"]),
        ("algo-3", ["c"]),
    ]
