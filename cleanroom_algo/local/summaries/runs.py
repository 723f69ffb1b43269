"""Trained models in comparison: the differences between their runs, and their base models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from cleanroom_algo.local.resources import records
from cleanroom_algo.local.resources.store import Record, Store
from cleanroom_algo.local.results import TrainedModel


def differing(runs: Sequence[Record]) -> list[str]:
    """Return the names of the hyperparameters that differ between runs."""
    given = [model.document.get("hyperparameters", {}) for model in runs]
    names = dict.fromkeys(name for each in given for name in each)
    return [name for name in names if len({each.get(name) for each in given}) > 1]


def short_name(record: Record) -> str:
    """Return the name of a version, with its identifier abbreviated."""
    return f"{record.name}:{record.short_version}"


def comparison(models: Sequence[TrainedModel], store: Store) -> dict[str, list[str | None]]:
    """Return facts about trained models, by name, with a value for each; None if a model has no such fact.

    Args:
        models: to compare; a hyperparameter that only others were given has its default, if the manifest has it.
        store: of the room.
    """
    names = dict.fromkeys(name for each in models for name in each.record.document.get("hyperparameters", {}))
    sides = [dict(_facts(each, names, store)) for each in models]
    facts = dict.fromkeys(fact for side in sides for fact in side)
    return {fact: [side.get(fact) for side in sides] for fact in facts}


def _facts(model: TrainedModel, names: Iterable[str], store: Store) -> Iterator[tuple[str, str]]:
    shown = model.record.document
    yield "status", model.record.status
    yield "created", records.moment(model.record.created)
    for name, value in model.metrics.items():
        yield name, f"{value:.6g}"
    values = model.manifest.get("hyperparameters", {}) | shown.get("hyperparameters", {})
    for name in names:
        if values.get(name) is not None:
            yield f"hyperparameter {name}", values[name]
    for channel in shown.get("dataChannels", ()):
        record = store.get(records.CHANNEL, channel["mlInputChannelArn"])
        place = record.private.get("location", record.name) if record else channel["mlInputChannelArn"]
        yield f"channel {channel['channelName']}", str(place)
    for channel in shown.get("incrementalTrainingDataChannels", ()):
        yield "base model", f"{channel.get('modelName', '')}:{channel.get('versionIdentifier', 'base')[:8]}"
