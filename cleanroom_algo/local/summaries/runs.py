"""Trained models in comparison: the differences between their runs, and their base models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cleanroom_algo.local.resources import records
from cleanroom_algo.local.resources.store import Record, Store


def differing(runs: Sequence[Record]) -> list[str]:
    """Return the names of the hyperparameters that differ between runs."""
    given = [model.document.get("hyperparameters", {}) for model in runs]
    names = dict.fromkeys(name for each in given for name in each)
    return [name for name in names if len({each.get(name) for each in given}) > 1]


def short_name(record: Record) -> str:
    """Return the name of a version, with its identifier abbreviated."""
    return f"{record.name}:{record.short_version}"


def comparison(
    runs: Sequence[Record], metrics: Sequence[Mapping[str, float]], store: Store
) -> dict[str, list[str | None]]:
    """Return facts about trained models, by name, with a value for each; None if a model has no such fact.

    Args:
        runs: records of the models.
        metrics: the last value of each metric, for each model.
        store: of the room.
    """
    sides = [dict(_facts(run, values, store)) for run, values in zip(runs, metrics, strict=True)]
    names = dict.fromkeys(name for side in sides for name in side)
    return {name: [side.get(name) for side in sides] for name in names}


def _facts(run: Record, metrics: Mapping[str, float], store: Store) -> Iterator[tuple[str, str]]:
    shown = run.document
    yield "status", run.status
    yield "created", records.moment(run.created)
    for name, value in metrics.items():
        yield name, f"{value:.6g}"
    for name, value in shown.get("hyperparameters", {}).items():
        yield f"hyperparameter {name}", value
    for channel in shown.get("dataChannels", ()):
        record = store.get(records.CHANNEL, channel["mlInputChannelArn"])
        place = record.private.get("location", record.name) if record else channel["mlInputChannelArn"]
        yield f"channel {channel['channelName']}", str(place)
    for channel in shown.get("incrementalTrainingDataChannels", ()):
        yield "base model", f"{channel.get('modelName', '')}:{channel.get('versionIdentifier', 'base')[:8]}"
