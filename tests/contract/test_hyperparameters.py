"""Strings to types, with every fault named and no value shown."""

import json
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, field_validator

from cleanroom_algo.contract.hyperparameters import Hyperparameters
from cleanroom_algo.errors import HyperparameterError


class Everything(Hyperparameters):
    epochs: int = 1
    rate: float = 0.1
    verbose: bool = True
    name: str = "x"
    limit: int | None = 5
    sizes: tuple[int, ...] = ()
    extra: dict[str, float] = Field(default_factory=dict)
    kind: Literal["a", "b"] = "a"


class Required(Hyperparameters):
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    secret: str

    @field_validator("secret")
    @classmethod
    def _refuse(cls, value: str) -> str:
        if value.startswith("bad"):
            raise ValueError(f"the value {value} is bad")
        return value


@pytest.mark.parametrize(
    ("raw", "field", "expected"),
    [
        ("3", "epochs", 3),
        ("00123", "epochs", 123),
        ('"3"', "epochs", 3),
        ("1e3", "epochs", 1000),
        ("1e-3", "rate", 0.001),
        ("False", "verbose", False),
        ("false", "verbose", False),
        ('"False"', "verbose", False),
        ("0", "verbose", False),
        ("True", "verbose", True),
        ("abc", "name", "abc"),
        ('"abc"', "name", "abc"),
        ("128", "name", "128"),
        ("null", "name", "null"),
        ("true", "name", "true"),
        ('{"a": 1}', "name", '{"a": 1}'),
        ("null", "limit", None),
        ("7", "limit", 7),
        ("[1, 2]", "sizes", (1, 2)),
        ('{"a": 0.5}', "extra", {"a": 0.5}),
        ("b", "kind", "b"),
        ('"b"', "kind", "b"),
    ],
)
def test_bare_and_encoded_values(raw: str, field: str, expected: object) -> None:
    assert getattr(Everything.parse({field: raw}), field) == expected


@given(
    epochs=st.integers(-(2**62), 2**62),
    rate=st.floats(allow_nan=False),
    verbose=st.booleans(),
    name=st.text(),
    sizes=st.lists(st.integers(-1000, 1000)),
)
def test_what_the_sdk_encodes_comes_back(epochs: int, rate: float, verbose: bool, name: str, sizes: list[int]) -> None:
    values = {"epochs": epochs, "rate": rate, "verbose": verbose, "name": name, "sizes": sizes}

    parsed = Everything.parse({key: json.dumps(value) for key, value in values.items()})

    assert parsed == Everything.model_validate(values)


@given(st.text())
def test_any_bare_text_is_accepted_where_text_is_declared(text: str) -> None:
    parsed = Everything.parse({"name": text})

    assert parsed.name in (text, _decoded(text))


def _decoded(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def test_all_faults_at_once_by_name_and_never_by_value() -> None:
    with pytest.raises(HyperparameterError) as caught:
        Required.parse({"learning-rate": "0.1", "secret": "bad-canary-4711", "totally_else": "1"})

    text = str(caught.value)
    assert {problem.path for problem in caught.value.problems} == {
        "learning-rate",
        "totally_else",
        "learning_rate",
        "secret",
    }
    assert "did you mean 'learning_rate'" in text
    assert "canary" not in text


def test_a_fault_inside_a_list_is_located() -> None:
    with pytest.raises(HyperparameterError) as caught:
        Everything.parse({"sizes": '[1, "x"]', "epochs": "many"})

    assert {problem.path for problem in caught.value.problems} == {"sizes[1]", "epochs"}


def test_names_of_the_toolkit_are_left_alone() -> None:
    assert Everything.parse({"sagemaker_program": "train.py", "epochs": "2"}).epochs == 2


def test_an_open_declaration_takes_unknown_names() -> None:
    class Open(Hyperparameters, extra="allow"):
        epochs: int = 1

    assert Open.parse({"other": "3"}).model_extra == {"other": 3}


@given(
    name=st.text(max_size=20),
    limit=st.none() | st.integers(),
    sizes=st.lists(st.integers(), max_size=3),
    extra=st.dictionaries(st.text(max_size=5), st.floats(allow_nan=False), max_size=2),
)
def test_effective_values_are_read_back(
    name: str, limit: int | None, sizes: list[int], extra: dict[str, float]
) -> None:
    params = Everything(name=name, limit=limit, sizes=tuple(sizes), extra=extra)

    effective = params.effective()

    assert set(effective) == set(Everything.model_fields)
    assert Everything.parse(effective) == params


@pytest.mark.parametrize("text", ["128", "null", "{}", '"quoted"', "", "plain"])
def test_a_text_that_is_json_stays_a_text(text: str) -> None:
    assert Everything.parse(Everything(name=text).effective()).name == text
