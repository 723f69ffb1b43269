from __future__ import annotations

import gzip
import itertools
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cleanroom_algo.errors import InferenceInputError
from cleanroom_algo.local.jobs.inference.split import assemble, require_lines, split_lines
from cleanroom_algo.local.objects.listing import objects_of
from cleanroom_algo.local.objects.reference import ObjectRef
from cleanroom_algo.local.planning.inference import looks_like_header
from cleanroom_algo.local.plans.inference_plan import HeaderMode

LINE = st.binary(max_size=30).map(lambda b: b.replace(b"\n", b"").replace(b"\r", b""))
SETTINGS = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def write(folder: Path, data: bytes) -> ObjectRef:
    path = folder / "object"
    path.write_bytes(data)
    return ObjectRef("object", path, len(data))


@given(st.lists(LINE, max_size=40), st.booleans(), st.integers(31, 90))
@SETTINGS
def test_requests_are_whole_lines_and_as_full_as_they_can_be(
    tmp_path: Path, lines: list[bytes], final: bool, size: int
) -> None:
    data = b"\n".join(lines) + (b"\n" if final and lines else b"")
    payloads = list(split_lines(write(tmp_path, data), max_bytes=size))
    assert b"".join(payloads) == data
    assert all(0 < len(payload) <= size for payload in payloads)
    assert all(payload.endswith(b"\n") for payload in payloads[:-1])
    for payload, following in itertools.pairwise(payloads):
        assert len(payload) + following.find(b"\n") + 1 > size or b"\n" not in following


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [
        ("first-chunk", [b"a,b\n1,2\n", b"3,4\n5,6\n", b"7,8"]),
        ("none", [b"1,2\n3,4\n", b"5,6\n7,8"]),
        ("every", [b"a,b\n1,2\n", b"a,b\n3,4\n", b"a,b\n5,6\n", b"a,b\n7,8"]),
    ],
)
def test_the_header_switch(tmp_path: Path, mode: HeaderMode, wanted: list[bytes]) -> None:
    path = write(tmp_path, b"a,b\n1,2\n3,4\n5,6\n7,8")
    assert list(split_lines(path, max_bytes=8, has_header=True, header=mode)) == wanted
    without = write(tmp_path, b"1,2\n3,4\n")
    assert list(split_lines(without, max_bytes=8, header=mode)) == [b"1,2\n3,4\n"]


@pytest.mark.parametrize("mode", ["first-chunk", "every"])
def test_a_header_alone_is_sent(tmp_path: Path, mode: HeaderMode) -> None:
    assert list(split_lines(write(tmp_path, b"a,b\n"), max_bytes=8, has_header=True, header=mode)) == [b"a,b\n"]


def test_an_empty_object_has_no_requests(tmp_path: Path) -> None:
    assert list(split_lines(write(tmp_path, b""), max_bytes=8, has_header=True)) == []


@pytest.mark.parametrize(
    "data", [b"x" * 9, b"1\n" + b"x" * 9, b"1\n" + b"x" * 8 + b"\n", b"1\n" + b"x" * 20 + b"\n2\n"]
)
def test_a_record_that_fits_no_request_is_an_error(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InferenceInputError, match="larger than the maximum size"):
        list(split_lines(write(tmp_path, data.replace(b"%b", b"x" * 9)), max_bytes=8))


def test_a_record_that_just_fits(tmp_path: Path) -> None:
    assert list(split_lines(write(tmp_path, b"x" * 8), max_bytes=8)) == [b"x" * 8]
    assert list(split_lines(write(tmp_path, b"x" * 7 + b"\n1"), max_bytes=8)) == [b"x" * 7 + b"\n", b"1"]


def test_a_header_that_leaves_no_room_is_an_error(tmp_path: Path) -> None:
    for mode in ("first-chunk", "every"):
        with pytest.raises(InferenceInputError):
            list(split_lines(write(tmp_path, b"header-line\n1\n"), max_bytes=8, has_header=True, header=mode))


def test_parquet_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(InferenceInputError, match="Parquet") as caught:
        require_lines(write(tmp_path, b"PAR1...."))
    assert "CSV" in caught.value.fix
    require_lines(write(tmp_path, b"1,2"))


def test_gzip_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(InferenceInputError, match="gzipped"):
        require_lines(write(tmp_path, gzip.compress(b"1,2\n")))


def test_assembling() -> None:
    assert assemble(b"1\n2") == b"1\n2\n"
    assert assemble(b"") == b""
    assert assemble(b"1\n") == b"1\n\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [("a,b", True), (",a,b", True), ("a;b", True), ("1,b", False), ("a,,b", False), ("", False), (",1", False)],
)
def test_the_first_line_may_be_a_header(tmp_path: Path, line: str, expected: bool) -> None:
    (tmp_path / "x").write_text(f"{line}\n0,1\n")
    assert looks_like_header(objects_of(tmp_path)) is expected
