"""`explain` knows every status code that a job can end with."""

from __future__ import annotations

import ast
import builtins
import re
from pathlib import Path

import pytest

import cleanroom_algo
from cleanroom_algo.errors import all_errors
from cleanroom_algo.errors.status_codes import STATUS_CODES, status_code
from tests.cli.support import run

# What statusCode and the reasons of failures that the code writes begin with, and the names of exceptions do not.
CODE = re.compile(r"(CR-[A-Z]{3}-[0-9]{3}|[A-Z][a-z]+[A-Za-z]*(?:Error|Exceeded|Lost|Stopped|Fault))(?::|$)")


def written() -> set[str]:
    """Return the codes in all texts of the local clean room."""
    sources = sorted((Path(cleanroom_algo.__file__).parent / "local").rglob("*.py"))
    nodes = (node for path in sources for node in ast.walk(ast.parse(path.read_text())))
    texts = (node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return {found[1] for text in texts if (found := CODE.match(text))} - set(dir(builtins))


def test_every_code_that_the_code_writes_is_explained() -> None:
    found = written() | set(STATUS_CODES)
    assert {"AlgorithmError", "MaxRuntimeExceeded"} <= found
    assert found <= {*all_errors(), *STATUS_CODES}
    for code in sorted(found):
        done = run("explain", code, "--json")
        assert done.status == 0
        assert len(done.json["explanation"]) > 40


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("CR-TRN-010  no rows", "CR-TRN-010"),
        ("MaxRuntimeExceeded: 60 s", "MaxRuntimeExceeded"),
        ("ClientError: no such role", "ClientError"),
        ("AlgorithmError: ValueError", "AlgorithmError"),
        ("alpha: a value of a row", "AlgorithmError"),
    ],
)
def test_a_reason_gives_a_code_that_is_known(reason: str, code: str) -> None:
    assert status_code(reason) == code
