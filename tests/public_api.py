"""The public names and their signatures as text: `python -m tests.public_api` writes what a test compares."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import cleanroom_algo

FILE = Path(__file__).with_suffix(".txt")


def lines() -> Iterator[str]:
    """Yield a line for each public name, and below a class one for each public member that this package defines."""
    for name in cleanroom_algo.__all__:
        value = getattr(cleanroom_algo, name)
        if not inspect.isclass(value):
            yield f"def {name}{_signature(value)}"
            continue
        bases = ", ".join(base.__name__ for base in value.__bases__ if base is not object)
        yield f"class {name}({bases})" if bases else f"class {name}"
        constructor = value.__init__
        if _is_ours(constructor):
            yield f"  __init__{_signature(constructor)}"
        for member in sorted(dir(value)):
            if not member.startswith("_"):
                yield from _member(value, member)


def _member(owner: type, name: str) -> Iterator[str]:
    value = inspect.getattr_static(owner, name)
    inner = getattr(value, "fget", None) or getattr(value, "func", None) or getattr(value, "__func__", value)
    if not callable(inner):
        if any(name in vars(base) for base in owner.__mro__ if base.__module__.startswith("cleanroom_algo")):
            yield f"  {name}"
    elif _is_ours(inner):
        is_property = isinstance(value, property) or hasattr(value, "func")
        yield f"  {name}" if is_property else f"  {name}{_signature(inner)}"


def _is_ours(function: object) -> bool:
    return str(getattr(function, "__module__", "")).startswith("cleanroom_algo")


def _signature(function: object) -> str:
    parameters = inspect.signature(function).parameters.values()  # type: ignore[arg-type]
    return str(inspect.Signature([each.replace(annotation=each.empty, default=_default(each)) for each in parameters]))


def _default(parameter: inspect.Parameter) -> object:
    value = parameter.default
    return value if value is parameter.empty or isinstance(value, bool | int | float | str | tuple | None) else ...


if __name__ == "__main__":
    FILE.write_text("".join(f"{line}\n" for line in lines()), encoding="utf-8")
