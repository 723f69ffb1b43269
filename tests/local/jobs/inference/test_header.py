"""What the first lines of an object tell about the rows of an inference job."""

from __future__ import annotations

from pathlib import Path

import pytest

from cleanroom_algo.channels.schema import Csv, Schema
from cleanroom_algo.local.jobs.inference.header import index_warning
from cleanroom_algo.local.objects.reference import ObjectRef

pytestmark = pytest.mark.unit

SCHEMA = Schema.of(target="late", distance="float64", hour="int32", late="bool?")


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        ("0,900.5,3\n1,800.0,4\n2,700.0,5\n", True),
        ("1,900.5,3\r\n2,800.0,4\r\n3,700.0,5", True),
        ("\ufeff0,900.5,3\n1,800.0,4\n2,700.0,5\n", True),
        ("".join(f"{row},900.5,3\n" for row in range(100_000)), True),
        ("0,900.5,3\n1,800.0,4\n", False),  # too few
        ("2,900.5,3\n3,800.0,4\n4,700.0,5\n", False),
        ("0,900.5,3\n1,800.0,4\n1,700.0,5\n", False),
        ("0,900\n1,800\n2,700\n", False),  # as wide as the features
        ("distance,hour,late\n0,3,1\n1,4,1\n2,5,0\n", False),
        (",distance,hour\n0,900.5,3\n1,800.0,4\n2,700.0,5\n", False),
        ("", False),
    ],
)
def test_rows_that_begin_with_an_index(tmp_path: Path, text: str, warned: bool) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text, newline="")
    objects = [ObjectRef("in/a.csv", path, path.stat().st_size)]
    assert (index_warning(objects, SCHEMA) is not None) is warned
    for other in (
        Schema.of(target="late", trip_id="float64", hour="int32", late="bool?"),  # may be such numbers
        Schema.of(target="late", late="bool?", distance="float64", hour="int32"),  # the target is left out
        Schema.of(distance="float64", hour="int32", late="bool?"),
    ):
        assert index_warning(objects, other) is None


def test_an_index_is_found_with_the_delimiter_of_the_schema(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("0;900,5;3\n1;800,0;4\n2;700,0;5\n")
    schema = Schema(SCHEMA.columns, target="late", csv=Csv(delimiter=";", decimal=","))
    assert "a.csv has no header" in (index_warning([ObjectRef("a.csv", path, 10)], schema) or "")
