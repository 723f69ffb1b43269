"""Compares a given IAM policy with the needed one: what is missing, and what is allowed in addition."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

from cleanroom_algo.errors import PolicyError
from cleanroom_algo.local.deploy.json_files import read_json
from cleanroom_algo.local.deploy.patterns import covers, overlap, text_of, tokens
from cleanroom_algo.local.deploy.placeholders import Joined
from cleanroom_algo.local.service_model.shapes import operation_names

_NAMES: Final = ("Document", "PolicyDocument", "PolicyVersion", "Policy")
_PREFIXES: Final = {"cleanrooms-ml": "cleanroomsml"}
"""Services with different names in botocore's model and in their actions."""
_SHOWN: Final = 3

Kind = Literal["missing", "denied", "condition", "more"]


@dataclass(frozen=True, slots=True)
class Given:
    """A statement of a policy.

    Attributes:
        place: its file, and its name or number in it.
        effect: Allow or Deny.
        actions: patterns; their case does not matter.
        resources: patterns.
        not_actions: whether the statement applies to all actions except these.
        not_resources: whether the statement applies to all resources except these.
        condition: of the statement.
    """

    place: str
    effect: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    not_actions: bool = False
    not_resources: bool = False
    condition: Mapping[str, Any] = field(default_factory=dict)

    def is_about(self, action: str) -> bool:
        """Whether it applies to an action."""
        return any(_fits(each, action) for each in self.actions) != self.not_actions

    def covers(self, resource: str | Joined) -> bool:
        """Whether it applies to all of a resource."""
        marks = tokens(resource)
        if self.not_resources:
            return not any(overlap(each, marks) for each in self.resources)
        return any(covers(each, marks) for each in self.resources)

    def touches(self, resource: str | Joined) -> bool:
        """Whether it applies to a part of a resource."""
        marks = tokens(resource)
        if self.not_resources:
            return not any(covers(each, marks) for each in self.resources)
        return any(overlap(each, marks) for each in self.resources)


@dataclass(frozen=True, slots=True)
class PolicyFinding:
    """A difference between a given and a needed policy.

    Attributes:
        kind: missing, denied, allowed under a condition that is not understood, or more than needed.
        action: of IAM, or a pattern.
        resource: an ARN, or a pattern.
        why: in a few words.
    """

    kind: Kind
    action: str
    resource: str
    why: str


def read_policy(path: Path) -> list[Given]:
    """Return the statements of a policy file.

    The file may also be what `aws iam get-policy-version` or `get-role-policy` prints.

    Raises:
        PolicyError: CR-DEP-003.
    """
    document = read_json(path, _unusable)
    while isinstance(document, dict) and "Statement" not in document:
        document = next((document[name] for name in _NAMES if name in document), None)
    if not isinstance(document, dict):
        raise _unusable(path, "has no Statement")
    statements = document["Statement"]
    listed = statements if isinstance(statements, list) else [statements]
    return [_given(path, each, f"statement {number}") for number, each in enumerate(listed, 1)]


def check_policy(given: Sequence[Given], needed: Sequence[Mapping[str, Any]]) -> list[PolicyFinding]:
    """Return what policies lack, and what they allow in addition.

    Args:
        given: all statements that apply together.
        needed: statements that allow what is needed.
    """
    lacking = [
        finding
        for statement in needed
        for action in statement["Action"]
        for resource in statement["Resource"]
        if (finding := _lacking(given, action, resource, statement.get("Condition", {}))) is not None
    ]
    return [*lacking, *_more(given, needed)]


def _lacking(
    given: Sequence[Given], action: str, resource: str | Joined, condition: Mapping[str, Any]
) -> PolicyFinding | None:
    about = [each for each in given if each.is_about(action)]
    shown = text_of(resource)
    for each in about:
        if each.effect == "Deny" and each.touches(resource):
            part = "" if each.covers(resource) else " a part of it"
            under = f", if {_text(each.condition)}" if each.condition else ""
            return PolicyFinding("denied", action, shown, f"{each.place} denies{part or ' it'}{under}")
    allowing = [each for each in about if each.effect == "Allow" and each.covers(resource)]
    if not allowing:
        parts = [each.place for each in about if each.effect == "Allow" and each.touches(resource)]
        why = f"{', '.join(parts)} allows only a part of it" if parts else "no statement allows it"
        return PolicyFinding("missing", action, shown, why)
    if all(each.condition and not _equals(each.condition, condition) for each in allowing):
        why = f"{allowing[0].place} allows it only if {_text(allowing[0].condition)}"
        return PolicyFinding("condition", action, shown, why)
    return None


