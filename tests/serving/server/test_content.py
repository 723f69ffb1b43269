"""What goes in and comes out, over HTTP: every content type, and records that do not fit."""

from __future__ import annotations

import gzip
import io
import json

import numpy as np
import polars as pl
import pytest

from cleanroom_algo.serving.artifacts import Artifacts
from cleanroom_algo.serving.codecs.media_types import MEDIA_TYPES
from cleanroom_algo.serving.scoring.prediction import answer, load_predictor
from tests.serving.support import Container, RunningServer, Start, table


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    return table(700, seed=3)


@pytest.fixture(scope="module")
def truth(container: Container, frame: pl.DataFrame) -> pl.DataFrame:
    return answer(load_predictor(str(container.algorithm), Artifacts(container.root / "model")), frame)


def encoded(frame: pl.DataFrame) -> dict[str, bytes]:
    parquet, arrow = io.BytesIO(), io.BytesIO()
    frame.write_parquet(parquet)
    frame.write_ipc_stream(arrow)
    rows = frame.rows()
    return {
        "text/csv": frame.write_csv().encode(),
        "application/jsonlines": frame.write_ndjson().encode(),
        "application/x-ndjson": frame.write_ndjson().encode().replace(b"\n", b"\r\n"),
        "application/json": frame.write_json().encode(),
        "application/json; charset=utf-8": json.dumps({"instances": rows}).encode(),
        "application/vnd.apache.parquet": parquet.getvalue(),
        "application/vnd.apache.arrow.stream": arrow.getvalue(),
    }


def test_every_content_type_in(server: RunningServer, frame: pl.DataFrame, truth: pl.DataFrame) -> None:
    wanted = truth.write_csv(include_header=False).encode().removesuffix(b"\n")
    for content_type, body in encoded(frame).items():
        assert server.invoke(body, content_type, Accept="text/csv") == wanted, content_type
        with_target = encoded(frame.with_columns(late=pl.lit(value=True)))[content_type]
        assert server.invoke(with_target, content_type, Accept="text/csv") == wanted, content_type


def test_every_content_type_out(server: RunningServer, frame: pl.DataFrame, truth: pl.DataFrame) -> None:
    body = frame.write_csv().encode()
    values = truth["prediction"].to_numpy()

    def get(accept: str) -> bytes:
        return server.invoke(body, Accept=accept)

    assert pl.read_ndjson(get("application/jsonlines"), schema=truth.schema).equals(truth)
    assert not get("application/jsonlines").endswith(b"\n")
    document = json.loads(get("application/json"))
    assert np.array_equal(np.array([row["prediction"] for row in document["predictions"]], np.float32), values)
    assert pl.read_parquet(io.BytesIO(get("application/vnd.apache.parquet"))).equals(truth)
    assert pl.read_ipc_stream(io.BytesIO(get("application/vnd.apache.arrow.stream"))).equals(truth)
    assert np.array_equal(np.load(io.BytesIO(get("application/x-npy"))), values)


def test_an_answer_names_its_content_type(server: RunningServer, frame: pl.DataFrame) -> None:
    body = frame.write_csv().encode()
    for accept, answered in [("*/*", "text/csv"), ("application/json;q=0.2, application/x-npy", "application/x-npy")]:
        _, _, headers = server.request("POST", "/invocations", body, Content_Type="text/csv", Accept=accept)
        assert headers["content-type"].partition(";")[0] == answered


def test_npy_of_numbers_alone(server: RunningServer) -> None:
    array = io.BytesIO()
    np.save(array, np.zeros((3, 3)))
    status, body, _ = server.request("POST", "/invocations", array.getvalue(), Content_Type="application/x-npy")
    assert status == 400
    assert b"carrier" in body  # a text column cannot come from numbers
    pickled = io.BytesIO()
    np.save(pickled, np.array([object()]), allow_pickle=True)
    status, body, _ = server.request("POST", "/invocations", pickled.getvalue(), Content_Type="application/x-npy")
    assert status == 400


