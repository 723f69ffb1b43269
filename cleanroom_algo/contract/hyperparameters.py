"""Hyperparameters: strings on the platform, typed values in the algorithm."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from cleanroom_algo.contract.suggestions import did_you_mean
from cleanroom_algo.contract.validation import problems_of
from cleanroom_algo.errors import HyperparameterError, Problem

TOOLKIT_PREFIX = "sagemaker_"
"""Hyperparameters of the sagemaker-training toolkit, such as sagemaker_program; not the algorithm's own."""


class Hyperparameters(BaseModel):
    """Declares the hyperparameters of an algorithm: subclass it with one annotated field for each.

    Example:
        >>> class Mine(Hyperparameters):
        ...     epochs: int = 3
        ...     use_bias: bool = True
        >>> Mine.parse({"epochs": "5", "use_bias": "False"})
        Mine(epochs=5, use_bias=False)
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())
    _synonyms: ClassVar[Mapping[str, str]] = {}
    """Other names that people may write, with the hyperparameters that they mean; an error names these."""

    @classmethod
    def parse(cls, raw: Mapping[str, str]) -> Self:
        """Turn the strings of hyperparameters.json into typed values.

        A value may be bare (`abc`, `0.1`, `False`) or JSON-encoded (`"abc"`, `[1, 2]`, `null`), as the SageMaker SDK
        sends it. Names that start with `sagemaker_` belong to the toolkit and are left alone.

        Args:
            raw: at most 100 pairs; keys of 1 to 256, values of 1 to 2500 characters (botocore model of cleanroomsml).

        Raises:
            HyperparameterError: names unknown or missing, values of the wrong type or range; all of them at once, by
                name and never by value.
        """
        own = {name: text for name, text in raw.items() if not name.startswith(TOOLKIT_PREFIX)}
        known = {field.alias or name for name, field in cls.model_fields.items()}
        open_ended = cls.model_config.get("extra") == "allow"
        unknown = [] if open_ended else [name for name in own if name not in known]
        values = {name: _decode(text) for name, text in own.items() if name not in unknown}
        problems = [
            Problem(name, "is not a hyperparameter" + did_you_mean(cls._synonyms.get(name, name), known))
            for name in unknown
        ]
        try:
            parsed = cls._validate(values, own)
        except ValidationError as error:
            problems += problems_of(error)
        else:
            if not problems:
                return parsed
        if cls is Hyperparameters:
            expected = "no hyperparameters: the algorithm declares none"
            fix = "leave them out, or declare them in a subclass of Hyperparameters, options such as `epochs` as well"
        else:
            expected = (
                f"{', '.join(sorted(known)) or 'no hyperparameters'}; each of the type declared in {cls.__name__}"
            )
            fix = f"correct the request, or declare the names in {cls.__name__}, options such as `epochs` as well"
        raise HyperparameterError(
            f"{len(problems)} hyperparameter(s) do not fit {cls.__name__}",
            expected=expected,
            fix=fix,
            problems=problems,
        )

    def effective(self) -> dict[str, str]:
        """Return all values, defaults included, as strings that `parse` turns into the same values."""
        values = self.model_dump(mode="json", by_alias=True)
        return {name: _encode(value) for name, value in values.items()}

    @classmethod
    def _validate(cls, values: dict[str, Any], raw: Mapping[str, str]) -> Self:
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            refused = {str(detail["loc"][0]) for detail in error.errors() if detail["loc"]} & set(raw)
        # A field of text may hold a text that happens to be JSON: `128`, `null`, `{}`.
        try:
            return cls.model_validate(values | {name: raw[name] for name in refused})
        except ValidationError:
            # An error inside a list or an object is clearer for its decoded form.
            bare = {name: raw[name] for name in refused if not isinstance(values[name], list | dict)}
            return cls.model_validate(values | bare)


def as_texts(values: Mapping[str, object]) -> dict[str, str]:
    """Return values as the platform has them: texts unchanged, other values as JSON."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}


def _encode(value: Any) -> str:
    return value if isinstance(value, str) and _decode(value) is value else json.dumps(value, ensure_ascii=False)


def _decode(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
