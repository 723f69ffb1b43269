"""Calls of the API, with placeholders for values that only AWS knows; they describe a room and its jobs.

Templates, scripts and requests are all written from these calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cleanroom_algo.local.deploy.placeholders import (
    ACCOUNT,
    MEMBERSHIP,
    Placeholder,
    example,
    identifier,
    joined,
    ml_arn,
)
from cleanroom_algo.local.deploy.rehearsal import (
    Rehearsal,
    algorithm_arn,
    association_arn,
    channel_arn,
    output_uri,
    template_arn,
)
from cleanroom_algo.local.deploy.roles import account_of, image_role, output_role, query_role
from cleanroom_algo.local.resources import records
from cleanroom_algo.local.resources.arns import ASSOCIATION, EXPORT_JOB, INFERENCE_JOB, INPUT_CHANNEL, TRAINED_MODEL
from cleanroom_algo.local.resources.store import Record, Store
from cleanroom_algo.local.service_model.shapes import ML, members, operation_model
from cleanroom_algo.local.service_model.validation import faults, invalid
from cleanroom_algo.local.setup.quick_requests import WHOLE_TRACEBACKS

VERSION: Final = "versionIdentifier"
_MOST_GB: Final = {"maxArtifactSize": 10, "maxSize": 10, "maxOutputSize": 50}
"""Of CloudFormation's schema."""


@dataclass(frozen=True, slots=True)
class ApiCall:
    """A call of an operation.

    Attributes:
        operation: such as CreateTrainedModel.
        params: as boto3 takes them, with placeholders.
        about: what it does.
        results: placeholders that get their values from members of its response.
        waits: the operation that shows when the started work has ended; "" for a call that starts nothing.
    """

    operation: str
    params: Mapping[str, Any]
    about: str
    results: Mapping[str, Placeholder]
    waits: str = ""


def checked(call: ApiCall) -> ApiCall:
    """Return a call whose parameters fit the API's model.

    Raises:
        InvalidRequestError: CR-REQ-001.
    """
    if problems := faults(operation_model(ML, call.operation).input_shape, example(call.params)):
        raise invalid(call.operation, problems)
    return call


def algorithm_call(rehearsal: Rehearsal, name: str) -> ApiCall:
    """Return the call that configures an algorithm."""
    entry = rehearsal.declaration.algorithms[name]
    images = rehearsal.images(name)
    chosen = {
        "entrypoint": list(entry.entrypoint),
        "arguments": list(entry.arguments),
        "metricDefinitions": [dict(each) for each in entry.metric_definitions],
    }
    params = {
        "name": name,
        "roleArn": image_role(rehearsal, name).arn,
        "trainingContainerConfig": {"imageUri": images[0].value, **{key: each for key, each in chosen.items() if each}},
        "inferenceContainerConfig": {"imageUri": images[-1].value},
    }
    about = f"the configured model algorithm {name!r}"
    return checked(
        ApiCall("CreateConfiguredModelAlgorithm", params, about, {"configuredModelAlgorithmArn": algorithm_arn(name)})
    )


def association_call(rehearsal: Rehearsal, name: str) -> ApiCall:
    """Return the call that associates an algorithm with the collaboration."""
    entry = rehearsal.declaration.algorithms[name]
    known = rehearsal.declaration.members
    accounts = {each.account: account_of(rehearsal, key, entry.owner) for key, each in known.items()}
    policies = with_accounts(entry.privacy, accounts)
    privacy = {"privacyConfiguration": {"policies": policies}} if entry.privacy else {}
    params = {
        "membershipIdentifier": MEMBERSHIP,
        "name": name,
        "configuredModelAlgorithmArn": algorithm_arn(name),
        **privacy,
    }
    results = {"configuredModelAlgorithmAssociationArn": association_arn(name)}
    about = f"the association of {name!r} with the collaboration"
    return checked(ApiCall("CreateConfiguredModelAlgorithmAssociation", params, about, results))