def test_structured_npy(server: RunningServer, frame: pl.DataFrame, truth: pl.DataFrame) -> None:
    # Texts in npy are of fixed width, and numpy cannot say null: only rows without nulls can be told this way.
    full = frame.filter(pl.col("distance").is_not_null())
    array = full.to_numpy(structured=True)
    dtype = [(name, "U16" if array.dtype[name].hasobject else array.dtype[name]) for name in array.dtype.names or ()]
    out = io.BytesIO()
    np.save(out, array.astype(dtype))
    wanted = truth.filter(frame["distance"].is_not_null()).write_csv(include_header=False).encode()
    assert server.invoke(out.getvalue(), "application/x-npy", Accept="text/csv") + b"\n" == wanted


def test_gzip_and_charset(server: RunningServer, frame: pl.DataFrame, truth: pl.DataFrame) -> None:
    wanted = truth.write_csv(include_header=False).encode().removesuffix(b"\n")
    text = frame.write_csv()
    assert server.invoke(gzip.compress(text.encode()), Content_Encoding="gzip") == wanted
    assert server.invoke(text.encode("utf-16"), "text/csv; charset=utf-16") == wanted
    assert server.invoke(b"\xef\xbb\xbf" + text.encode()) == wanted


@pytest.mark.parametrize(
    ("content_type", "body", "told"),
    [
        ("text/csv", gzip.compress(b"AA,1.5,3\n", mtime=0), "Content-Encoding"),
        ("application/vnd.apache.parquet", gzip.compress(b"PAR1", mtime=0), "Content-Encoding"),
        ("text/csv", "AA,1.5,3\n".encode("utf-16"), "UTF-16"),
        ("application/json", "[]".encode("utf-16-le"), "UTF-16-LE"),
        ("application/jsonlines", "{}".encode("utf-32"), "UTF-32"),
    ],
)
def test_bodies_that_are_not_what_their_headers_say(
    server: RunningServer, content_type: str, body: bytes, told: str
) -> None:
    status, answered, _ = server.request("POST", "/invocations", body, Content_Type=content_type)
    assert (status, json.loads(answered)["code"]) == (415, "CR-SRV-003")
    assert told in json.loads(answered)["what"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/x-python-pickle"}, 415),
        ({"Content-Type": "text/csv; charset=klingon"}, 415),
        ({"Content-Type": "text/csv", "Content-Encoding": "br"}, 415),
        ({"Content-Type": "text/csv", "Accept": "image/png"}, 406),
        ({"Content-Type": "text/csv", "Content-Encoding": "gzip"}, 400),
        ({"Content-Type": "application/json"}, 400),
        ({"Content-Type": "application/vnd.apache.parquet"}, 400),
        ({"Content-Type": "application/vnd.apache.arrow.stream"}, 400),
        ({"Content-Type": "application/x-npy"}, 400),
    ],
)
def test_refusals(server: RunningServer, headers: dict[str, str], status: int) -> None:
    given, body, _ = server.request("POST", "/invocations", b"AA,1.5,3\n", **headers)
    assert given == status, body
    document = json.loads(body)
    if status in {406, 415} and "charset" not in document["what"] and "Encoding" not in document["what"]:
        assert all(name in document["expected"] for name in MEDIA_TYPES)


def test_an_empty_body_has_an_empty_answer(server: RunningServer) -> None:
    assert server.invoke(b"") == b""
    assert server.invoke(b"carrier,distance,hour\n") == b""
    assert json.loads(server.invoke(b"", Accept="application/json")) == {"predictions": []}
    assert server.invoke(b"[]", "application/json", Accept="text/csv") == b""


def test_a_bad_record_is_placed_and_never_quoted(server: RunningServer) -> None:
    body = b"carrier,distance,hour\nAA,1.5,3\nAA,secret-text,3\nAA,1.5\n"
    status, answered, _ = server.request("POST", "/invocations", body, Content_Type="text/csv")
    assert status == 400
    assert [problem["path"] for problem in json.loads(answered)["problems"]] == ["body:3:distance", "body:4"]
    assert b"secret" not in answered
    assert b"secret" not in server.log.read_bytes()
    lines = b'{"carrier":"AA","distance":1.5,"hour":3}\n{"carrier":"AA","distance":"secret","hour":3}\n'
    status, answered, _ = server.request("POST", "/invocations", lines, Content_Type="application/jsonlines")
    assert status == 400
    assert [problem["path"] for problem in json.loads(answered)["problems"]] == ["body:2:distance"]
    bad = pl.DataFrame({"carrier": ["AA"], "distance": [1.0], "hour": [2**40]})
    out = io.BytesIO()
    bad.write_parquet(out)
    status, answered, _ = server.request("POST", "/invocations", out.getvalue(), Content_Type="application/x-parquet")
    assert status == 400
    assert [problem["path"] for problem in json.loads(answered)["problems"]] == ["body:row 0:hour"]


