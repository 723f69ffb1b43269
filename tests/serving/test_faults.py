"""What goes wrong around a server: clients, the network, workers, the model, memory."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from tests.serving.support import ALGORITHM, Container, RunningServer, Start, table, write_algorithm

SLOW = (
    ALGORITHM
    + """
    def preprocess(self, frame):
        import time
        if frame["hour"][0] == 77:
            time.sleep(1.5)
        if frame["hour"][0] == 88:
            time.sleep(600)
        if frame["hour"][0] == 99:
            raise ValueError(f"a row: {frame.row(0)}")
        if frame["hour"][0] == 55:
            import numpy
            numpy.empty(1 << 50)
        if frame["hour"][0] == 66:
            import os, signal
            os.kill(os.getpid(), signal.SIGSEGV)
        return frame
"""
)

GOOD = b"AA,1.5,3\n"


def head(length: int | None, extra: str = "") -> bytes:
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    return f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\n{framing}\r\n{extra}\r\n".encode()


def dial(server: RunningServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=60)


def read_answer(connection: socket.socket) -> tuple[int, bytes]:
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response.status, response.read()


@pytest.fixture(scope="module")
def slow_container(container: Container, tmp_path_factory: pytest.TempPathFactory) -> Container:
    return Container(container.root, write_algorithm(tmp_path_factory.mktemp("slow"), SLOW))


@pytest.fixture
def slow(slow_container: Container, start_server: Start) -> RunningServer:
    return start_server(
        slow_container,
        CLEANROOM_ALGO_SERVE_WORKERS="1",
        CLEANROOM_ALGO_SERVE_QUEUE="2",
        CLEANROOM_ALGO_LOG_LEVEL="INFO",
    )


# --- bodies that are not whole ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [0, 1, 9, 14])
def test_a_body_shorter_than_declared_is_refused(server: RunningServer, sent: int) -> None:
    with dial(server) as connection:
        connection.sendall(head(18) + (GOOD * 2)[:sent])
        connection.shutdown(socket.SHUT_WR)
        status, body = read_answer(connection)
    assert status == 400
    assert json.loads(body)["code"] == "CR-SRV-002"


@pytest.mark.parametrize(
    "broken", [b"9\r\n" + GOOD, b"9\r\n" + GOOD + b"\r\n", b"zz\r\n", b"9\r\n" + GOOD + b"\r\n0\r\n"]
)
def test_a_chunked_body_that_breaks_off_is_refused(server: RunningServer, broken: bytes) -> None:
    with dial(server) as connection:
        connection.sendall(head(None) + broken)
        connection.shutdown(socket.SHUT_WR)
        status, body = read_answer(connection)
    assert status == 400
    assert json.loads(body)["code"] == "CR-SRV-002"


def test_a_chunked_body_in_odd_pieces(server: RunningServer) -> None:
    body = table(50).write_csv().encode()
    wanted = server.invoke(body)
    with dial(server) as connection:
        connection.sendall(head(None))
        for start in range(0, len(body), 7):
            piece = body[start : start + 7]
            connection.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        assert read_answer(connection) == (200, wanted)


def test_a_chunked_body_far_over_the_limit_of_others(server: RunningServer) -> None:
    rows = table(20_000).write_csv(include_header=False).encode()
    times = (120 << 20) // len(rows) + 1
    with dial(server) as connection:
        connection.sendall(head(None))
        for _ in range(times):
            connection.sendall(f"{len(rows):x}\r\n".encode() + rows + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        status, answer = read_answer(connection)
    assert status == 200
    assert answer.count(b"\n") + 1 == times * 20_000


def test_a_declared_length_over_the_limit_is_refused_before_it_is_read(server: RunningServer) -> None:
    with dial(server) as connection:
        connection.sendall(head(101 << 20))
        connection.shutdown(socket.SHUT_WR)
        status, body = read_answer(connection)
    assert status == 413
    assert json.loads(body)["code"] == "CR-SRV-001"


def test_a_record_over_its_limit_is_told_by_that_limit(server: RunningServer) -> None:
    with dial(server) as connection:
        connection.sendall(head(None))
        piece = b"x" * (1 << 20)
        with contextlib.suppress(OSError):
            for _ in range(66):
                connection.sendall(b"100000\r\n" + piece + b"\r\n")
            connection.sendall(b"0\r\n\r\n")
        status, body = read_answer(connection)
    assert (status, json.loads(body)["code"]) == (413, "CR-SRV-001")
    assert "64 MiB" in json.loads(body)["expected"]


def test_a_refused_client_that_sends_all_first_gets_its_answer(server: RunningServer) -> None:
    status, body, _ = server.request("POST", "/invocations", bytes(110 << 20), Content_Type="text/csv")
    assert status == 413, body


def test_a_body_without_lines_is_bounded_when_chunked(server: RunningServer) -> None:
    extra = "Accept: text/csv\r\n"
    with dial(server) as connection:
        connection.sendall(head(None, extra).replace(b"text/csv\r\nT", b"application/json\r\nT"))
        piece = b" " * (1 << 20)
        with contextlib.suppress(OSError):
            for _ in range(102):
                connection.sendall(b"100000\r\n" + piece + b"\r\n")
            connection.sendall(b"0\r\n\r\n")
        assert read_answer(connection)[0] == 413


def test_expect_continue(server: RunningServer) -> None:
    with dial(server) as connection:
        connection.sendall(head(len(GOOD), "Expect: 100-continue\r\n"))
        assert connection.recv(100).startswith(b"HTTP/1.1 100")
        connection.sendall(GOOD)
        assert read_answer(connection)[0] == 200


# --- what is no request -----------------------------------------------------------------------------------------------


def read_whole(server: RunningServer, sent: bytes) -> bytes:
    with dial(server) as connection, connection.makefile("rb") as stream:
        connection.sendall(sent)
        return stream.read()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"SECRET\r\n\r\n", 400),
        (head(9) + GOOD + b"SECRET,1.5,3\r\n\r\n", 400),
        (b"POST /invocations HTTP/1.1\r\nContent-Length: SECRET\r\n\r\n", 400),
        (b"POST /invocations HTTP/1.1\r\nContent-Length: 9\r\nContent-Length: 8\r\n\r\n" + GOOD, 400),
        (b"POST /invocations HTTP/1.1\r\nTransfer-Encoding: SECRET\r\n\r\n", 501),
        (b"POST /invocations HTTP/1.1\r\nExpect: SECRET\r\n\r\n", 417),
        (b"GET /ping?" + b"SECRET" * 1000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET /ping HTTP/1.1\r\nX: " + b"SECRET" * 2000 + b"\r\n\r\n", 431),
    ],
)
def test_what_is_no_request_is_refused_in_our_form_and_quoted_nowhere(
    server: RunningServer, sent: bytes, status: int
) -> None:
    answer = read_whole(server, sent)
    answered, _, body = answer.rpartition(b"\r\n\r\n")
    assert b"HTTP/1.1 %d " % status in answered
    assert json.loads(body)["code"] == "CR-SRV-015"
    assert b"SECRET" not in answer
    assert "SECRET" not in server.log.read_text()


def test_further_headers_change_nothing(server: RunningServer) -> None:
    assert server.request("GET", "/ping", SCRIPT_NAME="/ping", X_Forwarded_Proto="https")[0] == 200
    sent = b"GET /ping HTTP/1.1\r\nSCRIPT_NAME: /ping\r\nPATH_INFO: /x\r\nConnection: close\r\n\r\n"
    assert read_whole(server, sent).startswith(b"HTTP/1.1 200 ")


# --- clients ----------------------------------------------------------------------------------------------------------


def test_idle_and_half_open_clients_do_not_keep_ping_waiting(server: RunningServer) -> None:
    with contextlib.ExitStack() as stack:
        for number in range(120):
            connection = stack.enter_context(dial(server))
            if number % 2:
                connection.sendall(b"POST /invocations HTTP/1.1\r\nHost:")
        start = time.monotonic()
        assert server.request("GET", "/ping")[0] == 200
        assert time.monotonic() - start < 2


def test_slow_bodies_over_the_queue_do_not_keep_ping_waiting(slow: RunningServer) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(30):  # three are held, the others refused while their bodies are on the way
            stack.enter_context(dial(slow)).sendall(head(1000) + GOOD)
        for _ in range(10):
            start = time.monotonic()
            assert slow.request("GET", "/ping")[0] == 200
            assert time.monotonic() - start < 2
    assert slow.stop() == 0


def test_a_client_that_goes_away_leaves_nothing(slow: RunningServer) -> None:
    for _ in range(3):
        with dial(slow) as connection:
            connection.sendall(head(1000) + GOOD)
        with dial(slow) as connection:
            connection.sendall(head(len(GOOD)) + GOOD.replace(b"3", b"77"))
    # All places become free again: as many requests at once as there are places succeed.
    while {status for status, _ in _at_once(slow, [GOOD] * 3)} != {200}:
        time.sleep(0.1)
    assert slow.stop() == 0


def test_many_tiny_requests_on_few_connections(server: RunningServer) -> None:
    lines = table(1200).write_csv(include_header=False).encode().splitlines(keepends=True)
    wanted = server.invoke(b"".join(lines)).split(b"\n")
    answers: dict[int, bytes] = {}

    def send(first: int) -> None:
        with contextlib.closing(server.connect()) as connection:
            for number in range(first, len(lines), 8):
                connection.request("POST", "/invocations", lines[number], {"Content-Type": "text/csv"})
                answers[number] = connection.getresponse().read()

    threads = [threading.Thread(target=send, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answers[number] for number in range(len(lines))] == wanted  # each its own, bit for bit


def _at_once(server: RunningServer, bodies: list[bytes]) -> list[tuple[int, dict[str, str]]]:
    answers: list[tuple[int, dict[str, str]]] = []

    def send(body: bytes) -> None:
        status, _, headers = server.request("POST", "/invocations", body, Content_Type="text/csv")
        answers.append((status, headers))

    threads = [threading.Thread(target=send, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_a_full_queue_answers_503_and_says_when_to_come_again(slow: RunningServer) -> None:
    answers = _at_once(slow, [GOOD.replace(b"3", b"77")] * 12)
    statuses = sorted(status for status, _ in answers)
    assert set(statuses) == {200, 503}
    assert all(headers["retry-after"].isdigit() for status, headers in answers if status == 503)
    assert slow.request("GET", "/ping")[0] == 200
    assert slow.stop() == 0


# --- the model --------------------------------------------------------------------------------------------------------


def test_an_algorithm_that_raises_is_told_without_its_message(slow: RunningServer) -> None:
    status, body, _ = slow.request("POST", "/invocations", b"SECRET,1.5,99\n", Content_Type="text/csv")
    assert status == 500
    document = json.loads(body)
    assert document["code"] == "CR-SRV-008"
    assert re.search(r"ValueError at serving_algorithm.py:\d+ in preprocess", document["what"])
    assert b"SECRET" not in body + slow.log.read_bytes()
    assert slow.request("GET", "/ping")[0] == 200  # another prediction works
    assert slow.stop() == 0


def test_memory_that_runs_out_is_told_as_such(slow: RunningServer) -> None:
    status, body, headers = slow.request("POST", "/invocations", b"AA,1.5,55\n", Content_Type="text/csv")
    assert (status, json.loads(body)["code"]) == (503, "CR-SRV-012")
    assert headers["retry-after"].isdigit()
    assert slow.request("GET", "/ping")[0] == 200
    assert slow.invoke(GOOD)
    assert slow.stop() == 0


def test_a_worker_that_dies_in_a_request_is_replaced(slow: RunningServer) -> None:
    [first] = slow.workers()
    with dial(slow) as connection:
        connection.sendall(head(10) + b"AA,1.5,66\n")
        assert connection.recv(100) == b""
    slow.wait_until_ready()
    assert slow.workers() != [first]
    assert slow.invoke(GOOD)
    assert slow.stop() == 0


def test_a_killed_worker_loses_only_its_own_requests(container: Container, start_server: Start) -> None:
    server = start_server(container, CLEANROOM_ALGO_SERVE_WORKERS="2")
    wanted = server.invoke(GOOD)
    done = threading.Event()
    answers: list[bytes] = []
    lost = 0

    def send() -> None:
        nonlocal lost
        while not done.is_set():
            try:
                answers.append(server.invoke(GOOD))
            except (OSError, http.client.HTTPException):  # cut off before, or within, the answer
                lost += 1

    thread = threading.Thread(target=send)
    thread.start()
    for _ in range(3):
        os.kill(server.workers()[0], signal.SIGKILL)
        count = len(answers)
        while len(answers) < count + 20:
            assert thread.is_alive(), server.log.read_text()
            time.sleep(0.01)
    done.set()
    thread.join()
    assert set(answers) == {wanted}
    assert lost <= 6
    assert server.stop() == 0


def test_a_prediction_that_hangs_ends_its_process(slow_container: Container, start_server: Start) -> None:
    server = start_server(slow_container, CLEANROOM_ALGO_SERVE_WORKERS="1", CLEANROOM_ALGO_SERVE_TIMEOUT_SECONDS="0.5")
    [first] = server.workers()
    with dial(server) as connection:
        connection.sendall(head(10) + b"AA,1.5,88\n")
        assert connection.recv(100) == b""
    server.wait_until_ready()
    assert server.workers() != [first]
    assert "CLEANROOM_ALGO_SERVE_TIMEOUT_SECONDS" in server.log.read_text()
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("change", "exit_status", "told"),
    [
        ("raise RuntimeError('no such layer')", 1, "RuntimeError"),
        ("import sys; sys.exit(7)", 1, "SystemExit"),
        ("artifacts.state_dict('other.safetensors')", 1, "CR-SRV-011"),
    ],
)
def test_a_model_that_cannot_load_ends_at_once_with_the_reason(
    container: Container, start_server: Start, tmp_path: Path, change: str, exit_status: int, told: str
) -> None:
    text = ALGORITHM.replace("    def load(self, artifacts):\n", f"    def load(self, artifacts):\n        {change}\n")
    root = tmp_path / "ml"
    root.mkdir()
    (root / "model").symlink_to(container.root / "model")
    server = start_server(Container(root, write_algorithm(tmp_path, text)), wait=False)
    assert server.process.wait(60) == exit_status
    assert told in server.log.read_text()
    assert "CR-" in server.log.read_text()
    assert told in (root / "output" / "failure").read_text()


def test_a_taken_port_ends_at_once_with_the_reason(start_server: Start, container: Container, tmp_path: Path) -> None:
    root = tmp_path / "ml"
    root.mkdir()
    (root / "model").symlink_to(container.root / "model")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        server = start_server(Container(root, container.algorithm), wait=False, SAGEMAKER_BIND_TO_PORT=port)
        assert server.process.wait(60) == 1
    failure = (root / "output" / "failure").read_text()
    assert "CR-SRV-010" in failure
    assert f"127.0.0.1:{port}" in failure
    assert "127.0.0.1" in server.log.read_text()


def test_a_model_directory_without_manifest(start_server: Start, container: Container, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    server = start_server(Container(tmp_path, container.algorithm), wait=False)
    assert server.process.wait(60) == 1
    assert "manifest.json cannot be read" in (tmp_path / "output" / "failure").read_text()


@pytest.mark.parametrize("preload", ["true", "false"])
def test_a_model_that_does_not_predict_ends_the_server(
    container: Container, start_server: Start, tmp_path: Path, preload: str
) -> None:
    text = ALGORITHM + "        raise ArithmeticError\n"
    text = text.replace("        arrays =", "        raise ArithmeticError\n        arrays =")
    root = tmp_path / "ml"
    root.mkdir()
    (root / "model").symlink_to(container.root / "model")
    server = start_server(
        Container(root, write_algorithm(tmp_path, text)), wait=False, CLEANROOM_ALGO_SERVE_PRELOAD=preload
    )
    assert server.process.wait(60) == 1
    assert "ArithmeticError" in (root / "output" / "failure").read_text()


def test_workers_that_die_before_they_are_ready_end_the_server(
    container: Container, start_server: Start, tmp_path: Path
) -> None:
    text = ALGORITHM.replace("        arrays =", "        import os; os._exit(9)\n        arrays =")
    root = tmp_path / "ml"
    root.mkdir()
    (root / "model").symlink_to(container.root / "model")
    server = start_server(Container(root, write_algorithm(tmp_path, text)), wait=False)
    assert server.process.wait(60) == 1
    assert "died one after another" in (root / "output" / "failure").read_text()


def test_a_load_that_starts_threads_is_not_taken_through_a_fork(
    container: Container, start_server: Start, tmp_path: Path
) -> None:
    text = ALGORITHM.replace(
        "    def load(self, artifacts):\n",
        "    def load(self, artifacts):\n        import polars\n"
        "        polars.DataFrame({'a': range(100000)}).lazy().group_by('a').len().collect()\n",
    )
    server = start_server(Container(container.root, write_algorithm(tmp_path, text)), CLEANROOM_ALGO_SERVE_WORKERS="2")
    assert server.invoke(GOOD)
    assert "starting anew" in server.log.read_text()
    assert server.stop() == 0


# --- the end ----------------------------------------------------------------------------------------------------------


def test_sigterm_answers_what_is_in_work(slow: RunningServer) -> None:
    with dial(slow) as connection:
        connection.sendall(head(10) + b"AA,1.5,77\n")
        while slow.request("GET", "/ping")[0] != 200:
            pass
        time.sleep(0.3)
        start = time.monotonic()
        slow.process.terminate()
        assert read_answer(connection)[0] == 200
    assert slow.process.wait(30) == 0
    assert time.monotonic() - start < 28


def test_sigterm_does_not_wait_for_silent_clients(slow: RunningServer) -> None:
    with dial(slow), dial(slow) as half, contextlib.closing(slow.connect()) as kept:
        half.sendall(b"POST /invocations HTTP/1.1\r\n")
        kept.request("GET", "/ping")
        kept.getresponse().read()
        start = time.monotonic()
        assert slow.stop() == 0
        assert time.monotonic() - start < 8  # not the 10 s that a head may take


def test_other_arguments_are_refused(container: Container) -> None:
    import subprocess
    import sys

    done = subprocess.run([sys.executable, "-m", "cleanroom_algo.serving", "train"], capture_output=True, check=False)
    assert done.returncode == 2
    assert b"usage" in done.stderr
