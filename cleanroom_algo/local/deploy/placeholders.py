"""Values in the parameters of requests that only AWS knows, and their names in documents."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

UUID: Final = "00000000-0000-0000-0000-000000000000"
_SIMPLE: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_LONGEST: Final = 40  # of the user's part of a name


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A value that only AWS knows.

    Attributes:
        name: of a variable, such as MEMBERSHIP_IDENTIFIER.
        about: its description.
        example: a valid value, for checking parameters.
    """

    name: str
    about: str
    example: str


@dataclass(frozen=True, slots=True)
class Joined:
    """A text that contains placeholders, such as an ARN."""

    parts: tuple[str | Placeholder, ...]


PARTITION: Final = Placeholder("PARTITION", "partition of AWS", "aws")
REGION: Final = Placeholder("REGION", "region of the collaboration", "us-east-1")
ACCOUNT: Final = Placeholder("ACCOUNT", "account of the member", "111122223333")
MEMBERSHIP: Final = Placeholder("MEMBERSHIP_IDENTIFIER", "identifier of the membership of the caller", UUID)


def joined(*parts: str | Placeholder) -> Joined:
    """Return a text with placeholders; adjacent texts are merged."""
    texts = itertools.groupby(parts, lambda part: isinstance(part, str))
    merged = ((["".join(each)] if is_text else each) for is_text, each in texts)  # type: ignore[arg-type]
    return Joined(tuple(itertools.chain.from_iterable(merged)))


def arn_of(service: str, *path: str | Placeholder) -> Joined:
    """Return the ARN of a resource in the member's account and region."""
    return joined("arn:", PARTITION, f":{service}:", REGION, ":", ACCOUNT, ":", *path)


def ml_arn(name: str, about: str, kind: str) -> Placeholder:
    """Return a placeholder for the ARN of a resource of a membership."""
    example = f"arn:aws:cleanrooms-ml:us-east-1:111122223333:membership/{UUID}/{kind}/{UUID}"
    return Placeholder(name, about, example)


def resolved(value: Any, resolve: Callable[[Placeholder], Any], join: Callable[[list[Any]], Any]) -> Any:
    """Return a value in which placeholders are resolved.

    Args:
        value: mappings, sequences, plain values, placeholders and joined texts.
        resolve: returns the value of a placeholder.
        join: joins the parts of a text after its placeholders are resolved.
    """
    if isinstance(value, Placeholder):
        return resolve(value)
    if isinstance(value, Joined):
        return join([resolve(each) if isinstance(each, Placeholder) else each for each in value.parts])
    if isinstance(value, Mapping):
        return {name: resolved(each, resolve, join) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [resolved(each, resolve, join) for each in value]
    return value


def example(value: Any) -> Any:
    """Return a value in which examples replace the placeholders."""
    return resolved(value, lambda each: each.example, "".join)


def placeholders(value: Any) -> list[Placeholder]:
    """Return the placeholders of a value, each once, in their order."""
    return list(dict.fromkeys(_all(value)))


def _all(value: Any) -> Iterator[Placeholder]:
    if isinstance(value, Placeholder):
        yield value
        return
    inner = value.parts if isinstance(value, Joined) else value.values() if isinstance(value, Mapping) else value
    if not isinstance(inner, str | int | float | None):
        for each in inner:
            yield from _all(each)


def identifier(name: str) -> str:
    """Return a name as part of a variable: A_B for a-b; most other names get a hash, so that no two are equal."""
    # Without its hyphens, a-1 would be the same as a1.
    plain = f"{name}." if re.search(r"-\d", name) else name
    return distinct(plain).replace("-", "_").upper()


def logical(placeholder: str) -> str:
    """Return the name of a variable as a logical ID of CloudFormation, which has only letters and digits."""
    return "".join(word.capitalize() for word in placeholder.split("_"))


def distinct(name: str, longest: int = _LONGEST) -> str:
    """Return a name of lower-case letters, digits and hyphens; if it had to be changed, with a hash."""
    if len(name) <= longest and _SIMPLE.fullmatch(name):
        return name
    word = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[: longest - 7].strip("-")
    return f"{word}-{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:6]}".lstrip("-")