def beyond_cloudformation(association: ApiCall) -> list[str]:
    """Return the sizes of an association that are larger than CloudFormation's schema allows; the API allows more."""
    policies = association.params.get("privacyConfiguration", {}).get("policies", {}).values()
    sizes = [(key, each[key]["value"], most) for each in policies for key, most in _MOST_GB.items() if key in each]
    return [f"{key} is {size} GB, and CloudFormation accepts {most}" for key, size, most in sizes if size > most]


def room_calls(rehearsal: Rehearsal, member: str) -> Iterator[ApiCall]:
    """Yield the calls for the part of a member's resources that CloudFormation lacks."""
    for name in rehearsal.owned("algorithms", member):
        if beyond_cloudformation(association := association_call(rehearsal, name)):
            yield association
    if rehearsal.declaration.members[member].output is not None:
        destination = {"s3Destination": {"s3Uri": output_uri(member)}}
        location = {"destination": destination, "roleArn": output_role(rehearsal, member).arn}
        params = {"membershipIdentifier": MEMBERSHIP, "defaultOutputLocation": location}
        yield checked(ApiCall("PutMLConfiguration", params, f"where {member!r} receives outputs, logs and metrics", {}))
    for name in rehearsal.owned("channels", member):
        yield channel_call(rehearsal, name)


def channel_call(rehearsal: Rehearsal, name: str) -> ApiCall:
    """Return the call that creates an ML input channel."""
    entry = rehearsal.declaration.channels[name]
    table = rehearsal.tables.get(name)
    sql: dict[str, Any] = {"queryString": joined(entry.query or "", table) if table else entry.query}
    if entry.template is not None:
        sql = {"analysisTemplateArn": template_arn(entry.template)}
        sql |= {"parameters": dict(entry.parameters)} if entry.parameters else {}
    query = {"sqlParameters": sql, "resultFormat": entry.format}
    source = {"dataSource": {"protectedQueryInputParameters": query}}
    params = {
        "membershipIdentifier": MEMBERSHIP,
        "name": name,
        "configuredModelAlgorithmAssociations": [association_arn(entry.algorithm)],
        "inputChannel": {**source, "roleArn": query_role(rehearsal, entry.owner).arn},
        "retentionInDays": entry.retention_days,
    }
    about = f"the ML input channel {name!r}"
    results = {"mlInputChannelArn": channel_arn(name)}
    return checked(ApiCall("CreateMLInputChannel", params, about, results, "GetMLInputChannel"))


def job_call(store: Store, record: Record, names: Mapping[str, str] | None = None) -> ApiCall:
    """Return the call that repeats a local job.

    Args:
        store: of the room.
        record: of a trained model, an inference job or an export job.
        names: of algorithms, by the ARN of their local association, if they have other names on AWS.

    Raises:
        InvalidRequestError: CR-REQ-001.
    """
    operation, about, result, waits = _JOBS[record.kind]
    known = members(operation_model(ML, operation).input_shape)
    # The room has determined the payer, and AWS determines it itself.
    asked = {key: each for key, each in record.document.items() if key in known and not key.endswith("PayerAccountId")}
    asked |= {"membershipIdentifier": record.membership, "name": record.name}
    if base := record.private.get("base"):
        found = records.base_of(store, record)
        version = {VERSION: base["version"]} if base["version"] else {}
        arn = model_arn(record.name if found is None else found.name)  # a version may have the ARN of its base model
        own = {"trainedModelArn": arn, "channelName": base["channelName"]}
        asked["incrementalTrainingDataChannels"] = [{**own, **version}]
    environment = {key: each for key, each in asked.pop("environment", {}).items() if key not in WHOLE_TRACEBACKS}
    asked |= {"environment": environment} if environment else {}
    spelled = _Spelling(store, record, names or {})
    params = {key: spelled.value(key, each) for key, each in asked.items()}
    results = {name: placeholder(record.name) for name, placeholder in result.items()}
    if record.kind == TRAINED_MODEL and record.version is not None:
        results[VERSION] = version_of(record.version)
    return checked(ApiCall(operation, params, f"{about} {record.name!r}", results, waits))


