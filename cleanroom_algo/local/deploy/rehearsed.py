"""Finds the rehearsal in the records of a room."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cleanroom_algo.local.deploy.placeholders import Placeholder, identifier
from cleanroom_algo.local.deploy.rehearsal import AUTHOR, Rehearsal, declaration_of_algorithm
from cleanroom_algo.local.resources import records
from cleanroom_algo.local.resources.arns import ALGORITHM, ASSOCIATION, INFERENCE_JOB, INPUT_CHANNEL, TRAINED_MODEL
from cleanroom_algo.local.resources.states import ACTIVE
from cleanroom_algo.local.resources.store import Record, Store
from cleanroom_algo.local.setup.declaration import Declaration
from cleanroom_algo.local.setup.names import identifier as made_up
from cleanroom_algo.local.setup.names import spelled
from cleanroom_algo.local.setup.quick_requests import model_name


def of_declaration(store: Store, declaration: Declaration) -> Rehearsal:
    """Return a declared room with the jobs that ran in it."""
    collaboration = declaration.collaboration.id or made_up(declaration.collaboration.name)
    names = {each.account: name for name, each in declaration.members.items()}
    jobs: dict[str, list[Record]] = {}
    for association in reversed(store.find(ASSOCIATION, collaboration=collaboration)):
        for job in _jobs(store, association):
            jobs.setdefault(names.get(job.account, ""), []).append(job)
    return Rehearsal(declaration, jobs)


def of_algorithm(
    store: Store, source: str, metrics: Sequence[Mapping[str, str]], columns: Mapping[str, Sequence[str]]
) -> Rehearsal:
    """Return an algorithm that was trained without a declared room, as the room of one member.

    Args:
        store: of the room.
        source: the path of the algorithm, or its image.
        metrics: its metricDefinitions, if its configured model algorithm has none.
        columns: of the queries for its channels, in training and inference.
    """
    association = next((each for each in store.find(ASSOCIATION) if _location(store, each) == spelled(source)), None)
    container: dict[str, Any] = {"metricDefinitions": metrics}
    policies: Mapping[str, Any] = {}
    jobs: list[Record] = []
    if association is not None:
        algorithm = store.get(ALGORITHM, association.parent)
        container |= {} if algorithm is None else algorithm.document["trainingContainerConfig"]
        policies = (association.document.get("privacyConfiguration") or {}).get("policies", {})
        jobs = _jobs(store, association)
    name = jobs[0].name if jobs else model_name(source)  # the author chose the name of the model
    names = {} if association is None else {association.key: name}
    queries = {"train": _query(columns["training"])}
    for job in jobs:
        kind = "training" if job.kind == TRAINED_MODEL else "inference"
        queries |= {each: _query(columns[kind]) for each in _channels(store, job)}
    if jobs and not any("train" in _channels(store, job) for job in jobs):
        del queries["train"]
    tables = {each: Placeholder(f"TABLE_{identifier(each)}", f"table of the channel {each!r}", "t") for each in queries}
    return Rehearsal(
        declaration_of_algorithm(name, source, container, policies, queries), {AUTHOR: jobs}, tables, names
    )


def _jobs(store: Store, association: Record) -> list[Record]:
    """Return the newest successful training job, after its base models, and the newest inference job."""
    models = store.find(TRAINED_MODEL, parent=association.key, statuses=(ACTIVE,))
    if not models:
        return []
    found = list(reversed(list(_lineage(store, models[0]))))
    keys = {each.key for each in found}
    predicted = store.find(INFERENCE_JOB, statuses=(ACTIVE,))
    last = next((each for each in predicted if each.document.get("trainedModelArn") in keys), None)
    return [*found, *([last] if last else [])]


def _lineage(store: Store, model: Record) -> Iterator[Record]:
    current: Record | None = model
    while current is not None:
        yield current
        current = records.base_of(store, current)


def _location(store: Store, association: Record) -> str:
    algorithm = store.get(ALGORITHM, association.parent)
    if algorithm is None:
        return ""
    location: str = algorithm.private.get("location", algorithm.document["trainingContainerConfig"]["imageUri"])
    return location


def _channels(store: Store, job: Record) -> list[str]:
    found = [store.get(INPUT_CHANNEL, each) for each in records.channels_of(job)]
    return [each.name for each in found if each is not None]


def _query(columns: Sequence[str]) -> str:
    """Return the beginning of a query; its table is not known."""
    return f"SELECT {', '.join(map(_quoted, columns)) or '*'}\nFROM "


def _quoted(column: str) -> str:
    plain = column.isascii() and column.isidentifier()
    return column if plain else f"`{column.replace('`', '``')}`"
