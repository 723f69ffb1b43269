"""Inference: predictions for who receives them, rows for the author's machine alone, and one row by hand."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from cleanroom_algo.channels.schema import Csv, Schema
from cleanroom_algo.errors import SchemaError
from cleanroom_algo.local.room import Room
from cleanroom_algo.local.summaries import job_results
from cleanroom_algo.local.ui.app import create_app
from cleanroom_algo.local.ui.one_row import check_row, csv_of, problems_of, texts_of, unknown_categories
from cleanroom_algo.local.ui.texts import cell, short
from tests.local.support import AIRLINE, BUREAU, SETTINGS, RoomFixture
from tests.local.ui.support import add_model, add_predictions, settled

SCHEMA = Schema.of(target="late", carrier="string", miles="float32?", late="bool")
ROWS = "carrier,miles,late\n" + "".join(f"canary-{n},{700 + n}.125,{n % 2}\n" for n in range(20))
ANSWERS = "".join(f"0.{12345 + n}\n" for n in range(20))
FEATURES = {
    "numeric": [{"name": "miles", "mean": 512.25, "std": 1.0}],
    "categorical": [{"name": "carrier", "vocabulary": ["AA", "UA"]}],
}


def token(page: str) -> str:
    found = re.search('name="token" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def test_predictions_stand_beside_rows_and_are_judged(desk: RoomFixture, browser: FlaskClient) -> None:
    job = add_predictions(desk, add_model(desk, SCHEMA), ROWS, ANSWERS)

    page = settled(browser, f"/ui/inference/{job.seq}")

    assert "canary-0" in page
    assert "0.12345" in page
    assert "Area under the ROC curve" in page
    assert page.count('class="cell') == 4
    assert "Calibration" in page
    assert 'class="cell h4">10' in settled(browser, f"/ui/inference/{job.seq}?threshold=0.05")
    assert job.name in browser.get("/ui/inference").text


def test_predictions_of_training_rows_are_called_so(desk: RoomFixture, browser: FlaskClient) -> None:
    model = add_model(desk, SCHEMA)
    job = add_predictions(desk, model, ROWS, ANSWERS)
    assert "trained on these rows" not in settled(browser, f"/ui/inference/{job.seq}")

    named = {"mlInputChannelArn": job.document["dataSource"]["mlInputChannelArn"], "channelName": "train"}
    desk.room.store.update(model, document={"dataChannels": [named]})

    assert "trained on these rows" in settled(browser, f"/ui/inference/{job.seq}")


def test_who_receives_predictions_gets_no_rows_and_others_get_nothing(desk: RoomFixture, browser: FlaskClient) -> None:
    job = add_predictions(desk, add_model(desk, SCHEMA), ROWS, ANSWERS)
    settled(browser, f"/ui/inference/{job.seq}")  # the whole room has them already

    receiver = settled(browser, f"/ui/inference/{job.seq}?as={BUREAU}")
    other = settled(browser, f"/ui/inference/{job.seq}?as={AIRLINE}")

    assert "0.12345" in receiver
    assert not [word for word in ("canary", "miles", "700", "ROC", "Confusion") if word in receiver]
    assert "gets none of them" in other
    assert not [word for word in ("canary", "miles", "0.12345", "ROC", "part.csv") if word in other]


def test_much_is_read_in_part(desk: RoomFixture, browser: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_results, "_MOST_BYTES", 200)
    job = add_predictions(desk, add_model(desk, SCHEMA), ROWS, ANSWERS)

    page = settled(browser, f"/ui/inference/{job.seq}")

    assert "of the first 9 rows" in page


def test_numbers_without_header_are_compared(desk: RoomFixture, browser: FlaskClient) -> None:
    schema = Schema.of(target="price", miles="float32", price="float32")
    rows = "".join(f"{n}.5,{n}.25\n" for n in range(9))
    job = add_predictions(
        desk, add_model(desk, schema), rows, rows.replace(",", "\n").replace("\n\n", "\n")[:0] or "1.5\n" * 9
    )

    page = settled(browser, f"/ui/inference/{job.seq}")

    assert "Mean absolute error" in page
    assert page.count('class="point"') == 9


def test_predictions_that_cannot_be_read_are_explained(desk: RoomFixture, browser: FlaskClient) -> None:
    job = add_predictions(desk, add_model(desk, None), ROWS, "0.5\n")

    page = settled(browser, f"/ui/inference/{job.seq}")

    assert "CR-JOB-208" in page


def test_the_form_follows_the_schema_and_the_fitted_features(desk: RoomFixture, browser: FlaskClient) -> None:
    model = add_model(desk, SCHEMA, FEATURES)

    page = browser.get(f"/ui/inference/predict/{model.seq}").text

    assert 'value="AA"' in page
    assert '<option value="UA">' in page
    assert 'value="512.2"' in page
    assert "late" not in page.partition('<form class="card"')[2]


def test_what_does_not_fit_the_schema_is_told_at_its_field(desk: RoomFixture, browser: FlaskClient) -> None:
    path = f"/ui/inference/predict/{add_model(desk, SCHEMA).seq}"
    sent = {"token": token(browser.get(path).text), "column-0": "<b>", "column-1": "far"}

    answer = browser.post(path, data=sent)

    assert answer.status_code == 400
    assert 'value="&lt;b&gt;"' in answer.text
    assert "miles: must be a number, got &#39;far&#39;" in answer.text
    assert desk.room.store.find("trained-model-inference-job") == []


def test_only_the_author_predicts_by_hand(desk: RoomFixture, browser: FlaskClient) -> None:
    path = f"/ui/inference/predict/{add_model(desk, SCHEMA).seq}"
    sent = {"token": token(browser.get(path).text), "column-0": "AA"}

    assert browser.post(path, data=sent | {"token": "another"}).status_code == 403
    assert browser.post(f"{path}?as={AIRLINE}", data=sent).status_code == 403
    assert browser.get(f"{path}?as={BUREAU}").status_code == 403
    assert "no manifest with a schema" in browser.get(f"/ui/inference/predict/{desk.add_packed_model('v').seq}").text


@pytest.mark.parametrize(
    ("dtype", "text", "told"),
    [
        ("int64", "text", "must be a whole number, got 'text'"),
        ("int8", "300", "must be in the range of int8, got '300'"),
        ("float32", "", "must not be empty"),
        ("bool", "maybe", "must be true or false, got 'maybe'"),
        ("date32", "1.2.2013", "must be a date such as 2013-01-31, got '1.2.2013'"),
        ("float32", "nan", "NaN or infinite"),
    ],
)
def test_a_field_says_what_it_takes(dtype: str, text: str, told: str) -> None:
    schema = Schema.of(age=dtype, name="string")
    row = {"age": text, "name": "x"}
    with pytest.raises(SchemaError) as caught:
        check_row(schema, csv_of(schema, row))

    assert problems_of(schema, caught.value.problems, row)["age"].startswith(f"age: {told}")


def test_categories_that_the_model_knows_are_not_mentioned() -> None:
    schema = replace(SCHEMA, csv=Csv(null_values=("NA",)))
    for text in ("AA", "", "NA"):
        assert unknown_categories(schema, FEATURES, {"carrier": text, "miles": "1"}) == []


def test_booleans_are_spelled_as_in_the_form() -> None:
    assert [cell(True), cell(False), short(True)] == ["true", "false", "true"]


@pytest.mark.parametrize(
    "csv", [Csv(), Csv(dialect="spark"), Csv(header="none", delimiter=";"), Csv(dialect="rfc4180", delimiter="\t")]
)
def test_texts_of_a_row_come_back(csv: Csv) -> None:
    schema = Schema.of(csv=csv, name="string", note="text")
    texts = {"name": 'a "b"; c,\td', "note": "x\\y\nz"}

    assert texts_of(schema, csv_of(schema, texts)) == texts


@pytest.mark.process
def test_one_row_is_predicted_by_a_container(tmp_path: Path) -> None:
    answer = 'def answer(kind, body):\n    return b"0.25" if body.endswith(b"AA,7.5\\n") else b"wrong"'
    with Room(tmp_path / "home", SETTINGS) as room:
        desk = RoomFixture(room, tmp_path, answer=answer)
        desk.configure(AIRLINE, "a0a0a0a0-0000-4000-8000-000000000002")
        browser = create_app(room.caller).test_client()
        features = {"categorical": [{"name": "carrier", "vocabulary": ["UA"]}]}
        path = f"/ui/inference/predict/{add_model(desk, SCHEMA, features).seq}"
        sent = {"token": token(browser.get(path).text), "column-0": "AA", "column-1": "7.5"}

        started = browser.post(path, data=sent)
        assert started.status_code == 303, started.text
        page = settled(browser, started.headers["Location"])

    assert '<p class="big">0.25</p>' in page
    assert 'value="7.5"' in page
    assert "carrier: unknown category &#39;AA&#39;, none of the 1 that the model knows" in page