def _equals(given: Any, needed: Any) -> bool:
    """Whether a condition equals the needed one, which may have placeholders."""
    if isinstance(needed, Mapping):
        same = isinstance(given, Mapping) and given.keys() == needed.keys()
        return same and all(_equals(given[name], each) for name, each in needed.items())
    texts, wanted = (each if isinstance(each, list) else [each] for each in (given, needed))
    pairs = zip(wanted, map(str, texts), strict=False)
    return len(texts) == len(wanted) and all(covers(tokens(want), text) for want, text in pairs)


def _more(given: Sequence[Given], needed: Sequence[Mapping[str, Any]]) -> Iterator[PolicyFinding]:
    wanted: dict[str, list[str | Joined]] = {}
    for statement in needed:
        for action in statement["Action"]:
            wanted.setdefault(action, []).extend(statement["Resource"])
    for each in given:
        if each.effect == "Allow":
            yield from _more_of(each, wanted)


def _more_of(statement: Given, wanted: Mapping[str, Sequence[str | Joined]]) -> Iterator[PolicyFinding]:
    resources = ", ".join(statement.resources)
    if statement.not_actions or statement.not_resources:
        inverted = "NotAction" if statement.not_actions else "NotResource"
        yield PolicyFinding("more", ", ".join(statement.actions), resources, f"{statement.place} has {inverted}")
        return
    for pattern in statement.actions:
        used = [action for action in wanted if _fits(pattern, action)]
        if not used:
            yield PolicyFinding("more", pattern, resources, f"{statement.place}: no call needs it")
            continue
        if others := _others(pattern, used):
            yield PolicyFinding("more", pattern, resources, f"{statement.place}: it also allows {others}")
        targets = [resource for action in used for resource in wanted[action]]
        for resource in statement.resources:
            if not any(covers(tokens(each), resource) for each in targets):
                need = ", ".join(dict.fromkeys(map(text_of, targets)))
                yield PolicyFinding("more", pattern, resource, f"{statement.place}: needed on {need}")


def _fits(pattern: str, action: str) -> bool:
    return covers(pattern.lower(), action.lower())


def _others(pattern: str, used: Sequence[str]) -> str:
    """Return what an action with wildcards allows in addition to the used actions; "" if nothing is known."""
    if not set("*?") & set(pattern):
        return ""
    prefix = pattern.partition(":")[0]
    if set("*?") & set(prefix):
        return "actions of other services"
    known = [each for each in _known(prefix.lower()) if _fits(pattern, f"{prefix}:{each}")]
    others = [each for each in known if f"{prefix}:{each}".lower() not in {action.lower() for action in used}]
    if not others:
        return "" if known else "all other actions that match"
    more = len(others) - _SHOWN
    return ", ".join(others[:_SHOWN]) + (f" and {more} others" if more > 0 else "")


@cache
def _known(prefix: str) -> tuple[str, ...]:
    """Return the operations of a service; most of its actions have the same names."""
    from botocore.exceptions import UnknownServiceError

    try:
        return operation_names(_PREFIXES.get(prefix, prefix))
    except UnknownServiceError:
        return ()


def _given(path: Path, statement: Any, number: str) -> Given:
    if not isinstance(statement, dict) or statement.get("Effect") not in ("Allow", "Deny"):
        raise _unusable(path, f"{number} has no Effect of Allow or Deny")
    place = f"{path.name}: {statement.get('Sid') or number}"
    if "Principal" in statement or "NotPrincipal" in statement:
        raise _unusable(path, f"{number} has a Principal: it is a trust policy, or a policy of a resource")
    values: dict[str, tuple[str, ...]] = {}
    for name in ("Action", "Resource"):
        found = [statement[each] for each in (name, f"Not{name}") if each in statement]
        texts = found[0] if found and isinstance(found[0], list) else found
        if len(found) != 1 or not all(isinstance(each, str) for each in texts):
            raise _unusable(path, f"{number} needs {name} or Not{name}: a text or a list of texts")
        values[name] = tuple(texts)
    return Given(
        place,
        statement["Effect"],
        values["Action"],
        values["Resource"],
        "NotAction" in statement,
        "NotResource" in statement,
        statement.get("Condition") or {},
    )


def _text(condition: Mapping[str, Any]) -> str:
    return json.dumps(condition)


def _unusable(path: Path, what: str) -> PolicyError:
    return PolicyError(
        f"{path} {what}",
        expected='a JSON object with "Statement": statements with Effect, Action and Resource',
        fix="give the identity policy of a user or role, or the output of `aws iam get-policy-version`",
    )
