"""The catalogue of errors: codes are unique and stable in form, and each explains itself."""

import inspect
import pickle
import re

import pytest

from cleanroom_algo import errors
from cleanroom_algo.errors import CleanroomError, Problem, all_errors
from tests.cli.support import run

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, CleanroomError)]
CONCRETE = [kind for kind in CLASSES if "code" in vars(kind) and kind is not CleanroomError]
AREAS = [kind for kind in CLASSES if CleanroomError in kind.__bases__]
AREA_OF = dict(re.findall(r"(\w+Error) +(CR-[A-Z]{3})", errors.__doc__ or ""))


def test_codes_are_unique() -> None:
    assert len({kind.code for kind in CONCRETE}) == len(CONCRETE) == len(all_errors())


def test_the_tree_names_every_area() -> None:
    assert {kind.__name__ for kind in AREAS} == set(AREA_OF)


@pytest.mark.parametrize("kind", CONCRETE, ids=lambda kind: kind.__name__)
def test_an_error_explains_itself(kind: type[CleanroomError]) -> None:
    area = next(base for base in kind.__mro__ if base in AREAS)
    assert re.fullmatch(AREA_OF[area.__name__] + r"-\d{3}", kind.code)
    assert "title" in vars(kind)
    first = kind.title.split()[0]
    assert first[0].islower() or sum(map(str.isupper, first)) > 1 or "*" in kind.title  # or a name
    assert "__doc__" in vars(kind)
    assert len(inspect.cleandoc(kind.__doc__ or "")) > 40


@pytest.mark.parametrize("kind", CONCRETE, ids=lambda kind: kind.__name__)
def test_explain_knows_it(kind: type[CleanroomError]) -> None:
    done = run("explain", kind.code)
    assert done.status == 0
    assert kind.title in done.stdout


@pytest.mark.parametrize("kind", CONCRETE, ids=lambda kind: kind.__name__)
def test_it_survives_the_way_between_processes(kind: type[CleanroomError]) -> None:
    error = kind("what", expected="expected", fix="fix", problems=[Problem("a[0]", "is wrong")])
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_the_first_two_lines_say_what_is_wrong_and_what_to_do() -> None:
    problems = [Problem("a.b", "is wrong"), Problem("a.c", "too")]
    error = errors.ManifestError("it is gone\nthe log says", expected="a file", fix="write it", problems=problems)
    assert str(error).splitlines() == [
        "CR-ART-001  it is gone",
        "  fix       write it",
        "            the log says",
        "  where     a.b: is wrong",
        "            a.c: too",
        "  expected  a file",
    ]
