"""The lines of a request, as its first ones decide what the others are."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleanroom_algo.channels.schema import Schema
from cleanroom_algo.errors import BadRecordError
from cleanroom_algo.serving.codecs.lines import LineDecoder
from cleanroom_algo.serving.codecs.media_types import MediaType

SCHEMA = Schema.of(target="t", text="string?", x="float32", t="bool")


@pytest.mark.parametrize("bad", [b"garbage\n", b"1,2,3,4\n", b'"not closed,1\n', b"garbage\r\n\n"])
@pytest.mark.parametrize("target", [b"", b",true"])
def test_a_bad_first_record_costs_the_others_nothing(bad: bytes, target: bytes) -> None:
    rows = LineDecoder(MediaType.CSV, SCHEMA, lenient=True).decode(bad + b"a,1" + target + b"\nb,2" + target + b"\n")
    assert rows.bad == (0,)
    assert rows.frame.rows() == [("a", 1.0), ("b", 2.0)]


@pytest.mark.parametrize("target", [b"", b",true"])
def test_the_first_record_may_have_several_lines(target: bytes) -> None:
    rows = LineDecoder(MediaType.CSV, SCHEMA).decode(b'"a\nb",1' + target + b"\nc,2" + target)
    assert rows.frame.rows() == [("a\nb", 1.0), ("c", 2.0)]


def test_without_a_record_of_either_width_the_features_are_expected() -> None:
    with pytest.raises(BadRecordError, match="1 field\\(s\\) instead of 2"):
        LineDecoder(MediaType.CSV, SCHEMA).decode(b"garbage\n")


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (b"[" * 100_000, "nested too deeply"),
        (b'{"x":' * 100_000, "nested too deeply"),
        (b"[1]", "a list of 1 value"),
        (b'{"features":[1]}', "a list of 1 value"),
    ],
)
def test_json_that_is_no_record_is_refused(record: bytes, why: str) -> None:
    with pytest.raises(BadRecordError, match=why):
        LineDecoder(MediaType.JSON_LINES, SCHEMA).decode(record)


RECORDS = [b'{"text":"a [1]","x":1.5}', b'["b",2.5]', b'{"features":["c",3.5]}', b'  ["d",4.5,true]']


@pytest.mark.parametrize("first", range(len(RECORDS)))
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_json_records_with_and_without_names_may_follow_each_other_in_any_order(first: int, end: bytes) -> None:
    turned = RECORDS[first:] + RECORDS[:first]
    frame = LineDecoder(MediaType.JSON_LINES, SCHEMA).decode(end.join(turned)).frame
    assert sorted(frame.rows()) == [("a [1]", 1.5), ("b", 2.5), ("c", 3.5), ("d", 4.5)]
    assert frame["x"].to_list() == [(first + number) % 4 + 1.5 for number in range(4)]


def test_the_line_of_a_list_that_does_not_fit_is_named() -> None:
    with pytest.raises(BadRecordError) as caught:
        LineDecoder(MediaType.JSON_LINES, SCHEMA).decode(b'{"text":"a","x":1}\n\n["b",2]\n["c"]\n')
    assert [problem.path for problem in caught.value.problems] == ["body:4"]


@pytest.mark.parametrize("blank", [b"   \n", b"\t\r\n", b" \n\n \n"])
def test_lines_of_spaces_are_no_json_records(blank: bytes) -> None:
    body = blank + b'{"x":1}\n' + blank + b'{"x":2}\n' + blank
    for lenient in (False, True):
        rows = LineDecoder(MediaType.JSON_LINES, SCHEMA, lenient=lenient).decode(body)
        assert (rows.frame["x"].to_list(), rows.bad) == ([1.0, 2.0], ())
    with pytest.raises(BadRecordError) as caught:
        LineDecoder(MediaType.JSON_LINES, SCHEMA).decode(b'  \n{"x":1}\n \nno\n')
    assert [problem.path for problem in caught.value.problems] == ["body:4"]


@given(st.lists(st.sampled_from([b"a,1\n", b"\n", b"b,2\r\n"]), min_size=1, max_size=12), st.data())
def test_a_bad_record_is_named_by_its_line_in_whichever_block_it_is(lines: list[bytes], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(lines)))) - {len(lines)})
    bounds = [0, *cuts, len(lines)]
    decoder = LineDecoder(MediaType.CSV, SCHEMA)
    for start, end in itertools.pairwise(bounds):
        decoder.decode(b"".join(lines[start:end]))
    with pytest.raises(BadRecordError) as caught:
        decoder.decode(b"c,x\n")
    assert [problem.path for problem in caught.value.problems] == [f"body:{len(lines) + 1}:x"]
