"""Trainings and models on the page: who sees what of a job, and who may act on it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from flask.testing import FlaskClient

from cleanroom_algo.local.plans.run_files import LOG_FILE
from cleanroom_algo.local.resources.store import Record
from cleanroom_algo.local.summaries.metric_lines import metric_lines
from tests.local.support import AIRLINE, AIRLINE_ID, BUREAU, RoomFixture

LINE, VALUE, METRIC = "canary-of-a-line", "canary-of-a-hyperparameter", "canary_of_a_metric"
HOSTILE = '<script>alert(1)</script> " onclick=x'


def write(desk: RoomFixture, record: Record, texts: Sequence[str]) -> None:
    folder = desk.room.workspace.files.run(record)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOG_FILE).open("a") as file:
        for text in texts:
            line = {"time": datetime.now(UTC).isoformat(), "host": "algo-1", "stream": "stdout", "text": text}
            file.write(json.dumps(line) + "\n")


@pytest.fixture
def failed(desk: RoomFixture) -> Record:
    """A job that has failed, of the airline, with canaries in all that it left; both members get what they may."""
    desk.configure(AIRLINE, AIRLINE_ID)
    desk.configure()
    reason = f"AlgorithmError: ValueError: {HOSTILE} {LINE}\n  at algorithm.py:7 in loss: return {HOSTILE}"
    document = {
        **{name: value for name, value in desk.training().items() if name not in ("membershipIdentifier", "name")},
        "hyperparameters": {"secret": VALUE},
        "statusDetails": {"statusCode": "AlgorithmError", "message": reason},
    }
    record = desk.add_model(1, "CREATE_FAILED", name=HOSTILE, document=document, private={"loss": 0.5})
    epochs = [f"[metric] epoch={number} {METRIC}={number}" for number in (1, 2)]
    write(desk, record, ["training starts: epochs 2", HOSTILE, LINE, *epochs])
    return record


def test_the_reason_of_a_failure_stands_first_and_leads_to_its_code(failed: Record, browser: FlaskClient) -> None:
    page = browser.get(f"/ui/training/{failed.seq}").text

    reason = page.index("Why it failed")
    assert reason < page.index("Curves")
    assert 'href="/ui/codes#CR-JOB-303"' in page
    assert "algorithm.py:7 in loss" in page
    assert "ValueError" in browser.get("/ui/training").text


def test_a_member_who_joined_later_gets_nothing_of_a_job(desk: RoomFixture, browser: FlaskClient) -> None:
    early: dict[str, Any] = {"logs": [], "noise": None, "metrics": [], "members": {AIRLINE: True}}
    runs = [desk.add_model(number, private={"recipients": early}) for number in (6, 7)]
    for run in runs:
        write(desk, run, [f"[metric] epoch={epoch} {METRIC}={epoch}" for epoch in (1, 2)])

    page = browser.get(f"/ui/training/{runs[0].seq}?as={BUREAU}").text
    compared = browser.get("/ui/models/compare", query_string={"as": BUREAU, "run": [run.seq for run in runs]})

    assert "joined after the job had ended" in page
    assert METRIC not in page + compared.text
    assert METRIC in browser.get(f"/ui/training/{runs[0].seq}").text


def test_a_job_that_ended_with_its_server_was_stopped(desk: RoomFixture, browser: FlaskClient) -> None:
    details = {"statusCode": "CR-JOB-302", "message": "the job was stopped"}
    stopped = desk.add_model(5, "CREATE_FAILED", document={"statusDetails": details})

    page = browser.get(f"/ui/training/{stopped.seq}").text

    assert "#CR-JOB-302" in page
    assert "start it again" in page


@pytest.mark.parametrize("account", ["", AIRLINE, BUREAU])
def test_what_jobs_say_is_text(failed: Record, browser: FlaskClient, account: str) -> None:
    for path in ("/ui/training", f"/ui/training/{failed.seq}", "/ui/models", f"/ui/models/{failed.seq}"):
        page = browser.get(path, query_string={"as": account}).text
        assert "<script>alert" not in page
        assert " onclick" not in re.sub(r"&#34; onclick|&quot; onclick", "", page)


def test_members_see_what_operations_and_policies_show_them(failed: Record, browser: FlaskClient) -> None:
    def seen(account: str) -> str:
        paths = ["/ui/training", f"/ui/training/{failed.seq}", "/ui/models", f"/ui/models/{failed.seq}"]
        return "".join(browser.get(path, query_string={"as": account}).text for path in paths)

    whole, airline, bureau = seen(""), seen(AIRLINE), seen(BUREAU)

    assert all(canary in whole for canary in (LINE, VALUE, METRIC, "training starts"))
    assert VALUE in airline
    assert METRIC in airline
    assert f"<td>{LINE}</td>" not in airline, "its filterPattern lets only lines with `epoch` through"
    assert not [canary for canary in (LINE, VALUE, METRIC, "training starts") if canary in bureau]
    assert "ValueError" in bureau, "ERROR_SUMMARY tells it the kind of the error"


def test_each_line_stands_beside_what_members_get_of_it(failed: Record, browser: FlaskClient) -> None:
    page = browser.get(f"/ui/training/{failed.seq}").text

    rows = {row[0]: row[1:] for row in _rows(page)}
    assert rows[LINE] == ["not shown", "not shown"]
    assert rows[f"[metric] epoch=1 {METRIC}=1"] == ["the same", "not shown"]


def test_a_long_log_is_searched_for_metrics_and_shown_from_its_end(
    desk: RoomFixture, failed: Record, browser: FlaskClient
) -> None:
    write(desk, failed, [f"line {number} {'x' * 200}" for number in range(1000)])
    write(desk, failed, [f"[metric] epoch=3 {METRIC}=3"])
    log = desk.room.workspace.files.run(failed) / LOG_FILE
    found = metric_lines(log)
    assert [line["text"].split()[1] for line in found] == ["starts:", "epoch=1", "epoch=2", "epoch=3"]

    page = browser.get(f"/ui/training/{failed.seq}").text
    assert "line 999" in page
    assert "line 1 " not in page
    assert f"{METRIC} 3 at 3" not in page
    assert page.count("<circle") == 3

    write(desk, failed, [f"[metric] epoch=4 {METRIC}=4"])
    assert len(metric_lines(log)) == len(found) + 1


def test_jobs_are_stopped_by_forms_of_the_page_for_whom_they_belong_to(desk: RoomFixture, browser: FlaskClient) -> None:
    running = desk.add_model(2, "CREATE_IN_PROGRESS")
    path = f"/ui/training/{running.seq}"

    def status() -> str:
        record = desk.room.store.get(running.kind, running.key)
        assert record is not None
        return record.status

    found = re.search(r'name="token" value="([^"]+)"', browser.get(path).text)
    assert found is not None
    token = {"token": found[1]}
    assert browser.get(f"{path}/stop").status_code == 405
    assert browser.post(f"{path}/stop").status_code == 403
    assert browser.post(f"{path}/stop", data={"token": "other"}).status_code == 403
    assert "Stop" not in browser.get(f"{path}?as={BUREAU}").text
    assert browser.post(f"{path}/stop?as={BUREAU}", data=token).status_code == 404
    assert status() == "CREATE_IN_PROGRESS"

    assert browser.post(f"{path}/stop?as={AIRLINE}", data=token).status_code == 303
    assert status() == "CANCEL_PENDING"
    assert browser.post(f"{path}/resume", data=token).status_code == 409


def test_lists_have_pages(desk: RoomFixture, browser: FlaskClient) -> None:
    for number in range(51):
        desk.add_model(number)

    first = browser.get("/ui/training").text
    assert ("model-50<" in first, "model-0<" in first, "51 in all" in first) == (True, False, True)
    found = re.search(r'href="([^"]+)">Earlier', first)
    assert found is not None
    second = browser.get(found[1]).text
    assert ("model-50<" in second, "model-0<" in second, "Earlier" in second) == (False, True, False)
    assert "model-50<" in browser.get(f"/ui/training?before={'9' * 30}").text


def test_runs_are_compared_and_a_member_compares_what_it_sees(desk: RoomFixture, browser: FlaskClient) -> None:
    runs = []
    for number in (3, 4):
        given = {"learning_rate": str(number), "secret": VALUE}
        own = {name: value for name, value in desk.training().items() if name not in ("membershipIdentifier", "name")}
        runs.append(desk.add_model(number, document={**own, "hyperparameters": given}))
        write(desk, runs[-1], [f"[metric] epoch={epoch} epoch_train_loss={epoch / number}" for epoch in (1, 2)])
    asked = {"run": [run.seq for run in runs]}

    page = browser.get("/ui/models/compare", query_string=asked).text
    assert page.count("<polyline") == 4, "a line for each run, in the chart and in its legend"
    assert '<tr class="differs"><th scope="row">hyperparameter learning_rate</th>' in page
    assert VALUE in page

    bureau = browser.get("/ui/models/compare", query_string={**asked, "as": BUREAU})
    assert bureau.status_code == 200
    assert VALUE not in bureau.text
    alone = browser.get("/ui/models/compare", query_string={"run": [runs[0].seq]})
    assert alone.status_code == 400
    assert "A comparison needs 2 to 6 runs, and 1 is chosen." in alone.text
    assert '<a href="/ui/models">' in alone.text


def _rows(page: str) -> list[list[str]]:
    """Return the cells of the log without time and host: what was written, and what each member gets."""
    body = page.partition('id="lines"')[2].partition("</table>")[0]
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in body.split("<tr>")[2:]]
    return [[re.sub("<[^>]+>", "", cell) for cell in row[2:]] for row in rows]
