"""JSON Lines: what reads as what, alone and among other records, and what is told of records that do not fit."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleanroom_algo.channels.formats.json_lines import JsonLinesDecoder
from cleanroom_algo.channels.schema import Column, Schema
from cleanroom_algo.errors import RowMismatchError
from tests.channels.support import ALL, DIGITS, INTEGER_MIDDLES, MIXED, NUMBERS, SMALL, TIMES, read, squeeze, write

ROWS = [(1, "UA", 2.5, dt.date(2013, 1, 2), True), (2, None, None, None, None)]
PLAIN = b'{"s":"x"}'
SLOW = rb'{"x":"\ud83d"}'  # polars does not read it


@pytest.mark.parametrize(
    "data",
    [
        b'{"flight":1,"carrier":"UA","distance":2.5,"day":"2013-01-02","late":true}\n{"flight":2,"late":null}\n',
        b'\xef\xbb\xbf{"late":true,"flight":1,"carrier":"UA","distance":2.5,"day":"2013-01-02","x":[1]}\r\n{"flight":2}',
    ],
)
def test_json_lines(tmp_path: Path, data: bytes) -> None:
    schema = replace(MIXED, extra_columns="ignore")
    assert read(write(tmp_path, "x", data), schema).rows() == ROWS


@pytest.mark.parametrize(
    ("line", "path", "message"),
    [
        (b'{"flight":"secret"}', "x:2:flight", "not of type int32: text"),
        (b'{"flight":1.5}', "x:2:flight", "not of type int32: a number with a fraction"),
        (b'{"flight":3000000000}', "x:2:flight", "not of type int32"),
        (b'{"carrier":"secret"}', "x:2:flight", "absent or null, but int32 is not nullable"),
        (b'{"flight":1,"late":2}', "x:2:late", "not of type bool: a number other than 0 and 1"),
        (b'{"flight":1,', "x:2", "not valid JSON"),
        (b"[1]", "x:2", "a list of 1 value(s), not a JSON object"),
        (b"1", "x:2", "not a JSON object"),
        (b"", "x:2", "the line is blank"),
        (b'{"flight":1,"carrier":"\xe9"}', "x:2:carrier", "not valid UTF-8"),
        (b'{"flight":1} x', "x:2", "something follows the object"),
        (
            b'{"flight":1}{"flight":2}',
            "x:2",
            "two objects on one line: a part without a final line break may have been joined with the next one",
        ),
    ],
)
def test_a_json_line_that_does_not_fit_says_where(
    tmp_path: Path, line: bytes, path: str, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    obj = write(tmp_path, "x", b'{"flight":1}\n' + line + b'\n{"flight":2}\n')
    with pytest.raises(RowMismatchError) as caught:
        read(obj, MIXED)
    assert [(p.path, p.message) for p in caught.value.problems] == [(path, message)]
    assert "secret" not in str(caught.value) + "".join(capfd.readouterr())


def test_packed_bytes_among_json_lines_are_told_as_lines_that_are_none() -> None:
    # polars unpacks what begins as a packed file does, and raises an OSError where it ends too early.
    with pytest.raises(RowMismatchError, match="not valid JSON"):
        JsonLinesDecoder(MIXED, source="x").decode(squeeze(b'{"flight":1}') + b"\n")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"1", "1"),
        (b"1.0", "1.0"),
        (b"1e22", "1e22"),
        (b"1.10", "1.10"),
        (b"[1.10, 1E5]", "[1.10, 1E5]"),
        (b"-0.0", "-0.0"),
        (b"-0", "-0"),
        (b"4.9e-324", "4.9e-324"),
        (b"9" * 45, "9" * 45),
        (b"true", "true"),
        (b'{"a":1.0, "b":"\\\\", "c":null}', '{"a": 1.0, "b": "\\\\", "c": null}'),
        (b'[1,"\\u00e9\\""]', '[1, "\u00e9\\""]'),
        (b'{"b":1,"b":2}', '{"b": 1}'),
        (b'"1.0"', "1.0"),
        (b'"{1}"', "{1}"),
        (b'"\\u00e9"', "\u00e9"),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'"\\\\ud83d"', "\\ud83d"),
    ],
)
@pytest.mark.parametrize("name", [b'"s"', b'"\\u0073"', b'"x":0, "s" '])
def test_a_string_column_takes_other_values_as_their_json_text(value: bytes, text: str, name: bytes) -> None:
    line = b"{" + name + b": " + value + b"}"
    assert _values_of(line) == text
    assert _values_of(line, SLOW) == text


@pytest.mark.parametrize(
    "text",
    [
        rb"a\ud83db",
        rb"\udc00",
        rb"\uDE00\uD83D",
        rb"\ud83d\ud83d\ude00",
        rb"\ud83d\ude00\ude00",
        rb"\\ud83d\udc00",
        rb"\\\ud83d",
        rb"\ud83d\\udc00",
    ],
)
def test_half_a_surrogate_is_no_text(text: bytes) -> None:
    with pytest.raises(RowMismatchError) as caught:
        _values_of(b'{"s":"' + text + b'"}')
    assert [(p.path, p.message) for p in caught.value.problems] == [("x:1:s", "not valid UTF-8")]


def test_a_column_may_have_a_name_that_json_escapes() -> None:
    for name, spellings in {"a/b": [rb"a\/b", b"a/b"], 'q"\\': [rb"q\"\\", rb"q\u0022\\"]}.items():
        decoder = JsonLinesDecoder(Schema([Column(name, "string")]), source="x")
        for spelt in spellings:
            assert decoder.decode(b'{"' + spelt + b'":1.0}').row(0) == ("1.0",)


@pytest.mark.parametrize("depth", [10, 800, 990, 1010, 5000])
def test_nesting_that_nobody_asks_for_is_no_matter_of_the_neighbours(depth: int) -> None:
    line = b'{"s":"y","other":' + b"[" * depth + b"]" * depth + b"}"
    assert _outcome([line], 0) == _outcome([SLOW, line], 1)


def test_a_name_in_other_case_is_told() -> None:
    decoder = JsonLinesDecoder(Schema.of(flight="int32", late="bool"), source="x")
    with pytest.raises(RowMismatchError) as caught:
        decoder.decode(b'{"Flight":1,"late":null,"LATE":true}')
    assert [(p.path, p.message) for p in caught.value.problems] == [
        ("x:1:flight", "absent (a member differs from it only in case), but int32 is not nullable"),
        ("x:1:late", "absent or null, but bool is not nullable"),
    ]


STRINGS = st.one_of(
    st.text(max_size=8).map(json.dumps),
    st.text(st.characters(exclude_characters="\n", exclude_categories=()), max_size=6).map('"{}"'.format),
    st.text(alphabet=r"\ud83cD0\"/nabe", max_size=10).map('"{}"'.format),
    TIMES.map('"{}"'.format),
    st.sampled_from(['"1.5"', '"[x]"', '"{"', '"7"', '"0001-01-01T00:00:00+05:00"', '"9999-12-31T23:59:59-01:00"']),
)
WORDS = st.sampled_from(["true", "false", "null", "NaN", "-Infinity", "nul", "", "-"])
VALUES = st.recursive(
    st.one_of(NUMBERS, STRINGS, WORDS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: "[" + ",".join(parts) + "]"),
        st.lists(inner, max_size=3).map(lambda parts: "{" + ",".join(f'"s": {part}' for part in parts) + "}"),
    ),
    max_leaves=4,
)
MEMBERS = st.one_of(
    st.tuples(st.sampled_from(["s", r"\u0073", "other"]), VALUES),
    st.tuples(st.sampled_from(["i", "u", "h"]), st.one_of(SMALL, DIGITS, INTEGER_MIDDLES)),
    st.tuples(st.sampled_from(["f", "d"]), NUMBERS),
    st.tuples(st.sampled_from(["day", "at", "b"]), st.one_of(STRINGS, WORDS)),
    st.tuples(st.sampled_from(ALL.names), VALUES),
)
RECORDS = st.lists(MEMBERS, max_size=3).map(
    lambda members: ("{" + ",".join(f'"{name}" :{value}' for name, value in members) + "}").encode(
        errors="surrogatepass"
    )
)


@given(record=RECORDS)
@settings(max_examples=150)
def test_a_record_reads_the_same_whatever_stands_beside_it(record: bytes) -> None:
    alone = _outcome([record], 0)
    assert _outcome([PLAIN, record, PLAIN], 1) == alone
    assert _outcome([SLOW, record], 1) == alone


def _outcome(lines: list[bytes], position: int) -> str | None:
    """Return what the record at a position reads as, or None where it is refused."""
    rejected: list[int] = []
    frame = JsonLinesDecoder(ALL, source="x").decode(b"\n".join(lines), rejected=rejected)
    return None if position in rejected else repr(frame.row(position))  # NaN equals itself, and -0.0 is not 0.0


def _values_of(*lines: bytes) -> object:
    """Return the first value of the first record."""
    return JsonLinesDecoder(ALL, source="x").decode(b"\n".join(lines)).row(0)[0]