@dataclass(frozen=True, slots=True)
class _Spelling:
    """The names on AWS of what the local room has created."""

    store: Store
    job: Record
    names: Mapping[str, str]

    def value(self, key: str, value: Any) -> Any:
        """Return a member of a request with placeholders."""
        if isinstance(value, list | tuple):
            return [self.value(key, each) for each in value]
        if isinstance(value, Mapping):
            return {name: each if key in _LITERAL else self.value(name, each) for name, each in value.items()}
        if key in _NAMED and isinstance(value, str):
            kind, placeholder = _NAMED[key]
            return placeholder(self.names.get(value) or self._name(kind, value))
        return self._other(key, value)

    def _name(self, kind: str, arn: str) -> str:
        version = self.job.document.get("trainedModelVersionIdentifier") if kind == TRAINED_MODEL else None
        found = self.store.get(kind, arn, version)
        return arn.rpartition("/")[2] if found is None else found.name

    def _other(self, key: str, value: Any) -> Any:
        if key == "membershipIdentifier":
            return MEMBERSHIP
        if key == "kmsKeyArn":
            return Placeholder("KMS_KEY_ARN", "ARN of a key of AWS KMS", value)
        if key == "accountId":
            own = value == self.job.account
            return ACCOUNT if own else Placeholder(f"ACCOUNT_{value}", f"account that is {value} here", value)
        return version_of(value) if key in ("versionIdentifier", "trainedModelVersionIdentifier") else value


_LITERAL: Final = frozenset({"hyperparameters", "environment", "tags"})
"""Maps whose keys the author chooses."""
_NAMED: Final[Mapping[str, tuple[str, Callable[[str], Placeholder]]]] = {
    "configuredModelAlgorithmAssociationArn": (ASSOCIATION, association_arn),
    "mlInputChannelArn": (INPUT_CHANNEL, channel_arn),
    "trainedModelArn": (TRAINED_MODEL, lambda name: model_arn(name)),
}


def model_arn(name: str) -> Placeholder:
    """Return the ARN of a trained model."""
    return ml_arn(f"MODEL_{identifier(name)}_ARN", f"ARN of the trained model {name!r}", TRAINED_MODEL)


def inference_arn(name: str) -> Placeholder:
    """Return the ARN of an inference job."""
    return ml_arn(f"JOB_{identifier(name)}_ARN", f"ARN of the inference job {name!r}", INFERENCE_JOB)


_JOBS: Final[Mapping[str, tuple[str, str, Mapping[str, Callable[[str], Placeholder]], str]]] = {
    TRAINED_MODEL: ("CreateTrainedModel", "the trained model", {"trainedModelArn": model_arn}, "GetTrainedModel"),
    INFERENCE_JOB: (
        "StartTrainedModelInferenceJob",
        "the inference job",
        {"trainedModelInferenceJobArn": inference_arn},
        "GetTrainedModelInferenceJob",
    ),
    EXPORT_JOB: ("StartTrainedModelExportJob", "the export job", {}, ""),  # no operation describes an export job
}
"""For each kind of job: how it is started, what this returns, and what shows its end."""


def version_of(version: str) -> Placeholder:
    """Return the identifier of a version on AWS."""
    about = f"identifier of the version that is {version} here"
    return Placeholder(f"VERSION_{version[:8].upper()}", about, MEMBERSHIP.example)


def with_accounts(value: Any, accounts: Mapping[str, Placeholder]) -> Any:
    """Return a value with placeholders for accounts, because those of a rehearsal may be invented."""
    if isinstance(value, Mapping):
        return {key: with_accounts(each, accounts) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [with_accounts(each, accounts) for each in value]
    return accounts.get(value, value) if isinstance(value, str) else value
