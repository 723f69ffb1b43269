"""`import cleanroom_algo` and the command's help stay light; public names exist."""

import subprocess
import sys

import pytest

import cleanroom_algo
from tests import public_api

HEAVY = {"torch", "polars", "flask", "numpy", "pydantic", "boto3", "botocore", "duckdb", "rich", "sagemaker_training"}


def modules_after(code: str) -> set[str]:
    script = f"{code}\nimport sys\nprint('\\n'.join(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_import_is_light() -> None:
    assert not modules_after("import cleanroom_algo") & HEAVY


def test_pytest_runs_that_test_no_algorithm_are_light() -> None:
    heavy = {*HEAVY, "asyncio", "cleanroom_algo.errors", "cleanroom_algo.local"}
    assert not modules_after("import cleanroom_algo.testing.plugin") & heavy


def test_help_is_light() -> None:
    assert not modules_after("from cleanroom_algo.cli import main; main(['--help'])") & HEAVY


def test_the_first_page_waits_for_no_large_library() -> None:
    assert not modules_after("import cleanroom_algo.local.ui.app") & {"torch", "polars", "numpy", "duckdb", "rich"}


def test_starting_a_training_waits_for_no_large_library() -> None:
    assert not modules_after("import cleanroom_algo.local.client") & {"torch", "polars", "numpy", "duckdb", "rich"}


def test_public_names_and_signatures_change_on_purpose_only() -> None:
    written = public_api.FILE.read_text(encoding="utf-8").splitlines()
    assert list(public_api.lines()) == written, (
        "is it meant? Then run `python -m tests.public_api`, and say so in CHANGELOG.md"
    )


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="Trainr"):
        cleanroom_algo.Trainr  # noqa: B018


def test_dir_lists_the_public_names() -> None:
    assert dir(cleanroom_algo) == sorted(cleanroom_algo.__all__)
