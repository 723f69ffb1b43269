"""What exceptions may say outside: nothing of a row, in whatever words they say it."""

from __future__ import annotations

import os
import sqlite3
import sys
import traceback
import types
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleanroom_algo.contract.redaction import Redactor, error_summary
from cleanroom_algo.errors import BaseModelUnreadableError, LossError, ManifestError

NAME, NUMBER = "Jane", 8837261  # of a row
HIDDEN_FROM = "def fail(name, number):\n"

POLARS = "InvalidOperationError: conversion from <value> failed in column 'distance' <value>"
CASES = [
    ('    assert number < 5, f"bad {name} in row {number}"', "AssertionError: bad <value> in row <value>"),
    ("    assert number < 5", "AssertionError"),
    ("    assert not number, name", "AssertionError: <value>"),
    ('    if name: raise ValueError(f"no such carrier: {name}")', "ValueError: no such carrier: <value>"),
    ('    number += 1; raise KeyError("unknown " + name)', "KeyError: unknown <value>"),
    ('    raise ValueError("bad %s of %5.2f" % (name, number))', "ValueError: bad <value> of <value>"),
    ('    raise ValueError("bad %(a)s" % {"a": name})', "ValueError: bad <value>"),
    ('    raise ValueError("bad {} of {x}".format(name, x=number))', "ValueError: bad <value> of <value>"),
    ("    raise ValueError(MESSAGE % name)", "ValueError: odd carrier <value>"),
    ("    raise ValueError(name, number)", "ValueError: <value>"),
    ("    raise ValueError", "ValueError"),
    ("    raise LookupError(\n        'nothing'\n        f' for {name}'\n    )", "LookupError: nothing for <value>"),
    ("    raise Odd(name)", "Odd: <value>"),
    ("    raise Odd('odd')", "Odd: odd"),
    ("    raise type(name, (ValueError,), {})('x')", "ValueError: <value>"),
    ("    raise type(name, (Exception,), {'__module__': 'builtins'})(name)", "Exception: <value>"),
    ("    error = ValueError(name)\n    raise error", "ValueError: <value>"),
    ('    raise ValueError(f"{ {}[name] }")', "KeyError: <value>"),
    ("    {}[name]", "KeyError: <value>"),
    ("    import polars; polars.Series('distance', [number]).cast(polars.Int8)", POLARS),
    ("    {'late': 1}[name]", "KeyError: <value>"),
    ("    {}['distance']", "KeyError: 'distance'"),
    ("    getattr(fail, name)", "AttributeError: <value> object has no attribute <value>"),
    ("    fail.tabel", "AttributeError: <value> object has no attribute 'tabel'"),
    ("    float(name)", "ValueError: could not convert string to float: <value>"),
    ("    float('it\\'s ' + name)", "ValueError: could not convert string to float: <value>"),
    ("    int(name)", "ValueError: invalid literal for int() with base <value>"),
    ("    [].index(number)", "ValueError: <value> is not in list"),
    ("    open('/nowhere/' + name)", "FileNotFoundError: <value> No such file or directory: <value>nowhere<value>"),
    (
        "    import datetime; datetime.datetime.strptime(name, '%Y')",
        "ValueError: time data <value> does not match format <value>",
    ),
    ("    import warnings; warnings.warn(f'bad {name}', RuntimeWarning)", "RuntimeWarning: bad <value>"),
    ("    import subprocess; raise subprocess.CalledProcessError(1, name)", "CalledProcessError: 1, <value>"),
    (
        "    import sqlite3; sqlite3.connect(':memory:').execute(f'select {name}')",
        "OperationalError: no such column: <value>",
    ),
    ("    import json; json.loads(name)", "JSONDecodeError: Expecting value: <value>"),
    ("    import ast; ast.literal_eval(name + ' ' + name)", "SyntaxError: invalid syntax <value>"),
    ("    exec(f'raise ValueError({name!r})')", "ValueError: <value>"),
    (
        "    import polars; polars.Series([number]).cast(polars.Int8)",
        "InvalidOperationError: conversion from <value> failed in column <value>",
    ),
    ("    import numpy; numpy.array([1]).reshape(number)", "ValueError: cannot reshape array of size <value>"),
    (
        "    import torch; torch.ones(2, 3) @ torch.ones(7, 2)",
        "RuntimeError: mat1 and mat2 shapes cannot be multiplied <value>",
    ),
    ("    import pandas; pandas.DataFrame({'v': [1]}).loc[[number]]", "KeyError: <value>"),
    ("    import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
    (
        "    try:\n        float(name)\n    except ValueError as e:\n        raise OSError(f'cannot use: {e}') from e",
        "OSError: cannot use: <value>",
    ),
    ("    raise ExceptionGroup(f'bad {name}', [ValueError(name)])", "ExceptionGroup: bad <value>"),
    ("    raise LossError(f'bad {name}', expected='x', fix='y')", "LossError: bad <value>, x, y"),
    (
        "    raise UnicodeDecodeError('utf-8', name.encode(), 0, 1, name)",
        "UnicodeDecodeError: utf-8, <value>, 0, 1, <value>",
    ),
]
HEAD = "from cleanroom_algo.errors import LossError\nMESSAGE = 'odd carrier %s'\nclass Odd(Exception):\n    pass\n"


def raised_by(folder: Path, body: str) -> tuple[BaseException, Redactor, str]:
    """Run an algorithm's code; return its exception, its redactor, and the description."""
    file = folder / "algorithm.py"
    file.write_text(f"{HEAD}{HIDDEN_FROM}{body}\n")
    redact = Redactor(folder, ["distance", "flights in June"])
    module = types.ModuleType("algorithm_under_test")
    module.__file__ = str(file)
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        patch.setitem(sys.modules, module.__name__, module)
        exec(compile(file.read_text(), str(file), "exec"), module.__dict__)
        with pytest.raises(Exception) as caught:
            module.fail(NAME, NUMBER)
        return caught.value, redact, redact.describe(caught.value)


@pytest.mark.parametrize(("body", "shown"), CASES, ids=[body.strip()[:60] for body, _ in CASES])
def test_no_value_passes_in_any_words(tmp_path: Path, body: str, shown: str) -> None:
    error, redact, text = raised_by(tmp_path, body)
    printed = redact.describe_printed("before\n" + "".join(traceback.format_exception(error)))
    if isinstance(error, ExceptionGroup):
        printed = text  # it is printed in a form of its own, which is not described
    for each in (text, printed or ""):
        assert NAME not in each
        assert str(NUMBER) not in each
        assert "  at algorithm.py:" in each
        assert " in fail: " in each
    assert text.partition("\n")[0] == shown


def test_the_place_is_the_algorithm_s_innermost(tmp_path: Path) -> None:
    error, redact, _ = raised_by(tmp_path, "    def inner():\n        float(name)\n    inner()")
    assert redact.describe(error).splitlines()[1:] == [
        "  at algorithm.py:7 in inner: float(name)",
        "  at algorithm.py:8 in fail: inner()",
    ]
    assert redact.place_of(error) == "algorithm.py:7 in inner"
    assert redact.class_of(error) == "ValueError"


def test_declared_names_stay(tmp_path: Path) -> None:
    redact = Redactor(tmp_path, ["distance", "flights in June", "17"])
    shown = redact.known_parts("'distance', flights in June and 17 of Jane")
    assert shown == "'distance', flights in June <value>"


def test_a_file_that_the_algorithm_wrote_is_not_its_source(tmp_path: Path) -> None:
    redact = Redactor(tmp_path)
    written = tmp_path / f"{NAME}.py"
    written.write_text(f"def {NAME}():\n    raise ValueError('{NAME}')\n")
    os.utime(written, (0, 0))
    redact._since = written.stat().st_ctime - 1
    scope: dict[str, Callable[[], None]] = {}
    exec(compile(written.read_text(), str(written), "exec"), scope)
    with pytest.raises(ValueError, match=NAME) as caught:
        scope[NAME]()
    assert redact.describe(caught.value) == "ValueError: <value>"


def test_our_own_errors_keep_their_form() -> None:
    error = LossError("the loss is nan", expected="a number", fix="lower the learning rate")
    assert Redactor().describe(error) == str(error)


def test_without_sources_only_the_class_and_known_phrases_are_shown() -> None:
    with pytest.raises(sqlite3.OperationalError) as caught:
        sqlite3.connect(":memory:").execute(f"select * from {NAME}")
    assert Redactor().describe(caught.value) == "OperationalError: no such table: <value>"


def test_an_exception_whose_message_cannot_be_read_is_described_by_its_class() -> None:
    class BrokenError(ValueError):
        def __str__(self) -> str:
            raise RuntimeError

    assert Redactor().describe(BrokenError()) == "ValueError"


def test_what_an_algorithm_wrote_itself_keeps_the_words_of_its_source(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("write(f'training failed for {name}')\n")
    assert Redactor(tmp_path).describe_text(f"training failed for {NAME}, {NUMBER}") == "training failed for <value>"


@given(st.text(max_size=60))
def test_nothing_unknown_passes(text: str) -> None:
    shown = Redactor().known_parts(f"is not callable: {text}")
    assert "".join(filter(str.isalnum, shown.replace("<value>", "").replace("is not callable", ""))) == ""


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        (f"ValueError: bad {NAME}\n  at a.py:17 in f: x = '{NAME}'", "ValueError\n  at a.py:17 in f"),
        (f"AlgorithmError: KeyError: {NAME}, exit code: 1", "AlgorithmError: KeyError"),
        (f"OperationalError: {NAME}", "OperationalError"),
        (f"{NAME}: bad", "<value>"),
        ("", "<value>"),
        (
            str(BaseModelUnreadableError(NAME, expected=NAME, fix=NAME)),
            f"{BaseModelUnreadableError.code}  {BaseModelUnreadableError.title}",
        ),
        (f"{ManifestError.code}{NAME}", "<value>"),
    ],
)
def test_other_members_read_the_class_or_the_code_alone(text: str, summary: str) -> None:
    assert error_summary(text) == summary
