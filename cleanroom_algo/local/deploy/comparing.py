"""Compares what AWS and the local room show of a job, member by member."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from cleanroom_algo.errors import InputFileError
from cleanroom_algo.local.deploy.json_files import read_json
from cleanroom_algo.local.differences.difference import Difference
from cleanroom_algo.local.resources.arns import INFERENCE_JOB, INPUT_CHANNEL, TRAINED_MODEL
from cleanroom_algo.local.service_model.shapes import ML, members, operation_model

Answers = dict[str, list[dict[str, Any]]]
"""Responses by the name of their operation."""


@dataclass(frozen=True, slots=True)
class Shown:
    """How a kind of resource is described.

    Attributes:
        kind: of its record.
        operation: that describes it.
        creation: the operation that creates it.
        arn: the member with its ARN.
        version: the parameter with its version; "" for a kind without versions.
    """

    kind: str
    operation: str
    creation: str
    arn: str
    version: str = ""


SHOWN: Final = (
    Shown(INFERENCE_JOB, "GetTrainedModelInferenceJob", "StartTrainedModelInferenceJob", "trainedModelInferenceJobArn"),
    Shown(TRAINED_MODEL, "GetTrainedModel", "CreateTrainedModel", "trainedModelArn", "versionIdentifier"),
    Shown(INPUT_CHANNEL, "GetMLInputChannel", "CreateMLInputChannel", "mlInputChannelArn"),
)
"""By the member that identifies a response: in one of an inference job, the model's ARN would be misleading."""

Kind = Literal["asked", "differs"]
_ITS_OWN: Final = re.compile(
    r"(configuredModelAlgorithmAssociations|.*Arn|.*Identifier|.*Digest|createTime|updateTime|accountId|.*PayerAccountId|roleArn)(\[\d+\])*"
)
"""Members that differ for every resource."""
_MAPS: Final = frozenset({"hyperparameters", "environment", "tags"})
_DATA: Final = frozenset({"numberOfRecords", "numberOfFiles", "sizeInGb", "privacyBudgets"})
_PRIVATE: Final = frozenset({*_MAPS, *_DATA, "name", "description", "inputChannel"})
"""Members that reveal something about the author or the data; they are not written to files for others."""
_WRITTEN_BY_CONTAINERS: Final = "statusDetails.message"
_IDENTIFYING: Final = re.compile(
    r"arn:[^\s\"']+|sha256:[0-9a-f]+|s3://[^\s\"']+|\b[0-9]{12}\b|\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"
)


@dataclass(frozen=True, slots=True)
class Compared:
    """A member that differs.

    Attributes:
        operation: that describes it.
        resource: the name of the resource.
        member: its path.
        here: its value; None if the local room has none.
        aws: its value; None if AWS has none.
        kind: `asked` if the two requests differ there, else `differs`.
    """

    operation: str
    resource: str
    member: str
    here: Any
    aws: Any
    kind: Kind


def read_answers(path: Path) -> Answers:
    """Return the responses in a file.

    It holds one response, as the aws CLI prints it, a list of them, or lists of them by the name of their operation.

    Raises:
        InputFileError: CR-CLI-003.
    """
    document = read_json(path, _unusable)
    named = isinstance(document, dict) and any(key in {each.operation for each in SHOWN} for key in document)
    values = [each for value in document.values() for each in _listed(value)] if named else _listed(document)
    answers: Answers = {}
    for number, value in enumerate(values, 1):
        shown = shown_by(value) if isinstance(value, dict) else None
        if shown is None or not isinstance(value.get("name"), str):
            raise _unusable(path, f"has a response (number {number}) that shows no model, inference job or channel")
        answers.setdefault(shown.operation, []).append(value)
    return answers


def shown_by(response: Mapping[str, Any]) -> Shown | None:
    """Return how the resource in a response is described."""
    return next((each for each in SHOWN if isinstance(response.get(each.arn), str)), None)


def of_kind(kind: str) -> Shown | None:
    """Return how a kind of resource is described; None for a kind that is not compared."""
    return next((each for each in SHOWN if each.kind == kind), None)


def compare(shown: Shown, here: Mapping[str, Any], aws: Mapping[str, Any]) -> list[Compared]:
    """Return the members that differ; ARNs and similar ones only if one side has none."""
    asked = members(operation_model(ML, shown.creation).input_shape)
    left, right = dict(_flat(_answer(here))), dict(_flat(_answer(aws)))
    found = []
    for path in dict.fromkeys((*left, *right)):
        one, other = left.get(path), right.get(path)
        of_resource = _top(path) not in _MAPS and _ITS_OWN.fullmatch(path.rpartition(".")[2])
        both = one is not None and other is not None
        if one == other or (of_resource and both):
            continue
        own = _top(path) in asked and (both or _top(path) in _PRIVATE)
        found.append(Compared(shown.operation, str(aws["name"]), path, one, other, "asked" if own else "differs"))
    return found


def recorded(compared: Sequence[Compared], where: str) -> list[Difference]:
    """Return rows for differences that were not requested; no row has a value that identifies someone.

    Args:
        compared: the members that differ.
        where: the region and the day.
    """
    rows = []
    for each in compared:
        if each.kind == "differs" and _top(each.member) not in _PRIVATE:
            shown = next(one for one in SHOWN if one.operation == each.operation)
            area = "channels" if shown.kind == INPUT_CHANNEL else "jobs"
            known = _top(each.member) in members(operation_model(ML, each.operation).output_shape)
            here, aws = (_said(each.member, value, known=known) for value in (each.here, each.aws))
            source = f"{each.operation}, {where}"
            rows.append(Difference(area, (shown.creation, each.operation), here, aws, "recorded", source))
    return list(dict.fromkeys(rows))


def add_rows(path: Path, rows: Sequence[Difference]) -> int:
    """Add rows to a file, and return how many of them were new.

    Raises:
        InputFileError: CR-CLI-003, the file is something else.
    """
    known = read_json(path, _unusable) if path.exists() else []
    if not isinstance(known, list):
        raise _unusable(path, "has no list of rows")
    new = [row for row in json.loads(json.dumps([asdict(each) for each in rows])) if row not in known]
    if new:
        path.write_text(json.dumps([*known, *new], indent=2) + "\n", encoding="utf-8")
    return len(new)


def _answer(response: Mapping[str, Any]) -> dict[str, Any]:
    return {key: each for key, each in response.items() if key != "ResponseMetadata"}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, each in value.items():
            yield from _flat(each, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value:
        for index, each in enumerate(value):
            yield from _flat(each, f"{path}[{index}]")
    elif value not in (None, {}, []):
        yield path, value


def _top(path: str) -> str:
    return re.split(r"[.\[]", path)[0]


def _said(member: str, value: Any, *, known: bool) -> str:
    if value is None:
        return f"{member} is absent"
    if member == _WRITTEN_BY_CONTAINERS or not known:
        return f"{member} is there"
    return f"{member} is {_IDENTIFYING.sub('...', str(value))}"


def _unusable(path: Path, what: str) -> InputFileError:
    return InputFileError(
        f"{path} {what}",
        expected="responses of get-trained-model, get-trained-model-inference-job or get-ml-input-channel, as JSON",
        fix="write what the aws CLI prints into the file",
    )
