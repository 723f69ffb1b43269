"""Inside quotes or not: what surrounds a place says the same as all quotes before it."""

from __future__ import annotations

import csv
import io
import random
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cleanroom_algo.channels.formats.csv import quoting
from cleanroom_algo.channels.formats.csv.quoting import inside_quotes
from tests.channels.support import write

FIELD = st.lists(st.sampled_from(["a", '"', '""', ",", "\n", "\r\n", ' "b', '",', "x,y"]), max_size=6).map("".join)


def by_counting(data: bytes, offsets: list[int]) -> list[bool]:
    return [data.count(b'"', 0, offset) % 2 == 1 for offset in offsets]


@pytest.fixture
def near(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let objects of a few bytes be as objects of many megabytes are."""
    monkeypatch.setattr(quoting, "_STEP_BYTES", 16)
    monkeypatch.setattr(quoting, "_BEFORE_BYTES", 8)
    monkeypatch.setattr(quoting, "MAX_ROW_BYTES", 64)


@pytest.mark.usefixtures("near")
@given(
    rows=st.lists(st.lists(FIELD, min_size=1, max_size=4), max_size=8),
    style=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    final=st.booleans(),
)
@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_is_what_counting_says(tmp_path: Path, rows: list[list[str]], style: int, final: bool) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=style, lineterminator="\n").writerows(rows)  # type: ignore[arg-type]
    data = text.getvalue().encode()
    data = data if final else data.removesuffix(b"\n")
    obj = write(tmp_path, "x", data)
    offsets = list(range(len(data)))
    for offset in offsets:  # each alone: one that was found before makes the next one easy
        assert inside_quotes(obj, [offset]) == by_counting(data, [offset])
    assert inside_quotes(obj, offsets[::7]) == by_counting(data, offsets[::7])


@pytest.mark.usefixtures("near")
@pytest.mark.parametrize("data", [b'5" x,1\n' * 40, b'"' * 200, b'",",",' * 40])
def test_where_nothing_tells_quotes_are_counted(tmp_path: Path, data: bytes) -> None:
    obj = write(tmp_path, "x", data)
    offsets = list(range(0, len(data), 5))
    assert [inside_quotes(obj, [each])[0] for each in offsets] == by_counting(data, offsets)


def read_so_far() -> int:
    """Return how many bytes this process has asked the kernel for."""
    return int(Path("/proc/self/io").read_text().split()[1])


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("quoted", [False, True])
def test_little_is_read_of_a_large_object(tmp_path: Path, quoted: bool) -> None:
    chance = random.Random(0)
    cell = '"text, ""quoted""\nand broken"' if quoted else "text"
    rows = "".join(f"{chance.random()},{cell}\n" for _ in range(20_000)).encode()
    obj = write(tmp_path, "x", rows * (100 * (1 << 20) // len(rows)))
    offset = obj.size - len(rows) // 3
    before = read_so_far()
    found = inside_quotes(obj, [offset])
    assert read_so_far() - before < 4 * (1 << 20)
    assert found == by_counting(obj.path.read_bytes(), [offset])
