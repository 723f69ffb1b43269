"""Calls as text: a Python script with boto3, and commands of the aws CLI."""

from __future__ import annotations

import json
import re
import shlex
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from cleanroom_algo.local.deploy.api_calls import ApiCall
from cleanroom_algo.local.deploy.placeholders import ACCOUNT, PARTITION, Joined, Placeholder, placeholders

_WAIT: Final = '''
def wait(get, **names):
    """Return what a resource shows when it has ended; it may take many minutes."""
    while True:
        shown = get(membershipIdentifier=MEMBERSHIP_IDENTIFIER, **names)
        if shown["status"] == "ACTIVE":
            return shown
        if shown["status"].endswith("_FAILED") or shown["status"] == "INACTIVE":
            raise SystemExit(f"{shown['name']} is {shown['status']}: {shown.get('statusDetails')}")
        time.sleep(15)

'''


_LACKING: Final = """f"the stack {stack} lacks {', '.join(missing)}: push the images, and deploy it with their tags\""""


def python_script(calls: Sequence[ApiCall], about: str, *, stack: str = "", outputs: Mapping[str, str]) -> str:
    """Return a script that makes calls in their order.

    Args:
        calls: in their order.
        about: the first line of its docstring.
        stack: the name of the stack that has `outputs`; "" if there is none.
        outputs: names of outputs of the stack, by the name of the placeholder whose value each is. Other values are
            read from the environment.
    """
    unknown = list(unknown_values(calls))
    lines = [f'"""{_in_docstring(about)}', "", "Nothing in it has been run against AWS.", '"""', ""]
    values = {each.name: _python_source(each, outputs) for each in unknown}
    lines += ["import os"] if stack or any("os.environ" in each for each in values.values()) else []
    lines += ["import time"] if any(call.waits for call in calls) else []
    lines += ["", "import boto3", "", 'ml = boto3.client("cleanroomsml")']
    if stack:
        lines += [f'stack = os.environ.get("STACK", {_literal(stack)})']
        lines += ['shown = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]']
        lines += ['outputs = {each["OutputKey"]: each["OutputValue"] for each in shown["Outputs"]}']
        wanted = [outputs[each.name] for each in unknown if each.name in outputs]
        lines += [f"if missing := sorted({{{', '.join(map(_literal, wanted))}}} - outputs.keys()):"]
        lines += [f"    raise SystemExit({_LACKING})"]
    if {ACCOUNT, PARTITION} & set(unknown):
        lines += ['caller = boto3.client("sts").get_caller_identity()']
    lines += [""] if unknown else []
    lines += [f"{each.name} = {values[each.name]}  # {each.about}" for each in unknown]
    if any(call.waits for call in calls):
        lines += ["", *_WAIT.splitlines()]
    for call in calls:
        lines += ["", f"# {_sentence(call.about)}", *_python_call(call)]
    return "\n".join(lines) + "\n"


def shell_script(calls: Sequence[ApiCall]) -> str:
    """Return commands of the aws CLI; values that only AWS knows are shell variables."""
    lines = [f': "${{{each.name}:?{_in_message(each.about)}}}"' for each in unknown_values(calls)]
    for call in calls:
        name = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", call.operation).lower()
        text = json.dumps(_with_marks(call.params), indent=2)
        lines += ["", f"# {_sentence(call.about)}", f"aws cleanroomsml {name} --cli-input-json {_quoted(text)}"]
    return "\n".join(lines).lstrip("\n") + "\n"


def unknown_values(calls: Sequence[ApiCall]) -> Iterator[Placeholder]:
    """Yield placeholders that no earlier call sets."""
    given: set[Placeholder] = set()
    for call in calls:
        for each in placeholders(call.params):
            if each not in given:
                given.add(each)
                yield each
        given |= set(call.results.values())


def _python_source(placeholder: Placeholder, outputs: Mapping[str, str]) -> str:
    """Return the expression from which a script gets a value."""
    if placeholder.name in outputs:
        return f'outputs["{outputs[placeholder.name]}"]'
    own = {ACCOUNT: 'caller["Account"]', PARTITION: 'caller["Arn"].split(":")[1]'}
    return own.get(placeholder, f'os.environ["{placeholder.name}"]')


def _python_call(call: ApiCall) -> Iterator[str]:
    name = snake(call.operation)
    yield f"{'answer = ' if call.results else ''}ml.{name}("
    for key, value in call.params.items():
        first, *others = _python(value, "    ")
        yield f"    {key}={first}"
        yield from others
    yield ")"
    for member, placeholder in call.results.items():
        yield f'{placeholder.name} = answer["{member}"]'
    if call.results:
        yield f"print({', '.join(each.name for each in call.results.values())})"
    if call.waits:
        names = ", ".join(f"{member}={each.name}" for member, each in call.results.items())
        yield f"wait(ml.{snake(call.waits)}, {names})"


def snake(operation: str) -> str:
    """Return the name of an operation in boto3."""
    from botocore import xform_name

    return str(xform_name(operation))


def _python(value: Any, indent: str) -> list[str]:
    """Return the lines of a value, followed by a comma; all lines but the first are indented."""
    inner = f"{indent}    "
    if isinstance(value, Placeholder):
        return [f"{value.name},"]
    if isinstance(value, Joined):
        return [
            f"{' + '.join(each.name if isinstance(each, Placeholder) else _literal(each) for each in value.parts)},"
        ]
    if isinstance(value, Mapping) and value:
        lines = ["{"]
        for key, each in value.items():
            first, *others = _python(each, inner)
            lines += [f"{inner}{_literal(key)}: {first}", *others]
        return [*lines, f"{indent}}},"]
    if isinstance(value, list | tuple) and value:
        lines = ["["]
        for each in value:
            first, *others = _python(each, inner)
            lines += [f"{inner}{first}", *others]
        return [*lines, f"{indent}],"]
    if isinstance(value, str) and "\n" in value.strip("\n"):
        return ["(", *(f"{inner}{_literal(line)}" for line in value.splitlines(keepends=True)), f"{indent}),"]
    return [f"{_literal(value)},"]


def _literal(value: Any) -> str:
    """Return a value as Python source; texts have double quotes if that needs no backslash."""
    text = repr(value)
    plain = text.startswith("'") and '"' not in text
    return f'"{text[1:-1]}"' if plain else text


def _with_marks(value: Any) -> Any:
    """Return a JSON value in which marks replace the placeholders."""
    if isinstance(value, Placeholder):
        return f"{_MARK}{value.name}{_MARK}"
    if isinstance(value, Joined):
        return "".join(_with_marks(each) if isinstance(each, Placeholder) else each for each in value.parts)
    if isinstance(value, Mapping):
        return {key: _with_marks(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_with_marks(each) for each in value]
    return value


_MARK: Final = uuid.uuid4().hex
"""Surrounds the name of a placeholder; no text of a request contains it."""


def _quoted(text: str) -> str:
    """Return a text as one word of a shell, in which variables replace the marks."""
    words = re.split(f"{_MARK}([A-Z0-9_]+){_MARK}", text)
    return "".join(f'"${word}"' if index % 2 else shlex.quote(word) for index, word in enumerate(words))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _in_docstring(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _in_message(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9 .,:'/-]", "?", text).replace("'", "")
