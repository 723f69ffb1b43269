"""What becomes of requests whose predictions raise, hang, or end their process."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import threading
import time

from tests.serving.support import (
    GOOD,
    Container,
    RunningServer,
    Start,
    dial,
    head,
)


def test_an_algorithm_that_raises_is_told_without_its_message(slow: RunningServer) -> None:
    status, body, _ = slow.request("POST", "/invocations", b"SECRET,1.5,99\n", Content_Type="text/csv")
    assert status == 500
    document = json.loads(body)
    assert document["code"] == "CR-SRV-008"
    assert re.search(r"ValueError at serving_algorithm.py:\d+ in preprocess", document["what"])
    assert b"SECRET" not in body + slow.log.read_bytes()
    assert slow.request("GET", "/ping")[0] == 200  # another prediction works
    assert slow.stop() == 0


def test_a_whole_traceback_is_in_the_log_alone_and_only_if_it_is_asked_for(
    slow_container: Container, start_server: Start
) -> None:
    server = start_server(slow_container, CLEANROOM_ALGO_SERVE_WORKERS="1", CLEANROOM_ALGO_TRACEBACKS="whole")
    status, body, _ = server.request("POST", "/invocations", b"SECRET,1.5,99\n", Content_Type="text/csv")
    assert status == 500
    assert b"SECRET" not in body
    log = server.log.read_text()
    assert "ValueError: a row: ('SECRET'" in log
    assert "in preprocess" in log
    assert server.request("POST", "/invocations", b"AA,1.5,55\n", Content_Type="text/csv")[0] == 503
    assert "numpy.empty(1 << 50)" in server.log.read_text()  # where the memory ran out
    assert server.stop() == 0


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
