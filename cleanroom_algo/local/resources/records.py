"""Finds the records that a user names or a job refers to, and converts them for display."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cleanroom_algo.contract.suggestions import did_you_mean
from cleanroom_algo.errors import NoSuchRecordError
from cleanroom_algo.local.resources import arns
from cleanroom_algo.local.resources.states import ACTIVE

if TYPE_CHECKING:
    from cleanroom_algo.local.resources.store import Record, Store

MODEL, CHANNEL, INFERENCE = arns.TRAINED_MODEL, arns.INPUT_CHANNEL, arns.INFERENCE_JOB
EXPORT, ASSOCIATION, ALGORITHM = arns.EXPORT_JOB, arns.ASSOCIATION, arns.ALGORITHM
TABLE = arns.TABLE_ASSOCIATION
KINDS = {
    MODEL: "trainedModels",
    INFERENCE: "trainedModelInferenceJobs",
    EXPORT: "trainedModelExportJobs",
    CHANNEL: "mlInputChannels",
    ASSOCIATION: "configuredModelAlgorithmAssociations",
    TABLE: "configuredTableAssociations",
}
"""The kinds of records that `show` lists, with their names in its JSON."""


def base_of(store: Store, record: Record) -> Record | None:
    """Return the version from which a model was trained; None if there is none, or it no longer exists."""
    base = record.private.get("base")
    return None if base is None else store.get(MODEL, base["key"], base["version"])


def model_of(store: Store, job: Record) -> Record | None:
    """Return the version with which an inference job predicts, or that an export job exports; None if it is gone."""
    return store.get(MODEL, job.parent, job.document.get("trainedModelVersionIdentifier"))


def channels_of(job: Record) -> list[str]:
    """Return the ARNs of the channels of a training or inference job."""
    found = job.document
    sources = found.get("dataChannels") or ([found["dataSource"]] if "dataSource" in found else [])
    return [each["mlInputChannelArn"] for each in sources]


def find(store: Store, words: str, kinds: tuple[str, ...] = tuple(KINDS), *, newest: bool = False) -> Record:
    """Return the record with a name or an ARN: the newest one that is ACTIVE, or else the newest one.

    Args:
        store: of the room.
        words: a name, an ARN, or either followed by `:VERSION`; a version can be abbreviated.
        kinds: the kinds to search.
        newest: return the newest one whatever its status, for its log or to resume it.

    Raises:
        NoSuchRecordError: nothing matches.
    """
    fitting = [record for record in _candidates(store, kinds) if is_named(record, words)]
    if fitting:
        return next((record for record in fitting if record.status == ACTIVE and not newest), fitting[0])
    names = sorted({record.name for record in _candidates(store, kinds)})
    wanted = "resource" if kinds == tuple(KINDS) else " or ".join(kind.replace("-", " ") for kind in kinds)
    raise NoSuchRecordError(
        f"the room has no {wanted} {words!r}" + did_you_mean(words, names),
        expected="a name or an ARN; add `:VERSION` for one version" + _some(names),
        fix="run `cleanroom-algo show` to list the names",
    )


def is_named(record: Record, words: str) -> bool:
    """Whether a name or an ARN, with or without `:VERSION`, matches a record."""
    if words in {record.name, record.key}:
        return True
    prefixes = (words.removeprefix(f"{name}:") for name in (record.name, record.key) if words.startswith(f"{name}:"))
    return any(prefix and (record.version or "base").startswith(prefix) for prefix in prefixes)


def document(record: Record) -> dict[str, Any]:
    """Return what a record shows: its document, and further values that the room stores."""
    shown: dict[str, Any] = {"name": record.name, **_identity(record), **record.document, "status": record.status}
    shown["createTime"], shown["updateTime"] = moment(record.created), moment(record.updated)
    return {name: value for name, value in shown.items() if value not in (None, "")}


def moment(seconds: float) -> str:
    """Return a time of a record in ISO 8601, UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def reason(record: Record) -> str | None:
    """Return why a job failed, or None."""
    details = record.document.get("statusDetails") or {}
    message: str | None = details.get("message")
    return message


def _candidates(store: Store, kinds: tuple[str, ...]) -> Iterator[Record]:
    for kind in kinds:
        yield from store.find(kind)


def _identity(record: Record) -> dict[str, Any]:
    member = record.kind.title().replace("-", "").replace("Ml", "ml", 1) + "Arn"
    if not record.key.startswith("arn:"):
        return {"id": record.key}
    found: dict[str, Any] = {member[0].lower() + member[1:]: record.key}
    if record.version is not None:
        found["versionIdentifier"] = record.version
    return found


def _some(names: list[str]) -> str:
    return f"; there are {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}" if names else ""
