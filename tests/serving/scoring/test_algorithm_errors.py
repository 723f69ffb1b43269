"""Where an algorithm failed is told by its own files."""

from __future__ import annotations

from pathlib import Path

import pytest

from cleanroom_algo.contract.algorithm import load_algorithm
from cleanroom_algo.serving.scoring.algorithm_errors import place_of


def test_a_failure_within_a_library_is_told_by_the_line_that_called_it(tmp_path: Path) -> None:
    algorithm = tmp_path / "mine.py"
    algorithm.write_text("import json\n\ndef load():\n    return json.loads('no JSON')\n")
    with pytest.raises(ValueError) as caught:
        load_algorithm(str(algorithm)).load()
    assert place_of(caught.value) == "mine.py:4 in load"


def test_a_file_that_cannot_be_compiled_is_told_by_its_line(tmp_path: Path) -> None:
    algorithm = tmp_path / "mine.py"
    algorithm.write_text("x = 1\ndef f(:\n")
    with pytest.raises(SyntaxError) as caught:
        load_algorithm(str(algorithm))
    assert place_of(caught.value) == "mine.py:2"


def test_an_exception_that_was_never_raised_has_no_place() -> None:
    assert place_of(ValueError()) == "an unknown place"