def test_a_bad_record_can_become_a_placeholder(
    start_server: Start, container: Container, frame: pl.DataFrame, truth: pl.DataFrame
) -> None:
    server = start_server(container, CLEANROOM_ALGO_SERVE_BAD_RECORDS="placeholder", CLEANROOM_ALGO_SERVE_WORKERS="1")
    good = frame.write_csv(include_header=False).encode().splitlines()
    predicted = truth.write_csv(include_header=False).encode().splitlines()
    body = [*good[:5], b"AA,x,3", *good[5:9], b"", b"AA", *good[9:], b'AA,1,"3']
    wanted = [*predicted[:5], b"ERROR", *predicted[5:9], b"ERROR", *predicted[9:], b"ERROR"]  # a blank line is none
    assert server.invoke(b"\n".join(body)).splitlines() == wanted
    assert server.invoke(b"AA,x,3\nAA,1\n") == b"ERROR\nERROR"
    lines = b'{"carrier":"AA","distance":"x","hour":3}\nnot json\n'
    assert server.invoke(lines, "application/jsonlines") == b'{"prediction":null}\n{"prediction":null}'
    bad = pl.concat(
        [frame[:3], frame[3:6].with_columns(hour=None, carrier=pl.lit("AA")), frame[6:9]], how="vertical_relaxed"
    )
    for content_type, packed in encoded(bad).items():
        if content_type != "text/csv":
            answered = server.invoke(packed, content_type, Accept="text/csv").splitlines()
            assert answered == [*predicted[:3], *[b"ERROR"] * 3, *predicted[6:9]], content_type
    assert server.stop() == 0


def test_blank_lines_are_no_records_wherever_they_stand(
    server: RunningServer, frame: pl.DataFrame, truth: pl.DataFrame
) -> None:
    wanted = truth.write_csv(include_header=False).encode().removesuffix(b"\n")
    for content_type in ("text/csv", "application/jsonlines"):
        body = encoded(frame)[content_type]
        for blank in (b"\n", b"\r\n", b"\n\r\n\n"):
            lines = body.splitlines(keepends=True)
            gapped = blank + b"".join([*lines[:1], blank, *lines[1:300], blank, *lines[300:], blank])
            assert server.invoke(gapped, content_type, Accept="text/csv") == wanted, (content_type, blank)
    # The line that is named is the one in the body.
    status, answered, _ = server.request("POST", "/invocations", b"\n\nAA,1,3\n\nAA,x,3\n", Content_Type="text/csv")
    assert (status, json.loads(answered)["problems"][0]["path"]) == (400, "body:5:distance")


def test_json_records_without_names(server: RunningServer, frame: pl.DataFrame, truth: pl.DataFrame) -> None:
    wanted = truth.write_csv(include_header=False).encode().removesuffix(b"\n")
    rows = [list(row) for row in frame.rows()]
    for records in (rows, [{"features": row} for row in rows]):
        lines = "\r\n".join(json.dumps(record) for record in records).encode()
        assert server.invoke(lines, "application/jsonlines", Accept="text/csv") == wanted
        for document in (records, {"instances": records}, {"signature_name": "x", "instances": records}):
            for indent in (None, 1):
                body = json.dumps(document, indent=indent).encode()
                assert server.invoke(body, "application/json", Accept="text/csv") == wanted


@pytest.mark.parametrize(
    "body",
    [
        b"[1,2",
        b"[{}] x",
        b'{"instances":[{}]',
        b'{"instances":[{}],,}',
        b"[{},]",
        b"[,{}]",
        b"[{} {}]",
        b"3",
        b"[" * 9000,
    ],
)
def test_what_is_not_json_is_refused(server: RunningServer, body: bytes) -> None:
    status, answered, _ = server.request("POST", "/invocations", body, Content_Type="application/json")
    assert status == 400
    assert json.loads(answered)["code"] == "CR-SRV-005"
