"""What exceptions may say outside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleanroom_algo.training.process.redaction import Redactor


@pytest.fixture
def redact(tmp_path: Path) -> Redactor:
    source = tmp_path / "algorithm.py"
    source.write_text("raise ValueError(f\"bad {value} in column 'late' of 24 hours\")")
    return Redactor([source], ["distance"], ["sesame-4711", "0.125"])


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("could not convert string to float: 'Jane'", "could not convert string to float: <value>"),
        ("Target 7 is out of bounds.", "Target <value> is out of bounds."),
        ("bad 31.5 in column 'late' of 24 hours", "bad <value> in column 'late' of 24 hours"),
        ("'distance' is missing", "'distance' is missing"),
        ("key sesame-4711 refused", "key <value> refused"),
        ("lr=0.125", "lr=<value>"),
        ("born 1984-05-17", "born <value>"),
        ("mat1 and mat2 shapes cannot be multiplied (64x5 and 7x3)",) * 2,
        ("Expected size for first two dimensions to be: [32, 5] but got: [32, 7]",) * 2,
        ("shape '[64, 3]' is invalid for input of size 640", "shape <value> is invalid for input of size 640"),
        ("CUDA out of memory. Tried to allocate 20.00 MiB",) * 2,
        ("[Errno 28] No space left on device",) * 2,
        ("Dimension out of range (expected to be in range of [-1, 0], but got 1)",) * 2,
    ],
)
def test_values_are_hidden_and_words_stay(redact: Redactor, message: str, told: str) -> None:
    assert redact(message).replace("[<value>, 0]", "[-1, 0]") == told


def test_errors_about_names_keep_them(redact: Redactor) -> None:
    error = AttributeError("'Net' object has no attribute 'tabel'")
    assert redact.for_error(error)(str(error)) == str(error)


def test_what_the_algorithm_composed_keeps_its_own_words_only(tmp_path: Path) -> None:
    source = tmp_path / "algorithm.py"
    source.write_text(
        "def check(name, at):\n    raise ValueError(f'no such carrier: {name} in step {at}')\n"
        "def again(name):\n    try:\n        float(name)\n    except ValueError as error:\n"
        "        raise RuntimeError(f'cannot use row: {error}') from error\n"
    )
    redact = Redactor([source])
    module: dict[str, Any] = {}
    exec(compile(source.read_text(), str(source), "exec"), module)
    cases: list[tuple[Callable[[], Any], str]] = [
        (lambda: module["check"]("Jane Doe", 4711), "no such carrier: <value> in step <value>"),
        (lambda: module["again"]("Jane"), "cannot use row: <value> float: <value>"),
        (lambda: float("Jane"), "could not convert string to float: <value>"),
    ]
    for call, told in cases:
        with pytest.raises((ValueError, RuntimeError)) as caught:
            call()
        assert redact.for_error(caught.value)(str(caught.value)) == told


@given(st.integers(10**5, 10**12) | st.floats(1e3, 1e9).map(lambda x: round(x, 3)) | st.text("abcxyz", min_size=4))
def test_no_value_in_quotes_or_digits_passes(value: object) -> None:
    redact = Redactor()
    assert str(value) not in redact(f"bad record {value!r}: got {value!r}")
